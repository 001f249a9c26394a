"""What runs trials in a process of its own: Ray's side of `trial.workbench`.

A worker writes a trial's row durably before it reports to Tune: nothing that Tune or Ray knows is needed to go on.
"""

from __future__ import annotations

import errno
import json
import math
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from warnings import warn

import ray
from ray import tune

from analysis.errors import WorkFailed, WrongInput
from search.drain import Drain
from search.environment import check_here
from search.halt import Halt
from search.resources import Share
from search.restarts import RayLost, losses_of_ray
from search.time_limit import TimeLimit
from trial.claims import Claims
from trial.experiment import Experiment
from trial.leaving import Leaves, Left, Marks, stays
from trial.notices import Notice, noticed
from trial.plan import Rung, Step
from trial.recipe import Recipe
from trial.rows import Row
from trial.training import Epoch
from trial.workbench import Workbench

__all__ = ["MARKS", "Place", "Worker", "dense_network"]

MARKS = "marks"
"""What a trial's configuration calls the epochs after which it was left, see `trial.leaving`."""

LOOK_SECONDS = 1.0
"""Between two looks whether a search that waits for a machine is to end."""
WAIT_SECONDS = 30.0
"""A worker's start takes less; whoever waits longer is told for what."""

OF_THE_WORKER = {None, errno.ENOENT, errno.ESTALE}
"""Errors of a worker whose folders end with its node, or whose stage another made meanwhile: his, not the study's."""


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

    def workbench(self, *, leaves: Leaves = stays) -> Workbench:
        """Load the data and be ready for trials."""
        # Last, so that a folder of the user's called analysis or trial never shadows ours.
        if str(self.code) not in sys.path:
            sys.path.append(str(self.code))
        worker = f"{socket.gethostname()}:{os.getpid()}"
        bench = Workbench(
            self.experiment, self.study, study_name=self.name, worker=worker, claims=self.claims, leaves=leaves
        )
        try:
            check_here()
        except WrongInput as differing:
            warn(str(differing), Notice, stacklevel=2)
        if ray.get_gpu_ids() and bench.device.type == "cpu":
            warn(
                f"{socket.gethostname()} gives trials a GPU that torch does not see there: they run on its cores "
                "(prunefront doctor there says why)",
                Notice,
                stacklevel=2,
            )
        return bench


class Drained(Exception):
    """This worker's machine is about to be taken away: Tune is to end the worker, and begin its trial elsewhere."""


class Worker(tune.Trainable):
    """Runs one recipe after another at a workbench of its own."""

    _limit: TimeLimit
    _has_begun: bool
    _has_left: bool
    """Its trial was left; the next step ends this worker."""

    def setup(self, config: dict[str, Any], place: Place | None = None) -> None:
        """Open the workbench, once for all trials of this worker."""
        assert place is not None, "Tune was given the place with the class"
        self._place = place
        self._drain = Drain()
        with noticed() as self._cautions:
            self._workbench = place.workbench(leaves=lambda: self._drain.is_on)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next recipe, whether the one before ended or was stopped; the workbench stays as it is."""
        self._steps.close()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Go on to the next rung, or to the end. What no trial can help, such as a full disk, is for the driver."""
        with noticed() as notices:
            return {**self._next(), "notices": notices, "cautions": self._cautions}

    def _next(self) -> dict[str, Any]:
        if self._has_left:
            raise Drained
        if self._drain.is_on and not self._has_begun:
            self._has_left = True
            return {"done": False, "left": []}
        self._has_begun = True
        try:
            with self._limit:
                step = next(self._steps)
        except StopIteration as end:
            return {"done": True, "row": json.dumps(end.value)}
        except Left as left:
            # First the driver is told where to go on: what is raised counts as a failure, unless it knows better.
            self._has_left = True
            return {"done": False, "left": [left.training, left.epoch]}
        except OSError as error:
            if error.errno in OF_THE_WORKER:
                raise  # Tune begins the trial again on another worker
            return {"done": True, "broken": [error.errno, error.strerror or str(error)]}
        if isinstance(step, Rung):
            return {"done": False, "rung": step.epoch, "row": json.dumps(step.known)}
        return {"done": False, "parent": True}

    def _begin(self, config: dict[str, Any]) -> None:
        recipe = Recipe.parse(config["recipe"], self._workbench.experiment, where="search")
        rungs = [rung for rung in self._place.rungs if rung > config["past"]]
        self._steps = self._trial(recipe, rungs=rungs, marks=config.get(MARKS, {}))
        self._has_begun = self._has_left = False
        self._limit = TimeLimit(self._place.time_limit, partial(self._workbench.give_up, recipe))

    def _trial(self, recipe: Recipe, *, rungs: Collection[int], marks: Marks) -> Generator[Step, None, Row]:
        # Nobody is asked to run a trial that has a row: a worker before this one left it, and died.
        known = self._workbench.row(recipe)
        return known if known is not None else (yield from self._workbench.steps(recipe, rungs=rungs, marks=marks))


