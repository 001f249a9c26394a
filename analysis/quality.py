"""How good are the fronts of tables? Indicators against a stated reference, and what each method adds.

`analysis.indicators` has the formulas; here are the rows that they are taken of. A `Reference` is made once, of all
rows that are compared, and says in words what the numbers refer to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import indicators, pareto
from analysis.errors import WrongInput
from analysis.groups import grouped
from analysis.indicators import Scale
from analysis.pareto import check_objectives

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "Contribution",
    "Indicators",
    "Reference",
    "assess",
    "assessed",
    "contributions",
    "hypervolume",
    "reference_point",
]


@dataclass(frozen=True)
class Reference:
    """What indicators refer to: the scale of each objective, and the front that all rows have together."""

    objectives: tuple[str, ...]
    scales: tuple[Scale, ...]
    front: NDArray[np.float64]
    """Shape (networks, objectives), each in its measure's own unit."""
    rows: int
    """How many rows the front was found among."""

    @classmethod
    def of(cls, table: pa.Table, objectives: Sequence[str], *, scale_of: pa.Table | None = None) -> Reference:
        """The front of all rows of a table, the scale from its dense networks, or from those of ``scale_of``.

        Raises WrongInput where the scale cannot be known, or where no row is complete with every objective.
        """
        scales = tuple(indicators.scales(table if scale_of is None else scale_of, objectives))
        front = pareto.values(pareto.front(table, objectives), objectives)
        if len(front) == 0:
            raise WrongInput(
                f"none of the {len(table)} rows is complete with a number for each of {', '.join(objectives)}"
            )
        return cls(tuple(objectives), scales, front, len(table))

    def __str__(self) -> str:
        """What is said beside the numbers."""
        ends = [
            f"{name} {scale.worst:.6g} to {scale.best:.6g}"
            for name, scale in zip(self.objectives, self.scales, strict=True)
        ]
        networks = "1 network" if len(self.front) == 1 else f"{len(self.front)} networks"
        return (
            f"scaled from worst to best: {', '.join(ends)}; hypervolume from the worst corner, R2 to the best one, "
            f"epsilon and IGD+ to the front of all {self.rows} rows ({networks})"
        )


@dataclass(frozen=True)
class Indicators:
    """How good a front is (see `analysis.indicators`)."""

    hypervolume: float
    epsilon: float
    igd_plus: float
    r2: float


@dataclass(frozen=True)
class Contribution:
    """What the rows of a group add to the front of all."""

    group: str
    networks: int
    """Rows that take part: complete, with every objective."""
    on_front: int
    """Those of them that are on the front of all."""
    alone: float
    """The hypervolume of the group by itself."""
    own: float
    """The hypervolume that the front of all loses without the group: what nobody else has."""


def hypervolume(
    table: pa.Table,
    objectives: Sequence[str],
    *,
    scale_of: pa.Table | None = None,
    reference: Mapping[str, float] | None = None,
) -> float:
    """The hypervolume of a table's front, in [0, 1], or, to a reference as given, in the measures' units.

    Args:
        table: Rows; those that are not complete, or lack an objective, take no part.
        objectives: Measures, each once.
        scale_of: Rows whose dense networks give the scale: those of the whole study where ``table`` is a part of it.
        reference: Objective → worst value that counts. Nothing is scaled or clipped then, and a network that is not
            better in every objective adds nothing.

    Raises:
        WrongInput: No dense network to scale by, a reference that is not of these objectives or not finite, no measure.

    >>> import pyarrow as pa
    >>> rows = pa.table({"state": ["complete"] * 2, "val_accuracy": [0.9, 0.5], "macs": [100, 40]})
    >>> hypervolume(rows, ["val_accuracy", "macs"], reference={"val_accuracy": 0.1, "macs": 200})
    104.0
    """
    check_objectives(objectives)
    found = pareto.values(pareto.candidates(table, objectives), objectives)
    if reference is None:
        return indicators.hypervolume(found, indicators.scales(table if scale_of is None else scale_of, objectives))
    corner = reference_point(reference, objectives)
    return indicators.hypervolume_to(found, pareto.directions(objectives), reference=corner)


def reference_point(given: Mapping[str, float], objectives: Sequence[str]) -> list[float]:
    """The reference's numbers in the order of the objectives; raises WrongInput where it is not one for each."""
    import math

    if set(given) != set(objectives):
        raise WrongInput(
            f"a reference has one number for each of {', '.join(objectives)}, got {', '.join(given) or 'none'}"
        )
    for name, value in given.items():
        if not math.isfinite(value):
            raise WrongInput(f"the reference of {name} must be a finite number, got {value}")
    return [float(given[name]) for name in objectives]


def assess(table: pa.Table, reference: Reference) -> Indicators:
    """The four indicators of a table's front; a table without networks is as bad as the worst corner."""
    return assessed(pareto.values(pareto.front(table, reference.objectives), reference.objectives), reference)


def assessed(values: NDArray[np.float64], reference: Reference) -> Indicators:
    """The four indicators of points of shape (n, objectives), in their measures' own units."""
    return Indicators(
        hypervolume=indicators.hypervolume(values, reference.scales),
        epsilon=indicators.epsilon_additive(values, reference.front, reference.scales),
        igd_plus=indicators.igd_plus(values, reference.front, reference.scales),
        r2=indicators.r2(values, reference.scales),
    )


def contributions(table: pa.Table, reference: Reference, *, by: str = "method") -> list[Contribution]:
    """What each group of rows adds to the front of all, the one that would be missed most first.

    ``by`` is a column. Two groups with the same network both lose nothing by going. Raises WrongInput for what is no
    column.
    """
    import numpy as np

    objectives, scales = reference.objectives, reference.scales
    directions = pareto.directions(objectives)
    groups = {
        name[0]: pareto.values(pareto.candidates(rows, objectives), objectives)
        for name, rows in grouped(table.select(_each_once([by, "state", *objectives])), [by]).items()
    }
    fronts = {name: values[pareto.is_nondominated(values, directions)] for name, values in groups.items()}
    everything = np.concatenate(list(fronts.values())) if fronts else np.zeros((0, len(objectives)))
    best = pareto.is_nondominated(everything, directions)
    owner = np.repeat(np.arange(len(fronts)), [len(values) for values in fronts.values()])
    whole = indicators.hypervolume(everything, scales)
    found = [
        Contribution(
            group=name,
            networks=len(groups[name]),
            on_front=int(best[owner == place].sum()),
            alone=indicators.hypervolume(values, scales),
            own=max(0.0, whole - indicators.hypervolume(everything[owner != place], scales)),
        )
        for place, (name, values) in enumerate(fronts.items())
    ]
    return sorted(found, key=lambda each: (-each.own, -each.alone, each.group))


def _each_once(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
