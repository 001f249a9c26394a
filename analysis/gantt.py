"""A timeline as a figure: one line for each worker, coloured by the kind of stage, what was waited for hatched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.plots import GREY, INK, MANY, TEXT
from analysis.timeline import Timeline, Worker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gantt"]

COLOURS = {
    "dense": "#4d4d4d",
    "sparsity": "#CC79A7",
    "scores": "#F0E442",
    "cut": "#D55E00",
    "recovery": "#0072B2",
    "scratch": "#56B4E9",
    "recalibration": "#999999",
    "costs": "#8DD3C7",
    "measure": "#009E73",
    "latency": "#E69F00",
    "file_latency": "#E69F00",
}
"""Kind of stage → colour, in the order of the legend; a kind that is not here is grey."""
ELSE = "#d9d9d9"
"""Within a trial and outside its stages: loading, checking, writing its row."""
WAITING = "waiting"
PAUSE_SECONDS = 60.0
"""Longer pauses of the whole study, nights between two runs, are left out and marked."""
TALLEST = 40.0
HEIGHT = 0.7
UNITS = ((2 * 86_400, 86_400.0, "days"), (2 * 3_600, 3_600.0, "hours"), (300, 60.0, "minutes"), (0, 1.0, "seconds"))

Bars = dict[str, list[tuple[float, float]]]


def gantt(timeline: Timeline) -> Figure:
    """Draw the workers from top to bottom in the order in which they began, time from left to right."""
    import matplotlib
    from matplotlib.figure import Figure

    runs = _runs(timeline)
    total = sum(end - start for start, end in runs)
    unit, called = next((unit, called) for least, unit, called in UNITS if total >= least)
    with matplotlib.rc_context(TEXT | {"hatch.linewidth": 0.8}):
        height = min(1.9 + 0.42 * len(timeline.workers), TALLEST)
        figure = Figure(figsize=(12.0, height), dpi=150, layout="constrained")
        axes = figure.subplots()
        kinds: set[str] = set()
        many = sum(len(trial.stages) for trial in timeline.trials) > MANY
        for line, worker in enumerate(timeline.workers):
            bars = _bars(worker, runs)
            kinds |= set(bars)
            for kind, drawn in bars.items():
                _draw(axes, kind, [(start / unit, length / unit) for start, length in drawn], line, many=many)
        for start, _ in runs[1:]:
            axes.axvline(_drawn_at(start, runs) / unit, color=INK, linewidth=1.0, linestyle=(0, (5, 4)))
        axes.set_xlim(0, max(total / unit, 1e-6))
        axes.set_ylim(len(timeline.workers) - 0.5, -0.5)
        axes.set_yticks(range(len(timeline.workers)), [worker.name for worker in timeline.workers], parse_math=False)
        axes.set_xlabel(f"time [{called}]" + (", pauses of the whole study left out (dashed)" if len(runs) > 1 else ""))
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.grid(axis="x", color="#e3e3e3", linewidth=0.8)
        count = sum(len(worker.trials) for worker in timeline.workers)
        heading = f"{timeline.study}: what each worker did in {count} trials"
        figure.suptitle(heading, x=0.012, ha="left", fontsize=13, color=INK, parse_math=False)
        _legend(figure, kinds)
        figure.draw_without_rendering()  # settles layout while the settings hold
    return figure


def _runs(timeline: Timeline) -> list[tuple[float, float]]:
    """Start and end of every stretch of time in which some worker had a trial, short pauses included, in order."""
    runs: list[tuple[float, float]] = []
    for start, end in sorted((trial.start, trial.end) for trial in timeline.trials):
        if runs and start - runs[-1][1] <= PAUSE_SECONDS:
            runs[-1] = runs[-1][0], max(runs[-1][1], end)
        else:
            runs.append((start, end))
    return runs


def _drawn_at(moment: float, runs: Sequence[tuple[float, float]]) -> float:
    """Seconds from the figure's left edge: those of the runs before the moment."""
    return sum(min(max(moment, start), end) - start for start, end in runs)


def _bars(worker: Worker, runs: Sequence[tuple[float, float]]) -> Bars:
    """What a worker did → where each such bar begins and how long it is, in seconds from the left edge."""
    bars: Bars = defaultdict(list)

    def add(kind: str, start: float, end: float) -> None:
        left = _drawn_at(start, runs)
        bars[kind].append((left, _drawn_at(end, runs) - left))

    for trial in worker.trials:
        add("", trial.start, trial.end)
        for stage in trial.stages:
            for phase, start, end in stage.phases:
                add(WAITING if phase == "waiting" else stage.stage, start, end)
    return bars


def _draw(axes: Axes, kind: str, bars: list[tuple[float, float]], line: int, *, many: bool) -> None:
    colour = ELSE if kind == "" else "white" if kind == WAITING else COLOURS.get(kind, GREY)
    hatched = {"hatch": "/////", "edgecolor": INK, "linewidth": 0.6} if kind == WAITING else {"linewidth": 0}
    axes.broken_barh(
        bars, (line - HEIGHT / 2, HEIGHT), facecolor=colour, zorder=1 + (kind != ""), rasterized=many, **hatched
    )


def _legend(figure: Figure, kinds: set[str]) -> None:
    from matplotlib.patches import Patch

    named = [kind for kind in COLOURS if kind in kinds]
    handles = [Patch(facecolor=COLOURS[kind], label=kind) for kind in named]
    if kinds - set(COLOURS) - {"", WAITING}:
        handles.append(Patch(facecolor=GREY, label="another stage"))
    if WAITING in kinds:
        handles.append(Patch(facecolor="white", edgecolor=INK, hatch="/////", label="waiting for another worker"))
    handles.append(Patch(facecolor=ELSE, label="between stages"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False)
