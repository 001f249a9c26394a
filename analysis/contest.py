"""Groups of repeated studies against each other: hypervolume over cost, what they attain, and who beats whom.

Everything is on one scale: that of the dense networks of all studies together. Studies are compared at what all of them
paid: a budget that one of them did not reach says nothing about it. At a cost a study has the front of the trials that
had ended by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from analysis import arrow, costs, indicators, pareto
from analysis.attainment import DIMENSIONS, attainment
from analysis.costs import COSTS, Cost
from analysis.errors import WrongInput
from analysis.quality import Reference
from analysis.repeats import Group
from analysis.resampling import Interval, Superiority, interval, superiority

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Contest", "Line", "Stand", "Surface", "contest"]

Line = tuple[tuple[float, float], ...]
"""What was paid, ascending, and the hypervolume from then on."""

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the common budget: where the hypervolume is told."""


@dataclass(frozen=True)
class Stand:
    """How the groups stand once so much was paid."""

    cost: Cost
    paid: float
    hypervolumes: Mapping[str, tuple[float, ...]]
    """Group → the hypervolume of each repeat."""
    means: Mapping[str, Interval]


@dataclass(frozen=True)
class Surface:
    """What a share of a group's repeats attain, within the budget."""

    percent: int
    points: NDArray[np.float64]
    """Shape (corners, objectives), each in its measure's own unit, the best in the first objective first."""
    hypervolume: float


@dataclass(frozen=True)
class Contest:
    """The groups side by side."""

    reference: Reference
    over: Cost
    """The cost whose common budget decides."""
    curves: Mapping[str, Mapping[Cost, tuple[Line, ...]]]
    """Group → cost → a line for each repeat."""
    stands: tuple[Stand, ...]
    """For each cost, at a quarter, half, three quarters and all of the common budget."""
    pairs: Mapping[tuple[str, str], Superiority]
    """Two groups, in their order → how the first does against the second at the common budget."""
    surfaces: Mapping[str, tuple[Surface, ...]]
    """Group → its attainment surfaces; empty where ``no_surfaces`` says why."""
    no_surfaces: str

    @property
    def budget(self) -> float:
        """What all studies paid, in the cost that decides."""
        return max(stand.paid for stand in self.stands if stand.cost == self.over)


def contest(groups: Sequence[Group], objectives: Sequence[str], *, over: Cost = "trials", seed: int = 0) -> Contest:
    """Compare groups that were read (see `repeats.read`) by the fronts of their repeats.

    Raises WrongInput where no study has a dense network to scale by, where a study does not say when its trials ran,
    or paid nothing of the cost that decides.
    """
    import pyarrow as pa

    costs.check_cost(over)
    rows = pa.concat_tables([table for group in groups for table in group.tables], promote_options="permissive")
    dense = pa.concat_tables([table for group in groups for table in group.dense], promote_options="permissive")
    reference = _reference(groups, rows, objectives, scale_of=dense)
    curves = {group.name: _curves(group, reference) for group in groups}
    stands = []
    for cost in COSTS:
        least = min((repeat[-1][0], str(study)) for group in groups
                    for study, repeat in zip(group.studies, curves[group.name][cost], strict=True))  # fmt: skip
        common, study = least
        if not common > 0:
            if cost == over:
                raise WrongInput(f"{study} paid no {cost}: choose another cost with --over")
            continue
        at = sorted({max(1.0, round(share * common)) if cost != "seconds" else share * common for share in SHARES})
        for spent in at:
            values = {name: tuple(_at(repeat, spent) for repeat in each[cost]) for name, each in curves.items()}
            means = {name: interval(each, seed=seed) for name, each in values.items()}
            stands.append(Stand(cost, spent, values, means))
    last = [stand for stand in stands if stand.cost == over][-1]
    surfaces, why = _surfaces(groups, reference, over=over, budget=last.paid)
    return Contest(
        reference=reference,
        over=over,
        curves=curves,
        stands=tuple(stands),
        pairs={
            (a.name, b.name): superiority(last.hypervolumes[a.name], last.hypervolumes[b.name], seed=seed)
            for a, b in combinations(groups, 2)
        },
        surfaces=surfaces,
        no_surfaces=why,
    )


def _reference(groups: Sequence[Group], rows: pa.Table, objectives: Sequence[str], *, scale_of: pa.Table) -> Reference:
    """What all are held against; where there is no scale, whose dense networks it was sought among."""
    studies = [str(study) for group in groups for study in group.studies]
    named = ", ".join(studies[:3]) + ", …" * (len(studies) > 3)
    if "complete" not in scale_of["state"].to_pylist():
        lacks = f"{named} has no" if len(studies) == 1 else f"none of {named} has a"
        raise WrongInput(f"{lacks} complete row of the dense network, which the scale starts from")
    try:
        return Reference.of(rows, objectives, scale_of=scale_of)
    except WrongInput as error:
        raise WrongInput(f"{named}: {error}") from error


def _curves(group: Group, reference: Reference) -> dict[Cost, tuple[Line, ...]]:
    """For each cost, and each repeat, what it had paid and the hypervolume from then on, where either changes."""
    found: dict[Cost, list[Line]] = {cost: [] for cost in COSTS}
    for study, table in zip(group.studies, group.tables, strict=True):
        try:
            grown = costs.volumes(table, reference.objectives, reference.scales)
        except WrongInput as error:
            raise WrongInput(f"{study}: {error}") from error
        for cost in COSTS:
            spent = costs.paid(table, cost=cost)
            # Of several trials that ended at one cost the last one counts.
            steps = {0.0: 0.0} | {float(spent[place]): volume for place, volume in grown}
            steps.setdefault(float(spent.max()), grown[-1][1] if grown else 0.0)
            found[cost].append(tuple(steps.items()))
    return {cost: tuple(lines) for cost, lines in found.items()}


def _at(curve: Line, spent: float) -> float:
    """The hypervolume of a curve once so much was paid."""
    return [hypervolume for cost, hypervolume in curve if cost <= spent * (1 + 1e-12)][-1]


def _surfaces(
    groups: Sequence[Group], reference: Reference, *, over: Cost, budget: float
) -> tuple[dict[str, tuple[Surface, ...]], str]:
    """The attainment surfaces of each group, or why there are none."""
    import numpy as np

    objectives = reference.objectives
    if len(objectives) not in DIMENSIONS:
        return {}, f"they are known for 2 and 3 objectives, not for {len(objectives)}: choose with --objectives"
    directions = pareto.directions(objectives)
    found: dict[str, tuple[Surface, ...]] = {}
    for group in groups:
        fronts = [
            pareto.values(pareto.front(_within(table, over, budget), objectives), objectives) for table in group.tables
        ]
        if not all(len(front) for front in fronts):
            return {}, f"a repeat of {group.name} has no complete network yet at {budget:.6g} {over}"
        surfaces = []
        for percent, points in attainment(fronts, directions).items():
            order = np.lexsort(
                [points[:, i] * (-1 if d == "higher" else 1) for i, d in reversed(list(enumerate(directions)))]
            )
            surfaces.append(Surface(percent, points[order], indicators.hypervolume(points, reference.scales)))
        found[group.name] = tuple(surfaces)
    return found, ""


def _within(table: pa.Table, over: Cost, budget: float) -> pa.Table:
    """The rows whose trials had ended when so much was paid."""
    import numpy as np

    return table.take(arrow.indices(np.flatnonzero(costs.paid(table, cost=over) <= budget * (1 + 1e-12))))
