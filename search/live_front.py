"""The front so far in a live display: as many networks and as many of their knobs as the terminal has room for."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console, RenderableType
from rich.text import Text

from analysis import front_table
from analysis.front_table import Cells
from analysis.summary import FrontSummary

__all__ = ["live_front"]

FRAME = 4
"""Lines of the table that are no network: title, headers, the rule below them, how many are not shown."""


def live_front(summary: FrontSummary, content: Cells, *, console: Console, height: int) -> list[RenderableType]:
    """The front, its cells ``content``, as title and table in at most ``height`` lines; nothing where none has room.

    Where the terminal is too narrow, knobs are left out from the last one on, then the trial's name: the method, its
    ratio and the objectives stay.
    """
    room = height - FRAME
    if room < 1:
        return []
    shown = len(content.rows) if len(content.rows) <= room + 1 else room
    content, _ = front_table.narrowed(
        replace(content, rows=content.rows[:shown]), summary.objectives, console=console, trial_stays=False
    )
    table = front_table.drawn(content, bold=summary.objectives)
    table.show_edge = False
    parts: list[RenderableType] = [Text(_title(summary), style="italic", no_wrap=True, overflow="ellipsis"), table]
    hidden = len(summary.front) - shown
    return [*parts, Text(f"… and {hidden} more", style="dim")] if hidden else parts


def _title(summary: FrontSummary) -> str:
    """What the table shows, and how good it is.

    With one objective a front is the best network, or several that are equally good.
    """
    count = len(summary.front)
    what = "best so far" if len(summary.objectives) == 1 else "front so far"
    networks = "" if len(summary.objectives) == 1 and count == 1 else f": {count} network{'s' if count != 1 else ''}"
    volume = "" if summary.hypervolume is None else f", hypervolume {summary.hypervolume:.3f}"
    return f"{what}{networks}{volume}"
