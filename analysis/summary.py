"""A front and the numbers said about it, computed once for the terminal, ``--json`` and the live table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, indicators, pareto
from analysis.constraints import Constraint, met, parse
from analysis.errors import WrongInput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FrontSummary", "study_constraints", "study_objectives", "summarise"]

SPEC = "spec.yaml"
DEFAULT_OBJECTIVES = ("val_accuracy", "sparsity", "macs")


@dataclass(frozen=True)
class FrontSummary:
    """A front, how good it is, and out of how many networks it was found."""

    front: pa.Table
    """Its rows, all columns, the best in the first objective first."""
    objectives: tuple[str, ...]
    hypervolume: float | None
    """Normalised, in [0, 1]; None where the scale is unknown, and ``no_hypervolume`` says why."""
    no_hypervolume: str
    total: int
    """Rows looked at, in any state."""
    complete: int
    left_out: int
    """Complete rows that lack an objective or hold no finite number there: they take no part."""
    constraints: tuple[Constraint, ...] = ()
    unmet: int = 0
    """Complete rows with every objective that do not meet the constraints: they take no part either."""

    @property
    def compared(self) -> int:
        """How many networks took part."""
        return self.complete - self.left_out - self.unmet


def summarise(
    table: pa.Table,
    objectives: Sequence[str],
    *,
    reference: pa.Table | None = None,
    constraints: Sequence[Constraint] = (),
) -> FrontSummary:
    """The front of ``table``; its scale comes from the dense row of ``reference`` (default: ``table``).

    Only rows that meet the ``constraints`` take part. A table without such rows, or without complete ones, gives an
    empty front with hypervolume 0.
    """
    import pyarrow.compute as pc

    taking_part = _meeting(table, constraints)
    front = pareto.front(taking_part, objectives)
    complete = pc.sum(pc.equal(table["state"], arrow.scalar("complete")), min_count=0).as_py()
    hypervolume, why = None, ""
    try:
        scales = indicators.scales(table if reference is None else reference, objectives)
        hypervolume = indicators.hypervolume(pareto.values(front, objectives), scales)
    except WrongInput as error:
        why = str(error)
    candidates, meeting = (
        len(pareto.candidates(rows.select(["state", *objectives]), objectives)) for rows in (table, taking_part)
    )
    return FrontSummary(
        front=front,
        objectives=tuple(objectives),
        hypervolume=hypervolume,
        no_hypervolume=why,
        total=len(table),
        complete=complete,
        left_out=complete - candidates,
        constraints=tuple(constraints),
        unmet=candidates - meeting,
    )


def study_objectives(study: Path) -> tuple[str, ...]:
    """What a study was searched for: ``search.objectives`` of its spec.yaml, else accuracy, sparsity and MACs.

    Raises WrongInput if the file is not YAML or names something that is not a measure.
    """
    named, path = _searched(study, "objectives"), study / SPEC
    if named is None:
        return DEFAULT_OBJECTIVES
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise WrongInput(f"search.objectives must be a list of measures, got {named!r:.60} ({path})")
    try:
        pareto.check_objectives(named)
    except WrongInput as error:
        raise WrongInput(f"{error} ({path}: search.objectives)") from error
    return tuple(named)


def study_constraints(study: Path) -> tuple[Constraint, ...]:
    """What a study's front must meet: ``search.constraints`` of its spec.yaml; none where it says none.

    Raises WrongInput if the file is not YAML or says something that is not a constraint.
    """
    said = _searched(study, "constraints")
    return () if said is None else parse(said, where=f"{study / SPEC}: search.constraints")


def _searched(study: Path, name: str) -> Any:
    """A setting of the search as the study's frozen spec says it, None where it does not."""
    import yaml

    path = study / SPEC
    try:
        spec: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WrongInput(f"{path} cannot be read as YAML: {' '.join(str(error).split())[:120]}") from error
    search = spec.get("search") if isinstance(spec, dict) else None
    return search.get(name) if isinstance(search, dict) else None


def _meeting(table: pa.Table, given: Sequence[Constraint]) -> pa.Table:
    if not given:
        return table
    import numpy as np

    return table.take(arrow.indices(np.flatnonzero(met(table, given))))
