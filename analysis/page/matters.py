"""Which knobs decide each objective of a study: what the page shows of `analysis.importance`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis import arrow
from analysis.errors import WrongInput
from analysis.importance import importance
from analysis.pareto import candidates
from analysis.schema import DENSE

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["matters"]

LOOKED_AT = 500
"""Networks that are drawn at random where there are more: `analysis.importance` alone looks at twice as many."""
TREES = 16
"""Of each forest, a quarter of those there: of 400 networks they learn the same to a hundredth."""


def matters(rows: pa.Table, objectives: Sequence[str]) -> list[dict[str, Any]]:
    """For each objective its knobs, the most important first, with the share of the variance that each decides.

    Where there are too few trials, or nothing varies, ``knobs`` is empty and ``note`` says why.
    """
    return [_of(rows, objective) for objective in objectives]


def _drawn(rows: pa.Table, objective: str) -> tuple[pa.Table, str]:
    """At most ``LOOKED_AT`` of the rows that importance can learn from, so that failed ones take nobody's place.

    And, where there are more, out of how many.
    """
    import numpy as np
    import pyarrow.compute as pc

    known = candidates(rows, [objective])
    known = known.filter(pc.not_equal(known["method"], arrow.scalar(DENSE)))
    if len(known) <= LOOKED_AT:
        return rows, ""
    drawn = np.random.default_rng(0).choice(len(known), LOOKED_AT, replace=False)
    return known.take(arrow.indices(np.sort(drawn))), f" of {len(known):,}"


def _of(rows: pa.Table, objective: str) -> dict[str, Any]:
    try:
        drawn, among = _drawn(rows, objective)
        found = importance(drawn, objective, pairs=False, trees=TREES)
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
            f"{objective} among trials that it had not seen ({found.trials}{among} looked at)."
        ),
    }
