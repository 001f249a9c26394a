"""A front and the numbers said about it, computed once for the terminal, ``--json`` and the live table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, indicators, pareto, quality, thinning
from analysis.constraints import Constraint, met, parse
from analysis.errors import WrongInput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "FrontSummary",
    "check_epsilon",
    "chosen_objectives",
    "shared_constraints",
    "shared_objectives",
    "study_constraints",
    "study_objectives",
    "study_spec",
    "summarise",
    "thin",
    "thin_summary",
]

SPEC = "spec.yaml"
DEFAULT_OBJECTIVES = ("val_accuracy", "sparsity", "macs")


@dataclass(frozen=True)
class FrontSummary:
    """A front, how good it is, and out of how many networks it was found."""

    front: pa.Table
    """Its rows, with the columns that were looked at, the best in the first objective first."""
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
    reference: Mapping[str, float] | None = None
    """What the hypervolume is measured from where that was given; it is not normalised then."""
    constant: tuple[str, ...] = ()
    """Objectives that have one value in all networks that took part, where those are several."""
    size: int | None = None
    """How many networks are on the front, where ``front`` has others too or not all of them."""
    thinned: str = ""
    """Where ``front`` was thinned: what its networks stand for."""
    named: tuple[str, ...] = ()
    """Columns that a front is shown with because the networks come from several of them: rank, study."""

    @property
    def on_front(self) -> int:
        """How many networks are on the front."""
        return len(self.front) if self.size is None else self.size

    @property
    def incomplete(self) -> int:
        """Rows that failed, were stopped, or do not say."""
        return self.total - self.complete

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
    corner: Mapping[str, float] | None = None,
    ranks: int = 1,
) -> FrontSummary:
    """The front of ``table``; its scale comes from the dense row of ``reference`` (default: ``table``).

    Only rows that meet the ``constraints`` take part. A table without such rows, or without complete ones, gives an
    empty front with hypervolume 0. With a ``corner``, objective → worst value that counts, the hypervolume is measured
    from there and not scaled. With several ``ranks`` the front's table has the next fronts too.

    Raises WrongInput for a corner that is not one of the objectives.
    """
    import pyarrow.compute as pc

    taking_part = _meeting(table, constraints)
    front = pareto.front(taking_part, objectives)
    complete = pc.sum(pc.equal(table["state"], arrow.scalar("complete")), min_count=0).as_py() or 0
    hypervolume, why = None, ""
    if corner is not None:
        hypervolume = quality.hypervolume(front, objectives, reference=corner)
    else:
        try:
            scales = indicators.scales(table if reference is None else reference, objectives)
            hypervolume = indicators.hypervolume(pareto.values(front, objectives), scales)
        except WrongInput as error:
            why = str(error)
    candidates, meeting = (pareto.candidates_count(rows, objectives) for rows in (table, taking_part))
    constant = _constant(front, taking_part.select(["state", *objectives]), objectives) if meeting > 1 else ()
    size = len(front)
    if ranks > 1:
        front = pareto.fronts(taking_part, objectives, most=ranks)
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
        reference=corner,
        constant=constant,
        size=size,
        named=("rank",) if ranks > 1 else (),
    )


def thin(table: pa.Table, objectives: Sequence[str], *, epsilon: float, scale_of: pa.Table | None = None) -> pa.Table:
    """The rows of a front that stand for all: each of it is at most ``epsilon`` better than one of them, anywhere.

    ``epsilon`` is a share of each objective's scale, which comes from the dense row of ``scale_of`` (default: the
    table) and, where there is none, runs from the worst to the best on the front. The best row in each objective stays,
    and so does the order. Raises WrongInput for an ``epsilon`` that is not from 0 to 1.
    """
    return _thinned(table, objectives, epsilon=epsilon, scale_of=scale_of)[0]


def check_epsilon(epsilon: float) -> None:
    """Raise WrongInput unless a front can be thinned by so much."""
    if not 0 <= epsilon <= 1:
        raise WrongInput(f"a front is thinned by a share of each objective's scale, from 0 to 1, got {epsilon:g}")


def thin_summary(summary: FrontSummary, *, epsilon: float, scale_of: pa.Table) -> FrontSummary:
    """The same with a front that was thinned (see ``thin``), each rank by itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    front, objectives = summary.front, summary.objectives
    ranks = range(1, (pc.max(front["rank"]).as_py() or 0) + 1) if "rank" in summary.named else ()
    layers = [front.filter(pc.equal(front["rank"], arrow.scalar(rank))) for rank in ranks] or [front]
    parts = [_thinned(layer, objectives, epsilon=epsilon, scale_of=scale_of) for layer in layers]
    kept = pa.concat_tables([part for part, _ in parts])
    said = f"{len(kept)} of {len(front)} shown: each other is nowhere better than one of them by more than {epsilon:g}"
    return replace(summary, front=kept, thinned=f"{said} of {parts[0][1]}")


