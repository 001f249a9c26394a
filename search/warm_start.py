"""Rows of other studies that teach a search: ``search.warm_start``.

A row is taken where this spec's own trial of its recipe would be the very same but for the seed: same network, data,
dense training, sparsity training and recovery, which a trial's name says. The seed may be another one: it moves an
accuracy by noise, not the place of good recipes. Complete and stopped rows teach; failed ones and the dense network's
do not, nor, where a time is searched for, those of another device. A recipe with a complete row that has all
objectives is not run again. The rows stay where they are: the front of this study does not hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import WrongInput
from analysis.schema import DENSE, TIMED, measure
from search.sampler import Sampler
from search.space import Space
from search.spec import Spec
from trial.experiment import Experiment
from trial.frozen import frozen
from trial.networks import identity
from trial.processor import cpu
from trial.recipe import Recipe, trial_id
from trial.rows import Row, read_all

__all__ = ["Other", "Taken", "others", "teach"]

_PLACES = {"when asked for": "device", "of the artefact": "latency_machine"}
"""When a time is taken → the column that says on what."""


@dataclass(frozen=True)
class Other:
    """A study whose rows may teach a search: of the same network, data and dense training."""

    study: Path
    experiment: Experiment
    rows: tuple[Row, ...]
    """Those of its trials, the dense network left out."""


@dataclass(frozen=True)
class Taken:
    """What was taken from one study."""

    study: Path
    rows: tuple[Row, ...]
    total: int
    """Trials that the study has a row of, the dense network left out."""

    def __str__(self) -> str:
        """The line that a search begins and ends with."""
        complete = sum(row["state"] == "complete" for row in self.rows)
        return (
            f"{len(self.rows)} of the {self.total} trials in {self.study} taught the sampler, {complete} of them "
            f"{'is' if complete == 1 else 'are'} not run again; they are not on this study's front"
        )


def others(spec: Spec, *, study: Path, fingerprint: str) -> list[Other]:
    """The studies of ``search.warm_start``, read.

    ``study`` is the search's own folder, ``fingerprint`` that of its data. Raises WrongInput, one line that says why,
    for a folder that is no study, or the search's own, and for a study of another network or other data.
    """
    found = []
    for place, folder in enumerate(spec.search.warm_start):
        where = f"search.warm_start.{place}"
        if folder.resolve() == study.resolve():
            raise WrongInput(f"{folder} is the study itself, whose rows it goes on from: leave it out ({where})")
        known = frozen(folder)
        if known is None:
            raise WrongInput(f"{folder} is not a study: it has no spec.yaml ({where})")
        rows = read_all(folder)
        _check_alike(known[0], spec, rows, folder, fingerprint=fingerprint, where=where)
        found.append(Other(folder, known[0], tuple(row for row in rows if row["method"] != DENSE)))
    return found


def teach(sampler: Sampler, spec: Spec, found: Iterable[Other], *, device: str, fingerprint: str) -> list[Taken]:
    """Teach the sampler the rows of other studies; what was taken from where.

    ``device`` is what rows call the device of this search: where it is searched for a time, a row that was timed on
    another one does not teach.
    """
    space, taken = spec.space, []
    measured = (*spec.search.objectives, *spec.search.constraints)
    places = {_PLACES[measure(name).taken] for name in measured if name in TIMED}
    here = {"device": device, "latency_machine": cpu()}
    for other in found:
        fitting = (
            row
            for row in other.rows
            if all(row[name] == here[name] for name in places)
            and _fits(row, other.experiment, spec, space, fingerprint=fingerprint)
        )
        rows = tuple(row for row in fitting if sampler.remember(row, is_own=False))
        taken.append(Taken(other.study, rows, len(other.rows)))
    return taken


def _check_alike(
    other: Experiment, spec: Spec, rows: Sequence[Row], folder: Path, *, fingerprint: str, where: str
) -> None:
    if identity(other.network) != identity(spec.network):
        raise WrongInput(
            f"{folder} searched another network, {_called(other)}, and this spec's is {_called(spec)}: leave it out "
            f"({where})"
        )
    dense = [row["trial"] for row in rows if row["method"] == DENSE]
    if not dense:
        raise WrongInput(
            f"{folder} has no row of its dense network, which says what data it has: leave it out ({where})"
        )
    if trial_id(None, other, fingerprint=fingerprint) not in dense:
        raise WrongInput(f"{folder} has other data, or other code, than there is for this spec: leave it out ({where})")
    if other.dense != spec.dense:
        raise WrongInput(
            f"{folder} trained its dense network in another way, so that accuracies cannot be compared: leave it out, "
            f"or give the same dense settings ({where})"
        )


def _fits(row: Row, other: Experiment, spec: Spec, space: Space, *, fingerprint: str) -> bool:
    """Whether this spec's trial of the row's recipe, under the other study's seed, would be that row."""
    if row["state"] not in {"complete", "stopped"}:
        return False
    traced = space.trace(row)
    if traced is None:
        return False
    if row["state"] == "complete" and any(row.get(name) is None for name in spec.search.objectives):
        return False
    own = spec.experiment().model_copy(update={"seed": other.seed})
    recipe = Recipe.parse(traced[0], own, where=row["trial"])
    return bool(trial_id(recipe, own, fingerprint=fingerprint) == row["trial"])


def _called(experiment: Experiment) -> str:
    width = experiment.network.width
    return experiment.network.called + (f" × {width:g}" if width != 1 else "")
