"""What all trials of a study have in common, as the study's folder says it."""

from __future__ import annotations

from pathlib import Path

from analysis.durable import write_durably
from trial.experiment import Experiment
from trial.yaml_file import read, text

__all__ = ["freeze", "frozen", "rungs"]

SPEC = "spec.yaml"
"""Written by a search."""
EXPERIMENT = "experiment.yaml"
"""Written by the first trial of a folder that no search made."""


def frozen(study: Path) -> tuple[Experiment, Path] | None:
    """The study's experiment and the file that says it, None where the folder has neither; raises WrongInput."""
    for path in (study / SPEC, study / EXPERIMENT):
        if path.exists():
            said = {name: value for name, value in read(path).items() if name in Experiment.model_fields}
            experiment: Experiment = Experiment.parse(said, where=path)
            return experiment, path
    return None


def rungs(study: Path) -> tuple[int, ...]:
    """The epochs of recovery at which the study's search compares trials; none where no search made the folder."""
    path = study / SPEC
    search = read(path).get("search") if path.exists() else None
    said = search.get("rungs") if isinstance(search, dict) else None
    return tuple(said) if isinstance(said, list) else ()


def freeze(study: Path, experiment: Experiment) -> None:
    """Say in a folder of its own what its trials have in common."""
    write_durably(study / EXPERIMENT, text(experiment.model_dump(mode="json")).encode())
