"""What every epoch of a trial gave, one file per trial: ``STUDY/curves/TRIAL.json``, to be compacted for reading."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.schema import CURVE
from trial.store import write_durably

__all__ = ["read", "write"]


def read(study: Path, trial: str) -> list[dict[str, Any]]:
    """A trial's epochs as they were written, none where they were not, or are damaged."""
    try:
        epochs = json.loads((study / "curves" / f"{trial}.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return epochs if isinstance(epochs, list) else []


def write(study: Path, trial: str, curve: Sequence[dict[str, Any]]) -> None:
    """Write a trial's epochs, in the order in which they were run; a file of the same trial is replaced.

    Each has every column of ``curves.parquet``, None where it does not apply.
    """
    folder = study / "curves"
    folder.mkdir(parents=True, exist_ok=True)
    blank = dict.fromkeys(column.name for column in CURVE)
    entries = [{**blank, "trial": trial, **epoch} for epoch in curve]
    write_durably(folder / f"{trial}.json", json.dumps(entries, allow_nan=False).encode())
