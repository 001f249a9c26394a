"""When each worker of a study did what: its trials, their stages, and the time in between.

Read from rows and from what trials left beside their curves (`trial.spans`); times are seconds since 1970.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from analysis import curves, table
from analysis.errors import WrongInput
from analysis.object_path import each
from analysis.schema import COLUMNS

__all__ = ["Stage", "Timeline", "Trial", "Worker", "read"]

How = Literal["made", "read", "waited", "failed"]
Phase = Literal["waiting", "stage"]
HOW: tuple[How, ...] = ("made", "read", "waited", "failed")
VISIBLE_SECONDS = 0.01
"""A shorter wait is not shown: taking a claim that is free takes a part of it."""


@dataclass(frozen=True)
class Stage:
    """A stage that a trial got. It was waited for first, for ``waited`` of its ``seconds``, and then made or read."""

    stage: str
    key: str
    round: int
    how: How
    start: float
    seconds: float
    waited: float
    epochs: int

    @property
    def end(self) -> float:
        """When it was there."""
        return self.start + self.seconds

    @property
    def phases(self) -> list[tuple[Phase, float, float]]:
        """What is to be shown of it, with start and end: the wait for it, the work on it, or one after the other."""
        if self.how == "waited":
            return [("waiting", self.start, self.end)]
        if self.waited < VISIBLE_SECONDS:
            return [("stage", self.start, self.end)]
        worked = self.start + self.waited
        return [("waiting", self.start, worked), ("stage", worked, self.end)]


@dataclass(frozen=True)
class Trial:
    """A trial as its worker ran it; its stages in the order in which they began."""

    trial: str
    worker: str
    state: str
    start: float
    end: float
    recipe: Mapping[str, Any]
    """The knobs that apply to it."""
    stages: tuple[Stage, ...]

    @property
    def waited(self) -> float:
        """Seconds spent waiting for stages that others made."""
        return sum(stage.waited for stage in self.stages)


@dataclass(frozen=True)
class Worker:
    """A worker and its trials, in the order in which they began."""

    name: str
    trials: tuple[Trial, ...]

    @property
    def seconds(self) -> float:
        """From the start of its first trial to the end of its last."""
        return max(trial.end for trial in self.trials) - self.trials[0].start

    @property
    def waiting(self) -> float:
        """Seconds in which it waited for stages that others made."""
        return sum(trial.waited for trial in self.trials)

    @property
    def busy(self) -> float:
        """Seconds in which it ran a trial and did not wait."""
        return sum(trial.end - trial.start for trial in self.trials) - self.waiting

    @property
    def between(self) -> float:
        """Seconds between its trials: what proposing and scheduling takes, and having nothing to do."""
        return max(0.0, self.seconds - self.busy - self.waiting)


@dataclass(frozen=True)
class Timeline:
    """A study's workers, in the order in which they began."""

    study: str
    workers: tuple[Worker, ...]
    unseen: int
    """Trials of which nothing is known but their rows: an earlier version left no spans."""

    @property
    def trials(self) -> Iterable[Trial]:
        """Every trial, worker by worker."""
        return (trial for worker in self.workers for trial in worker.trials)

    @property
    def start(self) -> float:
        """When the first trial began."""
        return min(trial.start for trial in self.trials)


def read(study: Path) -> Timeline:
    """A study's timeline so far; a trial that is under way is not in it.

    Raises WrongInput where there is no such study, where no row says when and where its trial ran, and for a damaged
    file.
    """
    rows = table.read(study)
    knobs = _knobs(rows.column_names)
    said = rows.select([*knobs, "trial", "worker", "state", "started", "seconds"]).to_pylist()
    ran = [row for row in said if row["worker"] and row["started"] and row["seconds"] is not None]
    if not ran:
        raise WrongInput(f"no row of {study} says when and on which worker its trial ran: a trace needs one that does")
    by_worker: dict[str, list[Trial]] = defaultdict(list)
    for trial in each(lambda row: _trial(row, knobs, study), ran, at=study):
        by_worker[trial.worker].append(trial)
    workers = (
        Worker(name, tuple(sorted(trials, key=lambda trial: (trial.start, trial.trial))))
        for name, trials in by_worker.items()
    )
    return Timeline(
        study=study.resolve().name,
        workers=tuple(sorted(workers, key=lambda worker: (worker.trials[0].start, worker.name))),
        unseen=sum(not trial.stages for trials in by_worker.values() for trial in trials),
    )


def _knobs(columns: Sequence[str]) -> list[str]:
    """The columns that make up a recipe: the schema's and whatever further knobs the catalogue had."""
    others = {column.name for column in COLUMNS if column.group != "recipe"}
    return [name for name in columns if name not in others]


def _trial(row: Mapping[str, Any], knobs: Sequence[str], study: Path) -> Trial:
    try:
        started = datetime.fromisoformat(row["started"]).timestamp()
    except ValueError as error:
        raise WrongInput(f"trial {row['trial']} of {study} started at {row['started']!r}, which is no time") from error
    stages = _stages(study, row["trial"])
    return Trial(
        trial=row["trial"],
        worker=row["worker"],
        state=row["state"] or "",
        # A row's start is cut to milliseconds: a trial's stages lie within it.
        start=min([started, *(stage.start for stage in stages)]),
        end=max([started + row["seconds"], *(stage.end for stage in stages)]),
        recipe={name: row[name] for name in knobs if row[name] is not None},
        stages=stages,
    )


def _stages(study: Path, trial: str) -> tuple[Stage, ...]:
    spans = curves.of_trial(study, trial)["spans"]
    try:
        stages = [_stage(span) for span in spans]
    except (KeyError, TypeError, ValueError) as error:
        raise WrongInput(
            f"the curves of trial {trial} in {study} hold a span that is none: delete them, the trial's row is not "
            f"touched ({type(error).__name__}: {error})"
        ) from error
    return tuple(sorted(stages, key=lambda stage: stage.start))


def _stage(span: Mapping[str, Any]) -> Stage:
    start, seconds, waited = (float(span[name]) for name in ("start", "seconds", "waited"))
    if not all(map(math.isfinite, (start, seconds, waited))) or not 0 <= waited <= seconds:
        raise ValueError(f"it lasts {seconds:g} s and waits {waited:g} s of them")
    if span["how"] not in HOW:
        raise ValueError(f"how is {span['how']!r}")
    return Stage(
        stage=str(span["stage"]),
        key=str(span["key"]),
        round=int(span["round"]),
        how=span["how"],
        start=start,
        seconds=seconds,
        waited=waited,
        epochs=int(span["epochs"]),
    )
