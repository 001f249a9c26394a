"""What a front is worth after so many trials, worker-seconds or epochs, and what each method adds to it by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

from analysis import arrow, indicators, pareto
from analysis.errors import WrongInput, nearest
from analysis.groups import called
from analysis.indicators import Scale
from analysis.quality import Indicators, Reference, assessed
from analysis.schema import DENSE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    *("COSTS", "NEEDED", "Added", "Cost", "Point"),
    *("added_over_cost", "check_cost", "growth", "over_cost", "paid", "volumes"),
]

Cost = Literal["trials", "seconds", "epochs"]
COSTS: tuple[Cost, ...] = get_args(Cost)
NEEDED = ("trial", "method", "state", "started", "seconds", "epochs", "epochs_reused")
"""The columns that are read beside the objectives."""


@dataclass(frozen=True)
class Point:
    """How good the front was once a cost was paid."""

    cost: float
    indicators: Indicators


@dataclass(frozen=True)
class Added:
    """What each group of rows added to the front once a cost was paid."""

    cost: float
    own: Mapping[str, float]
    """Group → the hypervolume that the front of all would have lost without it."""


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

    spent = paid(table, cost=cost)
    values = pareto.values(table, reference.objectives)
    points = [Point(0.0, assessed(np.zeros((0, len(reference.objectives))), reference))]
    for place, front in growth(table, reference.objectives, reference.scales):
        points.append(Point(float(spent[place]), assessed(values[front], reference)))
    points.append(Point(_whole(spent), points[-1].indicators))
    # Several trials may end at the same cost, and those without a price at none: the last one counts.
    return list({point.cost: point for point in points}.values())


def volumes(table: pa.Table, objectives: Sequence[str], scales: Sequence[Scale]) -> list[tuple[int, float]]:
    """Each row with which the front grew, by its place in the table, and the front's hypervolume from then on.

    The order, what takes part and what is raised are those of ``over_cost``.
    """
    values = pareto.values(table, objectives)
    return [
        (place, indicators.hypervolume(values[front], scales)) for place, front in growth(table, objectives, scales)
    ]


def added_over_cost(table: pa.Table, reference: Reference, *, cost: Cost = "trials", by: str = "method") -> list[Added]:
    """What each method (or each value of the column ``by``) added to a study's front, each time that this changed.

    ``own`` of a group once a cost was paid is the hypervolume of the front that all rows had by then, less that of the
    front without the group's: what nobody else had found yet. It may fall when others find as good a network. The
    order, the first and the last point are those of ``over_cost``, and so is what is raised; also WrongInput for what
    is no column. At the last point it is what `quality.contributions` says.

    Args:
        table: Rows of one study, with the columns of ``NEEDED``, ``by`` and the objectives.
        reference: What scales the hypervolume.
        cost: What is counted.
        by: The column whose values are the groups.
    """
    import numpy as np

    spent = paid(table, cost=cost)
    names = np.array(called(table, by), dtype=str)
    groups = sorted(set(names.tolist()))
    objectives, scales = reference.objectives, reference.scales
    changes: dict[int, dict[str, float]] = {}
    """Place of a row → "" for the front of all, or a group for the front without it → its hypervolume from then on."""
    for place, volume in volumes(table, objectives, scales):
        changes.setdefault(place, {})[""] = volume
    for group in groups:
        others = np.flatnonzero(names != group)
        for place, volume in volumes(table.take(arrow.indices(others)), objectives, scales) if len(others) else ():
            changes.setdefault(int(others[place]), {})[f"-{group}"] = volume
    levels = {"": 0.0, **{f"-{group}": 0.0 for group in groups}}
    points = [Added(0.0, dict.fromkeys(groups, 0.0))]
    for place in (place for place in in_order(table).tolist() if place in changes):
        levels |= changes[place]
        own = {group: max(0.0, levels[""] - levels[f"-{group}"]) for group in groups}
        points.append(Added(float(spent[place]), own))
    points.append(Added(_whole(spent), points[-1].own))
    return list({point.cost: point for point in points}.values())


def growth(table: pa.Table, objectives: Sequence[str], scales: Sequence[Scale]) -> Iterator[tuple[int, list[int]]]:
    """Each row with which the front grew, in the order in which trials ended, and the rows of the front from then on.

    Rows are given by their places in the table; of networks that are equal on the scale the first one is there.
    Complete rows with every objective take part. Raises as ``over_cost`` does.
    """
    import numpy as np

    order = in_order(table)
    values = pareto.values(table, objectives)
    complete = np.array([state == "complete" for state in table["state"].to_pylist()], dtype=np.bool_)
    is_candidate = complete & np.isfinite(values).all(axis=1)
    shares = np.zeros_like(values)
    shares[is_candidate] = indicators.scaled(values[is_candidate], scales)
    front: list[int] = []
    for place in order[is_candidate[order]].tolist():
        held = shares[front]
        if (held >= shares[place]).all(axis=1).any():
            continue
        beaten = (shares[place] >= held).all(axis=1)
        front = [*(each for each, gone in zip(front, beaten, strict=True) if not gone), place]
        yield place, front


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


def _whole(spent: NDArray[np.float64]) -> float:
    return float(spent.max()) if len(spent) else 0.0


def _ended(table: pa.Table) -> NDArray[np.float64]:
    """When each row's trial ended, seconds since 1970; infinite where that is not known."""
    import numpy as np

    def at(text: str | None) -> float:
        try:
            return datetime.fromisoformat(text).timestamp() if text else np.inf
        except ValueError:
            return np.inf

    started = np.array([at(text) for text in table["started"].to_pylist()], dtype=np.float64)
    ended: NDArray[np.float64] = started + _known(table, "seconds")
    return ended


def _price(table: pa.Table, cost: Cost) -> NDArray[np.float64]:
    import numpy as np

    if cost == "trials":
        return np.array([method != DENSE for method in table["method"].to_pylist()], dtype=np.float64)
    names = ("seconds",) if cost == "seconds" else ("epochs", "epochs_reused")
    paid, *reused = (_known(table, name) for name in names)
    price: NDArray[np.float64] = np.maximum(0.0, paid - reused[0] if reused else paid)
    return price


def _known(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column's numbers, 0 where there is none."""
    import numpy as np

    return np.nan_to_num(arrow.numbers(table[name]), nan=0.0, posinf=0.0, neginf=0.0)
