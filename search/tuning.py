"""The Ray Tune side: one recipe is one Tune trial, asked of our sampler, run on a worker that is kept.

A worker writes a trial's row durably before it reports to Tune: nothing that Tune or Ray knows is needed to go on.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayError
from ray.tune.search import Searcher

from analysis.errors import WorkFailed
from search.sampler import Sampler
from trial.experiment import Experiment
from trial.notices import noticed
from trial.recipe import Recipe
from trial.rows import Row
from trial.training import Epoch
from trial.workbench import Workbench

__all__ = ["Place", "Proposals", "dense_network", "search"]

LOSSES = 3
"""So many trials in a row whose worker died, and the search ends: it is not the recipes."""


@dataclass(frozen=True)
class Place:
    """What a worker needs to open its workbench."""

    experiment: Experiment
    study: Path
    name: str
    """What rows call the study."""
    code: Path
    """The folder that the user started in: where a network of his own is imported from."""

    def workbench(self) -> Workbench:
        """Load the data and be ready for trials."""
        # Last, so that a folder of the user's called analysis or trial never shadows ours.
        if str(self.code) not in sys.path:
            sys.path.append(str(self.code))
        worker = f"{socket.gethostname()}:{os.getpid()}"
        return Workbench(self.experiment, self.study, study_name=self.name, worker=worker)


class Worker(tune.Trainable):
    """Runs one recipe after another at a workbench of its own."""

    def setup(self, config: dict[str, Any], place: Place | None = None) -> None:
        """Open the workbench, once for all trials of this worker."""
        assert place is not None, "Tune was given the place with the class"
        self._workbench = place.workbench()
        self._recipe = self._made(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next recipe; the workbench stays as it is."""
        self._recipe = self._made(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run the trial to its end. What no trial can help, such as a full disk, is reported for the driver."""
        with noticed() as notices:
            try:
                row = self._workbench.run(self._recipe)
            except OSError as error:
                return {"done": True, "broken": [error.errno, error.strerror or str(error)], "notices": notices}
        return {"done": True, "row": json.dumps(row), "notices": notices}

    def _made(self, config: dict[str, Any]) -> Recipe:
        return Recipe.parse(config["recipe"], self._workbench.experiment, where="search")


class Proposals(Searcher):
    """Hands the sampler's proposals to Tune, and each trial's row to the sampler and to whoever listens.

    Tune calls ``suggest`` whenever it could start a trial and ``on_trial_complete`` once for each that it started.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        budget: int,
        workers: int,
        finished: Callable[[Row], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.under_way: dict[str, dict[str, Any]] = {}
        """Recipe and start of each trial that runs, by Tune's name for it."""
        self.broken: OSError | None = None
        self.lost_in_a_row = 0
        self._sampler = sampler
        self._left = budget
        self._workers = workers
        self._finished = finished
        self._say = say
        self._running: dict[str, int] = {}

    @property
    def running(self) -> int:
        """How many trials are under way."""
        return len(self._running)

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:  # noqa: ARG002
        """Accept that Tune knows no metric: objectives are the sampler's."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Propose a recipe, or nothing for now, or say that the search is over."""
        if self._left == 0:
            # Not over yet: a trial whose worker dies gives its place in the budget back.
            return None if self._running else Searcher.FINISHED
        if len(self._running) >= self._workers:
            return None
        proposal = self._sampler.ask()
        if proposal is None:
            return None if self._running else Searcher.FINISHED
        number, recipe = proposal
        self._left -= 1
        self._running[trial_id] = number
        self.under_way[trial_id] = {"recipe": recipe, "since": time.time()}
        return {"recipe": recipe}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the sampler what became of a trial: its row, or that its worker was lost."""
        number = self._running.pop(trial_id)
        del self.under_way[trial_id]
        for notice in (result or {}).get("notices", ()):
            self._say(notice)
        if result is not None and "broken" in result:
            self.broken = OSError(*result["broken"])
        if error or result is None or "row" not in result:
            self._left += 1
            self.lost_in_a_row += 1
            self._sampler.tell(number, None)
            return
        row = json.loads(result["row"])
        self.lost_in_a_row = 0
        self._sampler.tell(number, row)
        self._finished(row)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A trial reports once, at its end."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles what it is given, to restore a search that we go on with from the rows."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept: the rows are what a search goes on from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class _Beat(tune.Callback):
    """Calls a function at every turn of Tune's loop, some ten times a second; what it raises ends the search."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self.last_error = ""
        self._turn = turn

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        lines = str(trial.get_error() or "").strip().splitlines()
        self.last_error = lines[-1] if lines else ""

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:  # noqa: ARG002
        self._turn()


def search(place: Place, proposals: Proposals, *, workers: int, folder: Path, turn: Callable[[], None]) -> None:
    """Run trials until the proposals end; ``turn`` is called all along, ``folder`` takes Tune's own files.

    Raises OSError where a worker could not write, WorkFailed where workers keep dying.
    """

    def watch() -> None:
        if proposals.broken is not None:
            raise proposals.broken
        if proposals.lost_in_a_row >= LOSSES:
            raise WorkFailed(
                f"{LOSSES} workers died one after another, the last of {beat.last_error or 'no known error'}: "
                f"is there enough memory for {workers} of them?"
            )
        turn()

    beat = _Beat(watch)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it prints tracebacks; what is lost is counted above
    gpus = torch.cuda.device_count()
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(Worker, place=place), {"cpu": 1, **({"gpu": min(1, gpus / workers)} if gpus else {})}
        ),
        tune_config=tune.TuneConfig(
            search_alg=proposals, num_samples=-1, reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(folder),
            verbose=0,
            callbacks=[beat],
            # Once more on a fresh worker: the first may have died of something that was not the trial's.
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except (tune.TuneError, RayError) as error:
        raise WorkFailed(f"Ray Tune failed: {' '.join(str(error).split())[-300:]}") from error


def dense_network(place: Place, *, on_epoch: Callable[[Epoch], None], say: Callable[[str], None]) -> Row:
    """Train the dense network on a worker, before the trials that all start from it; its row."""
    gpu = 1 if torch.cuda.is_available() else 0
    made: Any = ray.remote(num_cpus=1, num_gpus=gpu, num_returns="streaming", max_retries=1)(_dense).remote(place)
    row: Row = {}
    for reference in made:
        try:
            said = ray.get(reference)
        except RayError as error:
            raise WorkFailed(f"the dense network's worker failed: {' '.join(str(error).split())[-300:]}") from error
        if isinstance(said, Epoch):
            on_epoch(said)
        elif isinstance(said, OSError):
            raise said
        elif isinstance(said, str):
            say(said)
        else:
            row = said
    return row


def _dense(place: Place) -> Iterator[Epoch | Row | OSError | str]:
    """Yield every epoch as it ends, then notices and the row, or the error that kept it from being written."""
    said: queue.SimpleQueue[Epoch | Row | OSError | str | None] = queue.SimpleQueue()

    def train() -> None:
        try:
            with noticed() as notices:
                row = place.workbench().dense(on_epoch=said.put)
            for notice in notices:
                said.put(notice)
            said.put(row)
        except OSError as error:
            said.put(OSError(error.errno, error.strerror or str(error)))
        finally:
            said.put(None)

    # A daemon: a worker whose search was ended does not wait for the training to end.
    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    while (each := said.get()) is not None:  # Ray sends into the generator, which `yield from` would hand on
        yield each
    thread.join()
