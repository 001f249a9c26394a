"""What all trials of a study have in common, as the study's folder says it."""

from __future__ import annotations

from pathlib import Path

from analysis.durable import write_durably
from trial.experiment import Experiment
from trial.yaml_file import read, text

__all__ = ["freeze", "frozen"]

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


def freeze(study: Path, experiment: Experiment) -> None:
    """Say in a folder of its own what its trials have in common."""
    write_durably(study / EXPERIMENT, text(experiment.model_dump(mode="json")).encode())
