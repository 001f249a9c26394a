"""Small workbenches: what tests of whole trials have in common."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.trial import tiny
from trial.experiment import Experiment
from trial.recipe import Recipe
from trial.rows import Row
from trial.workbench import Workbench

__all__ = ["DEPLOYED", "OF_A_RUN", "TINY", "complete", "curve", "experiment", "opened", "outcome", "run"]

TINY: Mapping[str, Any] = {
    "network": tiny.NETWORK,
    "data": {"name": "digits", "images": 60, "validation": 20},
    "dense": {"epochs": 1, "rate": 0.05, "batch": 16},
    "sparsity": {"epochs": 1, "rate": 0.05, "batch": 16},
    "recovery": {"epochs": 1, "rate": 0.02, "batch": 16},
}
DEPLOYED: Mapping[str, Any] = {
    "network": {"code": "tests.trial.tiny:made"},
    "data": {"name": "digits", "images": 400, "validation": 100},
    "dense": {"epochs": 3},
    "recovery": {"epochs": 1},
}
"""Trained so far that files made of its networks can be told apart by their accuracy."""
TRAININGS = ("dense", "sparsity", "recovery")
OF_A_RUN = ("study", "started", "seconds", "worker", "epochs_reused")
"""What a row says of when and where it was made."""


def experiment(given: Mapping[str, Any] = TINY, /, **changes: Any) -> Experiment:
    """Changes of a training are of its single settings: ``dense={"epochs": 2}``."""
    parts = {name: {**given.get(name, {}), **part} if name in TRAININGS else part for name, part in changes.items()}
    made: Experiment = Experiment.parse({**given, **parts}, where="spec.yaml")
    return made


def opened(study: Path, given: Mapping[str, Any] = TINY, /, **changes: Any) -> Workbench:
    return Workbench(experiment(given, **changes), study, study_name=study.name, worker="here")


def run(bench: Workbench, given: Mapping[str, Any]) -> Row:
    return bench.run(Recipe.parse(given, bench.experiment, where="spec.yaml"))


def complete(row: Row) -> Row:
    assert (row["state"], row["error"]) == ("complete", None)
    return row


def outcome(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OF_A_RUN}


def curve(study: Path, row: Row) -> list[dict[str, Any]]:
    """A trial's epochs, as its file has them."""
    epochs: list[dict[str, Any]] = json.loads((study / "curves" / f"{row['trial']}.json").read_bytes())["epochs"]
    return epochs