def _thinned(
    table: pa.Table, objectives: Sequence[str], *, epsilon: float, scale_of: pa.Table | None
) -> tuple[pa.Table, str]:
    """The rows that stay, and what ``epsilon`` is a share of."""
    check_epsilon(epsilon)
    values = pareto.values(table, objectives)
    try:
        scales, of = indicators.scales(table if scale_of is None else scale_of, objectives), "the hypervolume's scale"
    except WrongInput:
        scales, of = [], "the front's own range"
    if not scales and len(values):
        scales = indicators.own_scales(values, pareto.directions(objectives))
    places = thinning.thinned(values, scales, epsilon=epsilon) if len(values) else None
    return (table if places is None else table.take(arrow.indices(places))), of


def _constant(front: pa.Table, table: pa.Table, objectives: Sequence[str]) -> tuple[str, ...]:
    """The objectives that tell no two candidates apart; few rows rule out most of them."""
    import numpy as np

    same = [name for name in objectives if len(front) and len(set(front[name].to_pylist())) == 1]
    if not same:
        return ()
    values = pareto.values(pareto.candidates(table, objectives), same)
    return tuple(name for name, column in zip(same, values.T, strict=True) if np.ptp(column) == 0)


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


def chosen_objectives(studies: Sequence[Path], typed: str) -> tuple[str, ...]:
    """The measures typed after --objectives, joined by commas, or, where none is, what the studies were searched for.

    Raises WrongInput for what is no measure, and where the studies were searched for different ones.
    """
    if not typed:
        return shared_objectives(studies)
    named = tuple(name.strip() for name in typed.split(","))
    try:
        pareto.check_objectives(named)
    except WrongInput as error:
        raise WrongInput(f"{error} (--objectives)") from error
    return named


def shared_objectives(studies: Sequence[Path]) -> tuple[str, ...]:
    """What several studies were searched for; raises WrongInput where they are not the same."""
    found = [study_objectives(study) for study in studies]
    for study, named in zip(studies, found, strict=True):
        if set(named) != set(found[0]):
            raise WrongInput(
                f"{studies[0]} was searched for {', '.join(found[0])}, {study} for {', '.join(named)}: "
                "say which front is meant (--objectives)"
            )
    return found[0]


def shared_constraints(studies: Sequence[Path]) -> tuple[Constraint, ...]:
    """What the front of several studies must meet: the constraints of each of them, together."""
    return tuple(dict.fromkeys(each for study in studies for each in study_constraints(study)))


def study_spec(study: Path) -> dict[str, Any]:
    """The study's frozen spec as it is written, whose ``search`` is a mapping; empty where there is no spec.yaml.

    Raises WrongInput where it cannot be read, or it or its ``search`` is no mapping.
    """
    import yaml

    path = study / SPEC
    try:
        spec: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}  # a study that is a file is named by whoever reads its rows
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WrongInput(f"{path} cannot be read as YAML: {' '.join(str(error).split())[:120]}") from error
    except OSError as error:
        raise WrongInput(f"{path} cannot be read: {error.strerror}") from error
    if spec is None:
        return {}
    if not isinstance(spec, dict):
        raise WrongInput(f"a spec is a mapping of sections such as search, got {spec!r:.60} ({path})")
    if not isinstance(spec.get("search", {}), dict | None):
        raise WrongInput(
            f"search takes a mapping, such as {{objectives: [val_accuracy, macs]}}, got {spec['search']!r:.60} ({path})"
        )
    return spec


def _searched(study: Path, name: str) -> Any:
    """A setting of the search as the study's frozen spec says it, None where it does not."""
    return (study_spec(study).get("search") or {}).get(name)


def _meeting(table: pa.Table, given: Sequence[Constraint]) -> pa.Table:
    if not given:
        return table
    import numpy as np

    return table.take(arrow.indices(np.flatnonzero(met(table, given))))
