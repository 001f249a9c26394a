"""What the user sees while a search runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from analysis import front_table
from analysis.constraints import Constraint, listed
from analysis.schema import arrow_schema
from analysis.summary import FrontSummary, summarise
from search.space import Space
from trial.recipe import columns
from trial.rows import Row
from trial.training import Epoch

__all__ = ["Progress", "most_frequent", "on_this_terminal"]

SHARE = 0.05
"""Of the driver's time, at most, for working out the front anew."""


class Progress(ABC):
    """Counts what was done and shows it. ``rows`` are those of earlier runs, ``dense`` the row of the dense network."""

    def __init__(
        self,
        *,
        space: Space,
        trials: int,
        objectives: Sequence[str],
        rows: Sequence[Row],
        constraints: Sequence[Constraint] = (),
    ) -> None:
        self.space = space
        self.constraints = tuple(constraints)
        self.taught: list[str] = []
        """Lines that say what other studies' rows were taken."""
        self.trials = trials
        self.objectives = tuple(objectives)
        self.rows = list(rows)
        self.dense: Row | None = None
        self._before = len(rows)
        self._began = time.monotonic()

    def begin(self) -> None:
        """Start the clock: what came before, dense training and Ray's start, says nothing about trials per hour."""
        self._began = time.monotonic()

    def finished(self, row: Row) -> None:
        """Take note of a trial that has ended."""
        self.rows.append(row)

    @abstractmethod
    def say(self, line: str) -> None:
        """Show a line that stays."""

    @abstractmethod
    def epoch(self, epoch: Epoch, *, epochs: int) -> None:
        """Show how far the dense network's training is."""

    def turn(self, running: int) -> None:  # noqa: B027  # plain lines have nothing to draw in between
        """Called some ten times a second."""

    def close(self) -> None:  # noqa: B027
        """Leave the terminal as it was."""

    @property
    def per_hour(self) -> float | None:
        """Trials per hour of this run, None before the first."""
        done, seconds = len(self.rows) - self._before, time.monotonic() - self._began
        return done * 3600 / seconds if done and seconds > 0 else None

    @property
    def pace(self) -> str:
        """Trials per hour and time left, as people write them; empty before the first trial."""
        rate = self.per_hour
        if rate is None:
            return ""
        left = max(0, self.trials - len(self.rows)) * 3600 / rate
        return f"{rate:.0f} trials/h  {_clock(left)} left"


class Lines(Progress):
    """One line for each finished trial."""

    def say(self, line: str) -> None:
        """Print the line."""
        print(line, flush=True)  # noqa: T201

    def epoch(self, epoch: Epoch, *, epochs: int) -> None:
        """Print every quarter of the training."""
        if epoch.epoch * 4 // epochs > (epoch.epoch - 1) * 4 // epochs:
            self.say(f"dense network: epoch {epoch.epoch}/{epochs} val_accuracy={epoch.val_accuracy:.3f}")

    def finished(self, row: Row) -> None:
        """Print the trial, what came out, and the pace."""
        super().finished(row)
        self.say(f"{len(self.rows)}/{self.trials} {_told(row, self.space, self.objectives)}  {self.pace}")