def dense_network(
    place: Place, *, share: Share, on_epoch: Callable[[Epoch], None], say: Callable[[str], None], halt: Halt
) -> Row:
    """Train the dense network on a worker, before the trials that all start from it; its row.

    It has a GPU to itself where trials have a part of one: there is nobody else yet. A machine that is about to be
    taken away is left after the epoch that runs, and another goes on; where ``halt`` is asked for nobody does, and
    KeyboardInterrupt is raised.
    """
    needs = Share(cpu=share.cpu, gpu=1 if share.gpu else 0)
    held: Any = {"num_cpus": needs.cpu, "num_gpus": needs.gpu}
    task: Any = ray.remote(**held, num_returns="streaming", max_retries=1)(_dense)
    while True:
        made = task.remote(place)
        _wait_for_machine(made, needs=needs, say=say, halt=halt)
        row = _dense_row(made, on_epoch=on_epoch, say=say)
        if halt.is_asked:
            raise KeyboardInterrupt
        if row is not None:
            return row
        say("a machine is about to be taken away: the dense network's training goes on elsewhere")


def _wait_for_machine(made: Any, *, needs: Share, say: Callable[[str], None], halt: Halt) -> None:
    """Wait until a machine has taken the task up; KeyboardInterrupt where the search is asked to end before."""
    tell_at = time.monotonic() + WAIT_SECONDS
    with losses_of_ray("the dense network's worker failed"):
        while not ray.wait([made], timeout=LOOK_SECONDS, fetch_local=False)[0]:
            if halt.is_asked:
                ray.cancel(made)
                raise KeyboardInterrupt
            if time.monotonic() > tell_at:
                say(f"the dense network waits for a machine with {needs} to spare")
                tell_at = math.inf


def _dense_row(made: Any, *, on_epoch: Callable[[Epoch], None], say: Callable[[str], None]) -> Row | None:
    """The row that comes of the task, None where its machine was left."""
    row: Row = {}
    for reference in made:
        with losses_of_ray("the dense network's worker failed"):
            said = ray.get(reference)
        if isinstance(said, Epoch):
            on_epoch(said)
        elif isinstance(said, OSError | WorkFailed):
            raise said
        elif isinstance(said, Left):
            return None
        elif isinstance(said, str):
            say(said)
        elif said is not None:
            row = said
    if not row:
        # Ray runs a lost generator again and skips as many values as it had before: where the first run left the
        # stages, the second has no epochs to tell, and its row is among what is skipped. It lies in the study now.
        raise RayLost("the dense network's worker was lost")
    return row


def _dense(place: Place) -> Iterator[Epoch | Row | OSError | WorkFailed | Left | str | None]:
    """Yield None at once, every epoch as it ends, then notices and the row, or what kept it from being written."""
    yield None
    said: queue.SimpleQueue[Epoch | Row | OSError | WorkFailed | Left | str | None] = queue.SimpleQueue()
    drain = Drain()

    def train() -> None:
        try:
            with noticed() as notices:
                row = place.workbench(leaves=lambda: drain.is_on).dense(on_epoch=said.put)
            for notice in notices:
                said.put(notice)
            said.put(row)
        except OSError as error:
            said.put(OSError(error.errno, error.strerror or str(error)))
        except (WorkFailed, Left) as error:
            said.put(error)
        finally:
            said.put(None)

    # A daemon: a worker whose search was ended does not wait for the training to end.
    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    while (each := said.get()) is not None:  # Ray sends into the generator, which `yield from` would hand on
        if isinstance(each, OSError) and each.errno in OF_THE_WORKER:
            raise each
        yield each
    thread.join()
