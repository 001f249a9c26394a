"""A search whose trials sleep: everything of a trial but its stages. Run on the head of a cluster, as a program."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.control import METHODS, SPEC, Idle, _outcome
from search import worker
from search.progress import Lines
from search.spec import Spec
from trial import data
from trial.leaving import Leaves, stays
from trial.plan import Step
from trial.recipe import Recipe, trial_id
from trial.rows import Row
from trial.workbench import Workbench


class Sleeping(Idle):
    """Sleeps where others train."""

    seconds = 0.0

    def steps(self, recipe: Recipe, **said: Any) -> Generator[Step, None, Row]:  # noqa: ARG002
        """Write the row of a trial that took so long."""
        self._meet()
        trial = trial_id(recipe, self.experiment, fingerprint=self.fingerprint)
        return self._row(trial, recipe.columns(), lambda tally: _slept(trial, self.seconds))  # noqa: ARG005


def _slept(trial: str, seconds: float) -> Generator[Step, None, dict[str, Any]]:
    yield from ()
    time.sleep(seconds)
    return _outcome(trial)


@dataclass(frozen=True)
class SleepingPlace(worker.Place):
    """A place whose workbench sleeps; its workers wait for one another before their first trial."""

    seconds: float = 0.0
    at_once: int = 1

    def workbench(self, *, leaves: Leaves = stays) -> Workbench:
        """As a search's own, so that a worker costs what it costs."""
        real = super().workbench(leaves=leaves)
        made = Sleeping(self.experiment, self.study, study_name=self.name, worker=real._worker)
        made.seconds, made.workers = self.seconds, self.at_once
        return made


def search(study: Path, *, address: str, workers: int, trials: int, seconds: float) -> None:
    """Run a search of sleeping trials on a cluster."""
    from search.rest import run_rest

    space = {"methods": dict.fromkeys(METHODS, "any"), "recipe": {"recovery_epochs": [1, 2, 3, 4, 5]}}
    asked = {**space, "objectives": ["val_accuracy", "sparsity", "macs"], "sampler": "tpe", "trials": trials}
    spec: Spec = Spec.parse({**SPEC, "search": asked, "workers": workers}, where="benchmark")
    (study / "rows").mkdir(parents=True)
    said: dict[str, Any] = {"space": spec.space, "trials": spec.budget, "objectives": spec.search.objectives}
    progress = Lines(**said, rows=[])
    sleeping = partial(SleepingPlace, seconds=seconds, at_once=workers)
    with mock.patch.object(worker, "Place", sleeping):
        fingerprint = data.load(spec.data).fingerprint
        run_rest(spec, study, progress, warm_start=(), fingerprint=fingerprint, address=address)
    progress.close()


def main() -> None:
    """Search, and say how long it took from the program's first line on."""
    began = time.time()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.sleeping")
    parser.add_argument("study", type=Path)
    parser.add_argument("--address", required=True)
    for name, kind in (("workers", int), ("trials", int), ("seconds", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    given = parser.parse_args()
    # By its name, so that workers import it: what is __main__'s would travel with each trial.
    from benchmarks.scale import sleeping

    sleeping.search(
        given.study, address=given.address, workers=given.workers, trials=given.trials, seconds=given.seconds
    )
    (given.study / "took.json").write_text(json.dumps({"began": began, "ended": time.time()}))


if __name__ == "__main__":
    main()
