"""A worker's place of work: the data on its device, the store, and trials run on them one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from warnings import warn

import torch
from torch import nn

from analysis.errors import WorkFailed
from analysis.schema import DENSE
from trial import curves, gates
from trial.data import Splits, load
from trial.epoch_log import EpochLog
from trial.experiment import Experiment
from trial.latency import machine
from trial.leaving import NO_MARKS, Leaves, Left, Marks, note, noted, stays
from trial.maker import Maker, Tally
from trial.memory import keep_freed_memory
from trial.notices import Notice
from trial.numerics import device_here
from trial.onnx_file import session
from trial.plan import NONE, Plan, Rung, Step, ended
from trial.recipe import Recipe, trial_id
from trial.rows import Row, blank, read, write
from trial.shipped import FromFile
from trial.stages import OnEpoch
from trial.store import Claims, Store
from trial.turns import Turns
from trial.version import VERSION

__all__ = ["Workbench"]


class Workbench:
    """Runs trials of one experiment; a worker keeps it from trial to trial.

    ``study`` is the study's folder, ``study_name`` and ``worker`` are what rows call the two, ``claims`` settle who
    makes a stage: file locks where they are left out, ``leaves`` whether a trial is to be left after the epoch that
    runs. Loading the data raises WrongInput where it cannot be used.
    """

    def __init__(
        self,
        experiment: Experiment,
        study: Path,
        *,
        study_name: str,
        worker: str,
        claims: Claims | None = None,
        leaves: Leaves = stays,
    ) -> None:
        self.experiment = experiment
        self.device = device_here()
        keep_freed_memory()
        self._splits = load(experiment.data, device=str(self.device))
        self._study = study
        self._study_name = study_name
        self._worker = worker
        self._left = noted(study)
        self._maker = Maker(
            experiment,
            Store.of(study, claims),
            fingerprint=self.fingerprint,
            classes=len(self.classes),
            device=self.device,
            log=EpochLog(study),
            leaves=leaves,
        )

    @property
    def fingerprint(self) -> str:
        """The data's content hash."""
        return self._splits.fingerprint

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._splits.classes

    def dense(self, *, on_epoch: OnEpoch | None = None) -> Row:
        """Train the dense network unless the store has it; write and return its row, the study's reference."""
        trial = trial_id(None, self.experiment, fingerprint=self.fingerprint)

        def work(tally: Tally) -> Generator[Step, None, dict[str, Any]]:
            yield from ()  # nobody waits for anything on the way
            return Plan(self._maker, self._splits, tally, marks=self._left).dense(on_epoch)

        return ended(self._row(trial, {"method": DENSE}, work))

    def run(self, recipe: Recipe) -> Row:
        """Run one trial and return its row, durable before this returns.

        A trial that has a complete row is not run again: its row is returned, unless the experiment asks for a
        latency that the row lacks. A failing trial gives a row whose
        ``state`` is failed and whose ``error`` says why; only what no trial can help, such as a full disk,
        raises (OSError).
        """
        return ended(self.steps(recipe))

    def steps(
        self, recipe: Recipe, *, rungs: Collection[int] = (), marks: Marks = NO_MARKS
    ) -> Generator[Step, None, Row]:
        """Run one trial as `run` does, pausing where others may wait for it or decide on it; returns its row.

        What is yielded: that the network which it shares with other recipes is stored; and at ``rungs``, epochs of its
        last recovery, its row as it would be if it were stopped there, which is written by whoever stops it. ``marks``
        say where its trainings were left since this was opened. Raises Left where it is to be left now: then it has no
        row, and the study notes where.
        """
        trial = trial_id(recipe, self.experiment, fingerprint=self.fingerprint)
        known = {
            training: [*self._left.get(training, ()), *marks.get(training, ())] for training in {*self._left, *marks}
        }
        return self._row(
            trial,
            recipe.columns(),
            lambda tally: Plan(self._maker, self._splits, tally, rungs=rungs, marks=known).outcome(recipe),
        )

    def row(self, recipe: Recipe) -> Row | None:
        """The row that the trial has, whatever its state, None where it has none."""
        return read(self._study, trial_id(recipe, self.experiment, fingerprint=self.fingerprint))

    def give_up(self, recipe: Recipe, error: str, *, seconds: float) -> None:
        """Write the row of a trial that failed of ``error`` after so many seconds, unless it has a complete one."""
        known = self.row(recipe)
        if known is not None and known["state"] == "complete":
            return
        trial = trial_id(recipe, self.experiment, fingerprint=self.fingerprint)
        failed = {"state": "failed", "error": error, "seconds": seconds}
        write(self._study, blank() | self._identity(trial) | recipe.columns() | self._provenance() | failed)

    @property
    def splits(self) -> Splits:
        """The images that are trained and validated on."""
        return self._splits

    def parent(self, recipe: Recipe) -> nn.Module:
        """The network that the recipe's method cuts: the dense one, after sparsity training where it has some."""
        return self._maker.network(Plan(self._maker, self._splits, Tally()).parent(recipe))

    def with_seed(self, seed: int) -> Workbench:
        """The same place of work, its data loaded already, for the same experiment under another seed."""
        other = copy(self)
        other.experiment = self.experiment.model_copy(update={"seed": seed})
        other._maker = self._maker.with_seed(seed)
        return other

    def network(
        self, recipe: Recipe | None, *, stored_only: bool = False, on_epoch: OnEpoch | None = None
    ) -> tuple[nn.Module, dict[str, Any]]:
        """The network that a recipe ends with, None the dense one, and its measures; no row is written.

        Of a recipe that quantises it is the ONNX file that ships, called as a network is.
        Its stages are made where the store lacks them; with ``stored_only`` NotStored is raised instead. Raises
        whatever a trial may die of.
        """
        maker = self._maker.fetching_only() if stored_only else self._maker
        product = Plan(maker, self._splits, Tally()).network(recipe, on_epoch=on_epoch)
        finished = Plan(self._maker, self._splits, Tally())
        how = NONE if recipe is None else recipe.course.quantisation
        measures = finished.measures(product, how)
        if how == NONE:
            return self._maker.network(product), measures
        opened = session(finished.file(product, how), threads=self.experiment.numerics.threads)
        return FromFile(opened), measures

    def deployable(self, recipe: Recipe | None) -> tuple[nn.Module, bytes]:
        """The thin network that a recipe ends with, None the dense one, and its ONNX file, quantised as it says.

        Stages are made where the store lacks them. Raises whatever a trial may die of.
        """
        plan = Plan(self._maker, self._splits, Tally())
        product = plan.network(recipe)
        return self._maker.network(product), plan.file(product, NONE if recipe is None else recipe.course.quantisation)

    def _row(
        self,
        trial: str,
        recipe: dict[str, Any],
        work: Callable[[Tally], Generator[Step, None, dict[str, Any]]],
    ) -> Generator[Step, None, Row]:
        known = read(self._study, trial)
        if known is not None and known["state"] == "complete" and not self._is_untimed(known):
            return known
        row = blank() | self._identity(trial) | recipe | self._provenance()
        tally, start = Tally(), time.perf_counter()

        def counted() -> dict[str, Any]:
            curves.write(self._study, trial, tally.curve, tally.spans.entries())
            return {"epochs": tally.epochs, "epochs_reused": tally.reused, "seconds": time.perf_counter() - start}

        try:
            steps = self._with_room(lambda: work(tally))
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    came_out = end.value
                    break
                if isinstance(step, Rung):
                    step = Rung(step.epoch, row | step.known | {"state": "stopped"} | counted())
                yield step
            gates.finite_outcome(came_out)
            row |= came_out | {"state": "complete"}
        except Left as left:
            note(self._study, left)
            raise
        except (OSError, WorkFailed):
            raise
        except Exception as error:  # whatever a trial dies of is its row's error, not the study's end
            row |= {"state": "failed", "error": f"{type(error).__name__}: {error}"}
        row |= counted()
        write(self._study, row)
        return row

    def _with_room(
        self, work: Callable[[], Generator[Step, None, dict[str, Any]]]
    ) -> Generator[Step, None, dict[str, Any]]:
        """Work beside others, and once more alone on the device where its memory was not enough for all."""
        turns = Turns.on(self.device)
        try:
            with turns.shared():
                return (yield from work())
        except torch.OutOfMemoryError:
            device = self._provenance()["device"]
            warn(f"a trial ran out of the memory of {device}: it is tried once more, alone there", Notice, stacklevel=2)
        torch.cuda.empty_cache()  # does nothing where there is no GPU
        with turns.alone():
            try:
                return (yield from work())
            except torch.OutOfMemoryError as error:
                raise MemoryError(
                    f"{device} is too small for this trial alone: a smaller batch is another recipe"
                ) from error

    def _is_untimed(self, row: Row) -> bool:
        """Whether a row was made when the study did not ask for a measure that it asks for now."""
        return any(row.get(name) is None for name in self.experiment.latency)

    def _identity(self, trial: str) -> dict[str, Any]:
        network = self.experiment.network
        return {
            "study": self._study_name,
            "trial": trial,
            "network": network.called,
            "width": network.width,
            "data": self.experiment.data.name,
            "seed": self.experiment.seed,
            "classes": len(self.classes),
        }

    def _provenance(self) -> dict[str, Any]:
        return {
            "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "worker": self._worker,
            "device": machine(self.device),
            "precision": self.experiment.numerics.precision,
            "torch": str(torch.__version__),
            "version": VERSION,
        }
