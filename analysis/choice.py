"""Which network should I ship: the best one by an aim among those that meet some bounds, and what lies next to it.

An aim is the lowest or the highest value of a measure, or the *knee* of a front: the network with the largest distance
from the plane through the corners in which one objective is at its best and all others at their worst on the front,
every objective scaled to its range on the front; for two objectives the line through both ends [Das 1999]. On this
plane one buys at the same price everywhere; at the knee each objective gets dearer in whichever direction one goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from analysis import arrow, pareto
from analysis.constraints import Constraint, listed, met
from analysis.errors import WrongInput
from analysis.pareto import Direction
from analysis.schema import DENSE, measure

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Aim", "Choice", "Within", "choose", "knee", "neighbours"]


@dataclass(frozen=True)
class Aim:
    """What to pick by."""

    kind: Literal["lowest", "highest", "knee"]
    measure: str = ""
    """Empty for the knee, which is one of all objectives."""

    def __str__(self) -> str:
        return "knee" if self.kind == "knee" else f"{self.kind} {self.measure}"


@dataclass(frozen=True)
class Within:
    """A bound that the dense network sets: a measure may be worse than its own study's by so much at most."""

    measure: str
    loss: float
    """In the measure's own unit, ≥ 0."""


@dataclass(frozen=True)
class Choice:
    """The network that was picked by an aim."""

    aim: Aim
    objectives: tuple[str, ...]
    network: pa.Table
    """One row, all columns."""
    among: int
    """Networks that met the bounds."""
    front: int
    """Networks that are on the front of the objectives, bounds or not."""
    next: tuple[tuple[str, pa.Table | None], ...]
    """Objective → the network on the front that is better in it, and by least; None where there is none."""


def choose(
    table: pa.Table, aim: Aim, *, objectives: Sequence[str], bounds: Sequence[Constraint], within: Sequence[Within]
) -> Choice:
    """Pick the best network of ``table`` by an aim, and find its neighbours on the front of the objectives.

    Only complete networks take part that have every objective and meet all bounds. Of several that are equally good by
    the aim's measure the one that no other beats in the further objectives is picked, the first objective first.
    Neighbours need not meet the bounds: what lies beyond is what giving them up would buy.

    Args:
        table: Rows of one study or several, each with its dense network where ``within`` is given.
        aim: What to pick by; its measure must be among the objectives.
        objectives: Measures, each once; what is traded for what.
        bounds: What the network must meet.
        within: How much worse than the dense network of its study it may be.

    Raises:
        WrongInput: No network takes part, a study has no dense network, or the front has no knee.
    """
    import numpy as np

    pareto.check_objectives(objectives)
    candidates = pareto.candidates(table, objectives)
    if len(candidates) == 0:
        later = [name for name in objectives if measure(name).taken == "of the artefact"]
        cure = f"; {later[0]}: `prunefront latency` takes it, of the front's files" if later else ""
        raise WrongInput(
            f"none of the {len(table)} rows is complete with a number for each of {', '.join(objectives)}{cure}"
        )
    allowed = met(candidates, bounds) & _near_dense(table, candidates, within)
    if not allowed.any():
        raise WrongInput(
            f"none of the {len(candidates)} networks has {said(bounds, within)}{_nearest(candidates, bounds)}"
        )
    fitting = candidates.take(arrow.indices(np.flatnonzero(allowed)))
    if aim.kind == "knee":
        on_front = pareto.front(fitting, objectives)
        if len(objectives) < 2 or len(on_front) < 3:
            raise WrongInput(
                "a knee needs two objectives and three networks on their front, got "
                f"{', '.join(objectives)} and {len(on_front)} on the front: pick by --lowest or --highest"
            )
        place = knee(pareto.values(on_front, objectives), pareto.directions(objectives))
        if place is None:
            raise WrongInput(
                f"the front of {', '.join(objectives)} has no knee: none of its {len(on_front)} networks lies beyond "
                "the plane through its ends; pick by --lowest or --highest"
            )
        picked = on_front.slice(place, 1)
    else:
        others = [name for name in objectives if name != aim.measure]
        picked = pareto.front(fitting, [aim.measure, *others]).slice(0, 1)
    front = pareto.front(candidates, objectives)
    values, own = pareto.values(front, objectives), pareto.values(picked, objectives)[0]
    places = neighbours(values, own, pareto.directions(objectives))
    return Choice(
        aim=aim,
        objectives=tuple(objectives),
        network=picked,
        among=len(fitting),
        front=len(front),
        next=tuple(
            (name, None if place is None else front.slice(place, 1))
            for name, place in zip(objectives, places, strict=True)
        ),
    )


