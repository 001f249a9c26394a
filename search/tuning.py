"""The Ray Tune side: one recipe is one Tune trial, proposed by `Proposals`, run on a `Worker` that is kept."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import tune
from ray.air._internal import usage
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from analysis.errors import WorkFailed
from search.halt import Halt
from search.proposals import Proposals
from search.resources import Share
from search.restarts import losses_of_ray
from search.space import Flat
from search.worker import MARKS, Place, Worker

__all__ = ["search"]

AGAIN = 2
"""So many times a trial whose worker died is begun again on another."""
LOSSES = 3
"""So many trials in a row whose worker died, and the search ends: it is not the recipes."""

MOST_AT_ONCE = 100_000
"""Trials that Tune may begin at a time: the proposals know how many there is room for, and that changes."""


class _Scheduler(FIFOScheduler):
    """Tune's side of early stopping: a trial that has reached a rung goes on, or makes room for another."""

    def __init__(self, proposals: Proposals) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._proposals = proposals
        self.left: set[str] = set()
        """Tune's names of trials whose machine is taken away, and that are to go on elsewhere."""
        self.halted: set[str] = set()
        """Of those that were left since the search was asked to end."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        if "left" in result:
            self._goes_elsewhere(trial, result["left"])
        if "rung" not in result:
            return str(FIFOScheduler.CONTINUE)
        goes_on = self._proposals.goes_on(trial.trial_id, json.loads(result["row"]), result["rung"])
        return str(FIFOScheduler.CONTINUE if goes_on else FIFOScheduler.STOP)

    def _goes_elsewhere(self, trial: Any, mark: list[Any]) -> None:
        """Note where to go on; the worker raises next, which ends it, and is none of the trial's failures."""
        self.left.add(trial.trial_id)
        if self._proposals.is_halted:
            self.halted.add(trial.trial_id)
        trial.run_metadata.num_failures -= 1
        if mark:
            training, epoch = mark
            trial.config.setdefault(MARKS, {}).setdefault(training, []).append(epoch)

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Leave it to Tune, which begins trials in the order in which they came.

        FIFOScheduler's choice, the first trial that waits, gives the worker of a trial that ended to one whose own
        worker is being started, and is then ended: where trials take less than a start, no machine that joins would
        ever come to work.
        """

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Over(Exception):
    """Every trial has ended."""


class _Beat(tune.Callback):
    """Calls a function at every turn of Tune's loop, some ten times a second; what it raises ends the search.

    It gets all of Tune's trials.
    """

    def __init__(
        self,
        turn: Callable[[list[Any]], None],
        *,
        left: set[str],
        halt: Halt,
        begun_again: Callable[[Flat], None],
        moved: Callable[[Flat], None],
    ) -> None:
        self.last_error = ""
        self._left = left
        self._halt = halt
        self._moved = moved
        self._turn = turn
        self._begun_again = begun_again
        self._first: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        if trial.trial_id in self._left:
            self._left.remove(trial.trial_id)
            if not self._halt.is_asked:
                self._moved(trial.config["recipe"])
        else:
            self._begun_again(trial.config["recipe"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        lines = str(trial.get_error() or "").strip().splitlines()
        self.last_error = lines[-1] if lines else ""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        # Tune keeps every trial to the end, in half a dozen places: without what follows it is 1 kB and not 20, and
        # Ray keeps the task whose answer it holds.
        self._first = self._first or trial
        trial.storage, trial.placement_group_factory = self._first.storage, self._first.placement_group_factory
        trial._default_result_or_future = None
        trial.config.clear()
        trial.evaluated_params.clear()
        kept, first = trial.run_metadata, self._first.run_metadata
        kept.checkpoint_manager = first.checkpoint_manager
        kept.metric_analysis, kept.metric_n_steps = {}, {}
        kept.last_result = {name: kept.last_result[name] for name in ("training_iteration", "trial_id")}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:  # noqa: ARG002
        self._turn(trials)


def search(
    place: Place,
    proposals: Proposals,
    *,
    share: Share,
    folder: Path,
    turn: Callable[[], None],
    begun_again: Callable[[Flat], None],
    moved: Callable[[Flat], None],
    halt: Halt,
) -> None:
    """Run trials until the proposals end, each with its ``share`` of a machine.

    ``turn`` is called all along, ``folder`` takes Tune's own files.

    ``begun_again`` is called with the recipe of a trial whose worker died, ``moved`` of one that left a machine which
    is being taken away; another worker takes both over. ``halt`` ends the search once every trial that runs was left.

    Raises OSError where a worker could not write, WorkFailed where workers keep dying, RayLost where Ray itself ends.
    """

    def watch(trials: list[Any]) -> None:
        if proposals.broken is not None:
            raise proposals.broken
        if proposals.lost_in_a_row >= LOSSES:
            raise WorkFailed(
                f"{LOSSES} workers died one after another, the last of {beat.last_error or 'no known error'}: "
                f"is there enough memory for {proposals.workers} of them?"
            )
        if halt.is_asked:
            proposals.is_halted = True
            # One that waits for a machine has nothing to lose.
            if scheduler.halted.issuperset(trial.trial_id for trial in trials if trial.status == Trial.RUNNING):
                raise KeyboardInterrupt
        turn()
        if proposals.is_over:
            # Tune's own way ends with a last snapshot and a table of all trials, of which nobody reads either.
            raise _Over

    scheduler = _Scheduler(proposals)
    beat = _Beat(watch, left=scheduler.left, halt=halt, begun_again=begun_again, moved=moved)
    # Else Tune starts one worker at a time; a trial that ends before the next is there takes that one's trial over,
    # and it is ended and started anew: with short trials for ever.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(MOST_AT_ONCE)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it prints tracebacks; what is lost is counted above
    # For usage reports, which are off, it counts callbacks by kind and loads MLflow to know its own: seconds and 70 MB.
    usage.tag_callbacks = lambda callbacks: False  # noqa: ARG005
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(Worker, place=place), {"cpu": share.cpu, **({"gpu": share.gpu} if share.gpu else {})}
        ),
        tune_config=tune.TuneConfig(
            search_alg=proposals,
            scheduler=scheduler,
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
    with losses_of_ray("Ray Tune failed"), suppress(_Over):
        tuner.fit()
