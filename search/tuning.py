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
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from analysis.errors import WorkFailed
from search.order import Order, Proposal
from search.restarts import losses_of_ray
from search.sampler import Sampler
from search.space import Flat
from search.stopping import Stopping
from search.time_limit import TimeLimit
from trial.claims import Claims
from trial.experiment import Experiment
from trial.plan import Rung, Step
from trial.recipe import Recipe
from trial.rows import Row
from trial.training import Epoch
from trial.workbench import Workbench

__all__ = ["Place", "Proposals", "dense_network", "search"]

AGAIN = 2
"""So many times a trial whose worker died is begun again on another."""
LOSSES = 3
"""So many trials in a row whose worker died, and the search ends: it is not the recipes."""


@dataclass(frozen=True)
class Place:
    """What a worker needs to open its workbench and run trials there."""

    experiment: Experiment
    study: Path
    name: str
    """What rows call the study."""
    code: Path
    """The folder that the user started in: where a network of his own is imported from."""
    claims: Claims | None = None
    """Who makes a stage, in a cluster; file locks where it is left out."""
    rungs: tuple[int, ...] = ()
    """Epochs of recovery at which trials report, and may be stopped."""
    time_limit: float | None = None
    """Seconds that a trial may take."""

    def workbench(self) -> Workbench:
        """Load the data and be ready for trials."""
        # Last, so that a folder of the user's called analysis or trial never shadows ours.
        if str(self.code) not in sys.path:
            sys.path.append(str(self.code))
        worker = f"{socket.gethostname()}:{os.getpid()}"
        return Workbench(self.experiment, self.study, study_name=self.name, worker=worker, claims=self.claims)


class Worker(tune.Trainable):
    """Runs one recipe after another at a workbench of its own."""

    def setup(self, config: dict[str, Any], place: Place | None = None) -> None:
        """Open the workbench, once for all trials of this worker."""
        assert place is not None, "Tune was given the place with the class"
        self._place = place
        self._workbench = place.workbench()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next recipe, whether the one before ended or was stopped; the workbench stays as it is."""
        self._steps.close()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Go on to the next rung, or to the end. What no trial can help, such as a full disk, is for the driver."""
        try:
            with self._limit:
                step = next(self._steps)
        except StopIteration as end:
            return {"done": True, "row": json.dumps(end.value)}
        except OSError as error:
            return {"done": True, "broken": [error.errno, error.strerror or str(error)]}
        if isinstance(step, Rung):
            return {"done": False, "rung": step.epoch, "row": json.dumps(step.known)}
        return {"done": False, "parent": True}

    def _begin(self, config: dict[str, Any]) -> None:
        recipe = Recipe.parse(config["recipe"], self._workbench.experiment, where="search")
        self._steps = self._trial(recipe)
        self._limit = TimeLimit(self._place.time_limit, partial(self._workbench.give_up, recipe))

    def _trial(self, recipe: Recipe) -> Generator[Step, None, Row]:
        # Nobody is asked to run a trial that has a row: a worker before this one left it, and died.
        known = self._workbench.row(recipe)
        return known if known is not None else (yield from self._workbench.steps(recipe, rungs=self._place.rungs))