class Drawn(Progress):
    """A table that is drawn anew in place: progress, pace, the last trials, the front so far."""

    def __init__(
        self,
        console: Console,
        *,
        space: Space,
        trials: int,
        objectives: Sequence[str],
        rows: Sequence[Row],
        constraints: Sequence[Constraint] = (),
    ) -> None:
        super().__init__(space=space, trials=trials, objectives=objectives, rows=rows, constraints=constraints)
        self._console = console
        self._latest: deque[str] = deque(maxlen=3)
        self._running = 0
        self._front: FrontSummary | None = None
        self._front_due = 0.0
        self._preparing = "starting the workers"
        # Last: it draws at once.
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def say(self, line: str) -> None:
        """Print the line above the table."""
        self._live.console.print(line, highlight=False, markup=False)

    def epoch(self, epoch: Epoch, *, epochs: int) -> None:
        """Show the epoch in place."""
        self._preparing = f"dense network: epoch {epoch.epoch}/{epochs}, validation accuracy {epoch.val_accuracy:.3f}"

    def begin(self) -> None:
        """Start the clock; workers and dense network are there."""
        super().begin()
        self._preparing = ""

    def finished(self, row: Row) -> None:
        """Show the trial among the latest."""
        super().finished(row)
        self._latest.append(_told(row, self.space, self.objectives))

    def turn(self, running: int) -> None:
        """Work the front out anew, if it is not too soon."""
        self._running = running
        now = time.monotonic()
        if self.rows and now >= self._front_due and self._shown_rows() != getattr(self._front, "total", 0):
            self._front = self._summary()
            took = time.monotonic() - now
            self._front_due = now + max(0.5, took / SHARE)

    def close(self) -> None:
        """Take the table away; the end of the run prints the front that stays."""
        self._live.stop()

    def _shown_rows(self) -> int:
        return len(self.rows) + (self.dense is not None)

    def _summary(self) -> FrontSummary:
        rows: list[dict[str, Any]] = [*self.rows, *([self.dense] if self.dense else [])]
        table = pa.Table.from_pylist(rows, schema=arrow_schema(columns()))
        return summarise(table, self.objectives, constraints=self.constraints)

    def _picture(self) -> RenderableType:
        if self._preparing:
            return Text(self._preparing)
        done = len(self.rows)
        failed = sum(row["state"] == "failed" for row in self.rows)
        bar = Table.grid(padding=(0, 1))
        said = [f"{done}/{self.trials} trials", f"{self._running} running"]
        said += [f"{failed} failed"] if failed else []
        said += [self.pace.replace("  ", ", ")] if self.pace else []
        bar.add_row(ProgressBar(total=self.trials, completed=done, width=24), ", ".join(said))
        parts: list[RenderableType] = [bar, *(Text(line, style="dim", no_wrap=True) for line in self._latest)]
        if self._front is not None and len(self._front.front):
            parts += [self._front_table(self._front, room=self._console.height - len(parts) - 6)]
        elif self._front is not None and self._front.unmet:
            parts += [Text(front_table.none_meets(self._front))]
        return Group(*parts)

    def _front_table(self, summary: FrontSummary, *, room: int) -> RenderableType:
        table = front_table.rich_table(summary)
        table.title = f"front so far: {len(summary.front)} networks" + (
            "" if summary.hypervolume is None else f", hypervolume {summary.hypervolume:.3f}"
        )
        if summary.unmet:
            table.title += f", {summary.unmet} left out by {listed(summary.constraints)}"
        hidden = table.row_count - max(3, room)
        if hidden <= 0:
            return table
        for column in table.columns:
            del column._cells[-hidden:]
        del table.rows[-hidden:]
        return Group(table, Text(escape(f"… and {hidden} more"), style="dim"))


def on_this_terminal(
    *,
    space: Space,
    trials: int,
    objectives: Sequence[str],
    rows: Sequence[Row],
    constraints: Sequence[Constraint] = (),
) -> Progress:
    """Drawn on a terminal, lines where the output goes to a file, a pipe or CI."""
    console = Console()
    if sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal:
        return Drawn(console, space=space, trials=trials, objectives=objectives, rows=rows, constraints=constraints)
    return Lines(space=space, trials=trials, objectives=objectives, rows=rows, constraints=constraints)


def most_frequent(rows: Sequence[Row]) -> str:
    """The most frequent error of failed rows, and how often it came; empty where none failed."""
    errors = Counter(row["error"] for row in rows if row["state"] == "failed")
    if not errors:
        return ""
    error, times = errors.most_common(1)[0]
    return f"{error} ({times}×)"


def _told(row: Row, space: Space, objectives: Sequence[str]) -> str:
    """A trial in a line: method, the knobs that are searched, and what came out."""
    traced = space.trace(row)
    assert traced is not None, "a search runs recipes of its space"
    name, *knobs = (
        _brief(value) if knob == "method" else f"{knob}={_brief(value)}" for knob, value in traced[0].items()
    )
    if row["state"] != "complete":
        return f"{name} {' '.join(knobs)} {row['state']}: {row['error']}"
    measured = [f"{name}={front_table.human(name, row[name]).replace(' ', '')}" for name in objectives]
    return f"{name} {' '.join(knobs)} {' '.join(measured)}"


def _brief(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(125), _clock(3725)
    ('2:05', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
