"""Which knobs decide each objective of a study: what the page shows of `analysis.importance`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis import arrow
from analysis.errors import WrongInput
from analysis.importance import importance

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["matters"]

LOOKED_AT = 500
"""Rows that are drawn at random where there are more: `analysis.importance` alone looks at twice as many."""


def matters(rows: pa.Table, objectives: Sequence[str]) -> list[dict[str, Any]]:
    """For each objective its knobs, the most important first, with the share of the variance that each decides.

    Where there are too few trials, or nothing varies, ``knobs`` is empty and ``note`` says why.
    """
    import numpy as np

    if len(rows) > LOOKED_AT:
        drawn = np.random.default_rng(0).choice(len(rows), LOOKED_AT, replace=False)
        rows = rows.take(arrow.indices(np.sort(drawn)))
    return [_of(rows, objective) for objective in objectives]


def _of(rows: pa.Table, objective: str) -> dict[str, Any]:
    try:
        found = importance(rows, objective, pairs=False)
    except WrongInput as error:
        return {"objective": objective, "knobs": [], "note": f"{objective}: {error}."}
    return {
        "objective": objective,
        "knobs": [
            {"name": name, "share": round(effect.mean, 4), "low": round(effect.low, 4), "high": round(effect.high, 4)}
            for name, effect in found.knobs.items()
        ],
        "note": (
            f"A forest that learned from the recipes explains {max(0.0, found.explained):.0%} of the variance of "
            f"{objective} among trials that it had not seen ({found.trials} looked at)."
        ),
    }
