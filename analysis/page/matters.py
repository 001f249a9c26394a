"""Which knobs decide each objective of a study: what the page shows of `analysis.importance`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["matters"]


def matters(rows: pa.Table, objectives: Sequence[str]) -> list[dict[str, Any]]:
    """For each objective its knobs by importance."""
    return []
