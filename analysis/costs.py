"""What a front is worth after so many trials, worker-seconds or epochs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

from analysis import arrow, indicators, pareto
from analysis.errors import WrongInput, nearest
from analysis.quality import Indicators, Reference, assessed
from analysis.schema import DENSE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["COSTS", "NEEDED", "Cost", "Point", "check_cost", "in_order", "over_cost", "paid"]

Cost = Literal["trials", "seconds", "epochs"]
COSTS: tuple[Cost, ...] = get_args(Cost)
NEEDED = ("trial", "method", "state", "started", "seconds", "epochs", "epochs_reused")
"""The columns that are read beside the objectives."""


@dataclass(frozen=True)
class Point:
    """How good the front was once a cost was paid."""

    cost: float
    indicators: Indicators


def over_cost(table: pa.Table, reference: Reference, *, cost: Cost = "trials") -> list[Point]:
    """How good the front of a study's rows was, at the beginning and each time that it became better.

    Rows count in the order in which their trials ended (``started`` + ``seconds``), and each pays for itself, whatever
    its state:

    - ``trials``: 1, and nothing for the dense network, which is not one;
    - ``seconds``: the worker's, added up over workers, waiting included;
    - ``epochs``: those that this trial ran, ``epochs − epochs_reused``.

    The first point is before anything was paid, the last at the whole cost. The value between two points is that of the
    earlier one. A row without the cost pays nothing; one that does not say when it started ended last.

    Raises WrongInput where no row says when it started.

    Args:
        table: Rows of one study, with the columns of ``NEEDED`` and the objectives.
        reference: What the indicators refer to.
        cost: What is counted.
    """
    import numpy as np

    check_cost(cost)
    order = in_order(table)
    spent = paid(table, cost=cost)[order]
    values = pareto.values(table, reference.objectives)[order]
    is_candidate = (np.array(table["state"].to_pylist(), dtype=str)[order] == "complete") & np.isfinite(values).all(
        axis=1
    )
    shares = np.zeros_like(values)
    shares[is_candidate] = indicators.scaled(values[is_candidate], reference.scales)

    front = np.zeros((0, values.shape[1]))
    places: list[int] = []
    points = [Point(0.0, assessed(front, reference))]
    for place in np.flatnonzero(is_candidate):
        if len(places) and (shares[places] >= shares[place]).all(axis=1).any():
            continue
        beaten = (shares[place] >= shares[places]).all(axis=1) if places else np.zeros(0, dtype=bool)
        places = [*(each for each, gone in zip(places, beaten, strict=True) if not gone), int(place)]
        points.append(Point(float(spent[place]), assessed(values[places], reference)))
    whole = float(spent[-1]) if len(spent) else 0.0
    if points[-1].cost < whole:
        points.append(Point(whole, points[-1].indicators))
    return _last_of_each(points)


def in_order(table: pa.Table) -> NDArray[np.int64]:
    """The places of a study's rows in the order in which their trials ended; raises as ``over_cost`` does."""
    import numpy as np

    ended = _ended(table)
    if len(table) and not np.isfinite(ended).any():
        raise WrongInput(
            f"none of the {len(table)} rows says when it started: what a front costs over time is not known"
        )
    return np.lexsort((np.array(table["trial"].to_pylist(), dtype=str), ended))


def paid(table: pa.Table, *, cost: Cost = "trials") -> NDArray[np.float64]:
    """What a study had paid when each row's trial ended, row by row as they are; see ``over_cost``."""
    import numpy as np

    check_cost(cost)
    order = in_order(table)
    found: NDArray[np.float64] = np.empty(len(table))
    found[order] = np.cumsum(_price(table, cost)[order])
    return found


def check_cost(cost: str) -> None:
    """Raise WrongInput unless it is one of ``COSTS``."""
    if cost not in COSTS:
        raise WrongInput(f"{cost!r} is not a cost: {nearest(cost, COSTS)}")


def _last_of_each(points: list[Point]) -> list[Point]:
    """One point for each cost: several trials may end at the same one, and those without a price at none."""
    return list({point.cost: point for point in points}.values())


def _ended(table: pa.Table) -> NDArray[np.float64]:
    """When each row's trial ended, seconds since 1970; infinite where that is not known."""
    import numpy as np

    def at(text: str | None) -> float:
        try:
            return datetime.fromisoformat(text).timestamp() if text else np.inf
        except ValueError:
            return np.inf

    started = np.array([at(text) for text in table["started"].to_pylist()], dtype=np.float64)
    ended: NDArray[np.float64] = started + np.nan_to_num(arrow.numbers(table["seconds"]), nan=0.0)
    return ended


def _price(table: pa.Table, cost: Cost) -> NDArray[np.float64]:
    import numpy as np

    if cost == "trials":
        return np.array([method != DENSE for method in table["method"].to_pylist()], dtype=np.float64)
    names = ("seconds",) if cost == "seconds" else ("epochs", "epochs_reused")
    paid, *reused = (np.nan_to_num(arrow.numbers(table[name]), nan=0.0) for name in names)
    price: NDArray[np.float64] = np.maximum(0.0, paid - reused[0] if reused else paid)
    return price
