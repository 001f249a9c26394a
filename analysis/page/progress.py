"""How a study's front grew, as a page draws it: its hypervolume against what had been spent by then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis import costs, indicators
from analysis.constraints import Constraint, without_unmet

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["progress"]

STEPS = 400
"""So many steps of a study are drawn at most."""


def progress(
    table: pa.Table, objectives: Sequence[str], *, constraints: Sequence[Constraint] = ()
) -> dict[str, list[float]]:
    """What had been spent whenever the hypervolume changed: ``trials``, ``epochs``, ``seconds`` of workers.

    ``hypervolume`` is its value from then on; the last entry is the end of the study. What counts, and in which order,
    is said in `analysis.costs.over_cost`. Raises WrongInput where the scale is unknown (see `indicators.scales`), and
    where no row says when it started.
    """
    grown = costs.volumes(without_unmet(table, constraints), objectives, indicators.scales(table, objectives))
    kept = _thinned(len(grown))
    levels = [grown[i][1] for i in kept]
    drawn = {"hypervolume": [round(level, 6) for level in [*levels, *(levels[-1:] or [0.0])]]}
    for cost in costs.COSTS:
        spent = costs.paid(table, cost=cost)
        drawn[cost] = [round(float(at), 1) for at in [*(spent[grown[i][0]] for i in kept), spent.max(initial=0.0)]]
    return drawn


def _thinned(count: int) -> list[int]:
    """Places of at most ``STEPS`` out of ``count``, the last among them."""
    stride = -(-count // STEPS) or 1
    return list(range((count - 1) % stride, count, stride)) if count else []
