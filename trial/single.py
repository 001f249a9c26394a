"""One trial from a file, without a search: ``prunefront trial RECIPE.yaml --study DIR``."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis.errors import WrongInput
from analysis.schema import DENSE
from trial.experiment import Experiment
from trial.frozen import freeze, frozen, rungs
from trial.networks import build, check_fits
from trial.plan import ended
from trial.recipe import Recipe, trial_id
from trial.rows import Row, read_all, writable
from trial.sensitivity import sensitivity
from trial.workbench import Workbench
from trial.yaml_file import read

__all__ = ["opened", "run_file", "sensitivity_file"]


def run_file(path: Path, study: Path) -> Row:
    """Run the recipe in a YAML file and return its row, which then lies in the study's folder.

    Raises WrongInput as `opened` does.
    """
    with opened(path, study) as (workbench, recipe):
        # What a search had trained of a trial until it stopped it ends at a rung.
        return ended(workbench.steps(recipe, rungs=rungs(study)))


def sensitivity_file(path: Path, study: Path) -> tuple[str, list[dict[str, Any]]]:
    """The name of the method in a recipe file, and how the study's network minds it: see `sensitivity`."""
    with opened(path, study) as (workbench, recipe):
        return recipe.method.name(), list(sensitivity(workbench, recipe))


@contextmanager
def opened(path: Path, study: Path) -> Iterator[tuple[Workbench, Recipe]]:
    """Open the study's workbench, its dense network there, for the recipe in a YAML file.

    The file holds ``method`` and its knobs, flat, as a row's columns do; beside them whatever the study's
    ``spec.yaml`` does not say: network, data, training settings, seed. A folder that no search made gets an
    ``experiment.yaml`` that says it from then on. Raises WrongInput where the file is wrong, or says something else.
    """
    given = read(path)
    shared = {name: given.pop(name) for name in tuple(given) if name in Experiment.model_fields}
    known = frozen(study)
    if known is not None:
        experiment, said_in = known
        said = Experiment.parse(experiment.model_dump(mode="json") | shared, where=path)
        other = [name for name in shared if getattr(said, name) != getattr(experiment, name)]
        if other:
            raise WrongInput(
                f"{other[0]} in {path} is not that of {said_in}: leave it out, or name a study of its own with --study"
            )
    else:
        missing = [name for name in ("network", "data") if name not in shared]
        if missing:
            raise WrongInput(
                f"{missing[0]} is missing ({path}: {missing[0]}): {study} has no spec.yaml that would say it"
            )
        experiment = Experiment.parse(shared, where=path)
    recipe = Recipe.parse(given, experiment, where=str(path))
    with writable(study):
        study.mkdir(parents=True, exist_ok=True)
        workbench = Workbench(
            experiment, study, study_name=study.resolve().name, worker=f"{socket.gethostname()}:{os.getpid()}"
        )
        # As a search does before it starts: what cannot be trained is a mistake to name, not a failed trial.
        check_fits(
            build(experiment.network, classes=len(workbench.classes), seed=experiment.seed),
            image=workbench.splits.train.images.shape[1:],
            classes=len(workbench.classes),
            called=experiment.network.called,
        )
        dense = trial_id(None, experiment, fingerprint=workbench.fingerprint)
        other = [row["trial"] for row in read_all(study) if row["method"] == DENSE and row["trial"] != dense]
        if other:
            raise WrongInput(
                f"{study} holds trials of another network, data or dense training than {path}: "
                "name another folder with --study"
            )
        if known is None:
            freeze(study, experiment)
        workbench.dense()
        yield workbench, recipe
