"""What the user sees while a search runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from analysis import front_table
from analysis.constraints import Constraint
from analysis.front_table import Cells
from analysis.schema import arrow_schema
from analysis.summary import FrontSummary, summarise
from search.driver import Tells
from search.live_front import live_front
from search.outcomes import counted, measures_told, recipe_told
from search.pace import clock, per_hour
from search.space import Space
from trial.recipe import columns
from trial.rows import Row
from trial.training import Epoch

__all__ = ["Progress", "on_this_terminal"]

SHARE = 0.05
"""Of the driver's time, at most, for working out the front anew."""
LATEST = 3
"""So many of the trials that ended last are shown, where there is room."""
BAR = 24


class Progress(ABC):
    """Counts what was done and shows it. ``rows`` are those of earlier runs, ``dense`` the row of the dense network.

    ``tells`` is what the study's driver file tells: it is kept up with what is shown.
    """

    def __init__(
        self,
        *,
        space: Space,
        trials: int,
        objectives: Sequence[str],
        rows: Sequence[Row],
        constraints: Sequence[Constraint] = (),
        tells: Tells | None = None,
    ) -> None:
        self.space = space
        self.constraints = tuple(constraints)
        self.taught: list[str] = []
        """Lines that say what other studies' rows were taken."""
        self.trials = trials
        self.objectives = tuple(objectives)
        self.rows = list(rows)
        self.dense: Row | None = None
        self.followers: list[Callable[[Row], None]] = []
        """Who else is told of each trial that ends."""
        self._tells: Tells = {} if tells is None else tells
        self._tells |= {"budget": trials, "doing": "starting the workers"}
        self._ends: deque[float] = deque(maxlen=10_000)
        self._began = time.monotonic()

    def begin(self) -> None:
        """Start the clock: what came before, dense training and Ray's start, says nothing about trials per hour."""
        self._began = time.monotonic()
        self._tells["doing"] = ""

    def finished(self, row: Row) -> None:
        """Take note of a trial that has ended."""
        self.rows.append(row)
        self._ends.append(time.monotonic())
        for follower in self.followers:
            follower(row)

    @abstractmethod
    def say(self, line: str) -> None:
        """Show a line that stays; may be called from any thread."""

    @abstractmethod
    def epoch(self, epoch: Epoch, *, epochs: int) -> None:
        """Show how far the dense network's training is."""
        self._tells["doing"] = f"dense network: epoch {epoch.epoch}/{epochs}, val_accuracy {epoch.val_accuracy:.3f}"

    def turn(self, running: int, under_way: Sequence[dict[str, Any]] = ()) -> None:  # noqa: ARG002
        """Called some ten times a second: how many trials are running, and for `status` their recipes and starts."""
        self._tells["running"] = list(under_way)

    def close(self) -> None:  # noqa: B027
        """Leave the terminal as it was."""

    @property
    def per_hour(self) -> float | None:
        """Trials per hour over the recent past of this run, None before the first."""
        return per_hour(self._ends, began=self._began, now=time.monotonic())

    @property
    def pace(self) -> str:
        """Trials per hour and time left, as people write them; empty before the first trial."""
        rate = self.per_hour
        if not rate:
            return ""
        left = max(0, self.trials - len(self.rows)) * 3600 / rate
        return f"{rate:.0f} trials/h  {clock(left)} left"


class Lines(Progress):
    """One line for each finished trial."""

    def say(self, line: str) -> None:
        """Print the line."""
        print(line, flush=True)  # noqa: T201

    def epoch(self, epoch: Epoch, *, epochs: int) -> None:
        """Print every quarter of the training."""
        super().epoch(epoch, epochs=epochs)
        if epoch.epoch * 4 // epochs > (epoch.epoch - 1) * 4 // epochs:
            self.say(f"dense network: epoch {epoch.epoch}/{epochs} val_accuracy={epoch.val_accuracy:.3f}")

    def finished(self, row: Row) -> None:
        """Print the trial, what came out, and the pace."""
        super().finished(row)
        self.say(f"{len(self.rows)}/{self.trials} {_told(row, self.space, self.objectives)}  {self.pace}".rstrip())


class Drawn(Progress):
    """A table that is drawn anew in place: progress, pace, the last trials, the front so far."""

    def __init__(self, console: Console, **said: Any) -> None:
        super().__init__(**said)
        self._console = console
        self._latest: deque[str] = deque(maxlen=LATEST)
        self._running = 0
        self._front: FrontSummary | None = None
        self._cells = Cells([], [], [])
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
        super().epoch(epoch, epochs=epochs)
        self._preparing = f"dense network: epoch {epoch.epoch}/{epochs}, validation accuracy {epoch.val_accuracy:.3f}"

    def begin(self) -> None:
        """Start the clock; workers and dense network are there."""
        super().begin()
        self._preparing = ""

    def finished(self, row: Row) -> None:
        """Show the trial among the latest."""
        super().finished(row)
        self._latest.append(_told(row, self.space, self.objectives, outcome_first=True))

    def turn(self, running: int, under_way: Sequence[dict[str, Any]] = ()) -> None:
        """Work the front out anew, if it is not too soon."""
        super().turn(running, under_way)
        self._running = running
        now = time.monotonic()
        if self.rows and now >= self._front_due and self._shown_rows() != getattr(self._front, "total", 0):
            self._front = self._summary()
            self._cells = front_table.cells(self._front)
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
        # One line is left free: a table as high as the terminal would scroll it at every turn.
        room = self._console.height - 2
        parts: list[RenderableType] = [self._progress()]
        latest = list(self._latest)[-max(0, min(LATEST, room - 6)) :] if room > 6 else []
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in latest]
        if self._front is not None and len(self._front.front):
            parts += live_front(self._front, self._cells, console=self._console, height=room - len(latest))
        return Group(*parts)

    def _progress(self) -> RenderableType:
        done = len(self.rows)
        states = counted(row["state"] for row in self.rows)
        said = [f"{done}/{self.trials} trials", f"{self._running} running"]
        said += [f"{states[state]} {state}" for state in ("stopped", "failed") if states[state]]
        said += [self.pace.replace("  ", ", ")] if self.pace else []
        line = Text(", ".join(said), no_wrap=True, overflow="ellipsis")
        if line.cell_len + BAR + 1 > self._console.width:
            return line
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=self.trials, completed=done, width=BAR), line)
        return bar


def on_this_terminal(**said: Any) -> Progress:
    """Drawn on a terminal, lines where the output goes to a file, a pipe or CI; ``said`` is what `Progress` takes."""
    console = Console()
    if sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal:
        return Drawn(console, **said)
    return Lines(**said)


def _told(row: Row, space: Space, objectives: Sequence[str], *, outcome_first: bool = False) -> str:
    """A trial in a line: method, the knobs that are searched, and what came out, which a narrow terminal sees first."""
    traced = space.trace(row)
    assert traced is not None, "a search runs recipes of its space"
    recipe = recipe_told(traced[0])
    if row["state"] == "failed":
        return f"{recipe} failed: {row['error']}"
    measured = measures_told(row, objectives)
    outcome = measured if row["state"] == "complete" else f"{row['state']} {measured}"
    return f"{outcome}  {recipe}" if outcome_first else f"{recipe} {outcome}"