class Proposals(Searcher):
    """Hands the sampler's proposals to Tune, and each trial's row to the sampler and to whoever listens.

    Tune calls ``suggest`` whenever it could start a trial and ``on_trial_complete`` once for each that it started.

    Args:
        sampler: Asked for recipes, and told what became of them.
        order: Of those that wait; with the parents that are there already.
        parent_of: Names the network that a recipe shares with others, see `Recipe.parent`.
        budget: How many recipes to run.
        workers: How many at once.
        lookahead: How many may wait.
        finished: Called with every row, a stopped trial's before it is told to the sampler: it has to be written.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        order: Order,
        parent_of: Callable[[Flat], str | None],
        budget: int,
        workers: int,
        lookahead: int,
        finished: Callable[[Row], None],
    ) -> None:
        super().__init__()
        self.broken: OSError | None = None
        self.lost_in_a_row = 0
        self._sampler = sampler
        self._order = order
        self._parent_of = parent_of
        self._left = budget
        self._workers = workers
        self._lookahead = lookahead
        self._finished = finished
        self._running: dict[str, Proposal] = {}

    @property
    def running(self) -> int:
        """How many trials are under way."""
        return len(self._running)

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:  # noqa: ARG002
        """Accept that Tune knows no metric: objectives are the sampler's."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Propose a recipe, or nothing for now, or say that the search is over."""
        if len(self._running) >= self._workers:
            return None
        proposal = self._next()
        if proposal is None:
            # Not over yet: a trial whose worker dies gives its place in the budget back.
            return None if self._running else Searcher.FINISHED
        self._running[trial_id] = proposal
        return {"recipe": proposal.recipe}

    def _next(self) -> Proposal | None:
        """The next proposal, asked for only where none of those that wait can be run."""
        while (proposal := self._order.take()) is None and self._left and len(self._order) < self._lookahead:
            asked = self._sampler.ask()
            if asked is None:
                return None
            number, recipe = asked
            self._left -= 1
            self._order.add(Proposal(number, recipe, self._parent_of(recipe)))
        return proposal

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the sampler what became of a trial: its row, or that its worker was lost."""
        proposal = self._running.pop(trial_id)
        self._order.ended(proposal)
        if result is not None and "broken" in result:
            self.broken = OSError(*result["broken"])
        if error or result is None or "row" not in result:
            self._left += 1
            self.lost_in_a_row += 1
            self._sampler.tell(proposal.number, None)
            return
        row = json.loads(result["row"])
        self.lost_in_a_row = 0
        self._finished(row)
        self._sampler.tell(proposal.number, row)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Let go of those that waited for the network that this trial has made."""
        parent = self._running[trial_id].parent
        if "parent" in result and parent is not None:
            self._order.made(parent)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles what it is given, to restore a search that we go on with from the rows."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept: the rows are what a search goes on from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class _Scheduler(FIFOScheduler):
    """Tune's side of early stopping: a trial that has reached a rung goes on or is stopped."""

    def __init__(self, stopping: Stopping) -> None:
        super().__init__()
        self._stopping = stopping

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        if "rung" not in result:
            return str(FIFOScheduler.CONTINUE)
        goes_on = self._stopping.goes_on(json.loads(result["row"]), result["rung"])
        return str(FIFOScheduler.CONTINUE if goes_on else FIFOScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        return {}


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


def search(
    place: Place,
    proposals: Proposals,
    stopping: Stopping,
    *,
    workers: int,
    folder: Path,
    turn: Callable[[], None],
) -> None:
    """Run trials until the proposals end; ``turn`` is called all along, ``folder`` takes Tune's own files.

    Raises OSError where a worker could not write, WorkFailed where workers keep dying, RayLost where Ray itself ends.
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
            search_alg=proposals,
            scheduler=_Scheduler(stopping),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(folder),
            verbose=0,
            callbacks=[beat],
            # On a fresh worker: the first may have died of something that was not the trial's.
            failure_config=tune.FailureConfig(max_failures=AGAIN),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    with losses_of_ray("Ray Tune failed"):
        tuner.fit()


def dense_network(place: Place, *, on_epoch: Callable[[Epoch], None]) -> Row:
    """Train the dense network on a worker, before the trials that all start from it; its row."""
    gpu = 1 if torch.cuda.is_available() else 0
    made: Any = ray.remote(num_cpus=1, num_gpus=gpu, num_returns="streaming", max_retries=1)(_dense).remote(place)
    row: Row = {}
    for reference in made:
        with losses_of_ray("the dense network's worker failed"):
            said = ray.get(reference)
        if isinstance(said, Epoch):
            on_epoch(said)
        elif isinstance(said, OSError | WorkFailed):
            raise said
        else:
            row = said
    return row


def _dense(place: Place) -> Iterator[Epoch | Row | OSError | WorkFailed]:
    """Yield every epoch as it ends, then the row, or the error that kept it from being written."""
    said: queue.SimpleQueue[Epoch | Row | OSError | WorkFailed | None] = queue.SimpleQueue()

    def train() -> None:
        try:
            said.put(place.workbench().dense(on_epoch=said.put))
        except OSError as error:
            said.put(OSError(error.errno, error.strerror or str(error)))
        except WorkFailed as error:
            said.put(error)
        finally:
            said.put(None)

    # A daemon: a worker whose search was ended does not wait for the training to end.
    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    while (each := said.get()) is not None:  # Ray sends into the generator, which `yield from` would hand on
        yield each
    thread.join()