def knee(values: NDArray[np.float64], directions: Sequence[Direction], /) -> int | None:
    """The place of a front's knee in ``values``, shape (n, m), finite, none of which beats another.

    With x_j each objective from 0, its worst on the front, to 1, its best, the distance from the plane Σ_j x_j = 1 is
    (Σ_j x_j − 1) / √k over the k objectives that differ. None where no network lies beyond the plane (fewer than three
    networks, or a front that bends inwards). Of equally distant ones the first.
    """
    import numpy as np

    signs = np.array([1.0 if direction == "higher" else -1.0 for direction in directions])
    gains = values * signs
    if len(gains) == 0:
        return None
    ranges = gains.max(axis=0) - gains.min(axis=0)
    differ = ranges > 0
    if not differ.any():
        return None
    shares = (gains[:, differ] - gains[:, differ].min(axis=0)) / ranges[differ]
    beyond = (shares.sum(axis=1) - 1.0) / np.sqrt(differ.sum())
    place = int(beyond.argmax())
    return place if beyond[place] > 1e-12 else None


def neighbours(
    front: NDArray[np.float64], own: NDArray[np.float64], directions: Sequence[Direction], /
) -> list[int | None]:
    """For each objective the place in ``front`` of the next better network than ``own``: better by least.

    ``front`` has shape (n, m), ``own`` (m,). Of several that are equally much better the one that loses least in the
    other objectives, each scaled to its range on the front, added up.
    """
    import numpy as np

    signs = np.array([1.0 if direction == "higher" else -1.0 for direction in directions])
    gains = (front - own) * signs
    ranges = front.max(axis=0) - front.min(axis=0) if len(front) else np.ones(front.shape[1])
    losses = np.maximum(0.0, -gains / np.where(ranges > 0, ranges, 1.0)).sum(axis=1)
    found: list[int | None] = []
    for gain in gains.T:
        better = np.flatnonzero(gain > 0)
        found.append(int(better[np.lexsort((losses[better], gain[better]))[0]]) if len(better) else None)
    return found


def said(bounds: Sequence[Constraint], within: Sequence[Within]) -> str:
    """The bounds in a sentence."""
    near = [f"{each.measure} within {each.loss:g} of the dense network's" for each in within]
    return " and ".join([*([listed(bounds)] if bounds else []), *near])


def _near_dense(table: pa.Table, candidates: pa.Table, within: Sequence[Within]) -> NDArray[np.bool_]:
    """One claim per candidate: in no measure further behind the dense network of its own study than is allowed.

    Of several dense networks (seeds) the best in the measure counts.
    """
    import numpy as np

    claims = np.ones(len(candidates), dtype=np.bool_)
    studies = candidates["study"].to_pylist()
    for each in within:
        sign = 1.0 if measure(each.measure).better == "higher" else -1.0
        best: dict[str | None, float] = {}
        dense = pareto.candidates(table, [each.measure])
        for row in dense.select(["study", "method", each.measure]).to_pylist():
            if row["method"] == DENSE:
                best[row["study"]] = max(best.get(row["study"], -np.inf), sign * row[each.measure])
        for study in sorted({str(study) for study in studies if study not in best}):
            raise WrongInput(f"{study} has no complete dense network with {each.measure}, which --within starts from")
        values = sign * arrow.numbers(candidates[each.measure])
        # As much as float64 lets .937 − .01 be less than .927.
        floor = np.array([best[study] - each.loss for study in studies])
        claims &= values >= floor - 1e-12 * np.maximum(1.0, np.abs(floor))
    return claims


def _nearest(candidates: pa.Table, bounds: Sequence[Constraint]) -> str:
    """What the candidates reach where a single bound is out of their reach."""
    import numpy as np

    out_of_reach = []
    for each in bounds:
        if met(candidates, [each]).any():
            continue
        values = arrow.numbers(candidates[each.measure])
        values = values[np.isfinite(values)]
        if len(values):
            reached = values.max() if each.relation in {">=", ">"} else values.min()
            out_of_reach.append(f"{each.measure} reaches {reached:.6g}")
    return f": {', '.join(out_of_reach)}" if out_of_reach else ""
