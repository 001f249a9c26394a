"""How a study's front grew: its hypervolume after each finished trial, against what had been spent by then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from analysis import arrow, indicators, pareto
from analysis.constraints import Constraint, met
from analysis.schema import DENSE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["progress"]

STEPS = 400
"""So many steps of a study are drawn at most."""


def progress(
    table: pa.Table, objectives: Sequence[str], *, constraints: Sequence[Constraint] = ()
) -> dict[str, list[float]]:
    """What had been spent whenever the hypervolume changed: ``trials``, ``epochs``, ``seconds`` of workers.

    ``hypervolume`` is its value from then on; the last entry is the end of the study. Trials count in the order in
    which they ended, in any state: one that failed was paid for too. The dense network is no trial, and epochs that
    were reused were not paid for again. Raises WrongInput where the scale is unknown (see `indicators.scales`).
    """
    import numpy as np

    scales = indicators.scales(table, objectives)
    order = np.argsort(_ended(table), kind="stable")
    spent = {
        "trials": np.cumsum([method != DENSE for method in table["method"].take(arrow.indices(order)).to_pylist()]),
        "epochs": np.cumsum(np.maximum(0.0, _known(table, "epochs") - _known(table, "epochs_reused"))[order]),
        "seconds": np.cumsum(_known(table, "seconds")[order]),
    }
    values = pareto.values(table, objectives)[order]
    complete = np.array([state == "complete" for state in table["state"].to_pylist()], dtype=bool)
    takes_part = (complete & met(table, constraints))[order] & np.isfinite(values).all(axis=1)
    better = [1.0 if way == "higher" else -1.0 for way in pareto.directions(objectives)]
    steps, reached = [], []
    front = np.empty((0, len(objectives)))
    for place in np.flatnonzero(takes_part):
        point = values[place]
        if len(front) and ((front - point) * better >= 0).all(axis=1).any():
            continue
        front = np.vstack([front[~((point - front) * better >= 0).all(axis=1)], point])
        steps.append(int(place))
        reached.append(indicators.hypervolume(front, scales))
    kept = _thinned(len(steps))
    places = [steps[i] for i in kept] + [len(table) - 1] * bool(len(table))
    levels = [reached[i] for i in kept] + [reached[-1] if reached else 0.0] * bool(len(table))
    return {
        **{cost: [round(float(amounts[place]), 1) for place in places] for cost, amounts in spent.items()},
        "hypervolume": [round(level, 6) for level in levels],
    }


def _thinned(count: int) -> list[int]:
    """Places of at most ``STEPS`` out of ``count``, the last among them."""
    stride = -(-count // STEPS) or 1
    return list(range((count - 1) % stride, count, stride)) if count else []


def _ended(table: pa.Table) -> NDArray[np.float64]:
    """When each trial ended [s since 1970]; those that do not say so come last."""
    import numpy as np

    return np.array([_moment(text) for text in table["started"].to_pylist()], dtype=float) + _known(table, "seconds")


def _moment(text: str | None) -> float:
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return float("inf")


def _known(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column's numbers, 0 where there is none."""
    import numpy as np

    return np.nan_to_num(arrow.numbers(table[name]), nan=0.0, posinf=0.0, neginf=0.0)
