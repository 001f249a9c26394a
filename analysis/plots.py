"""Figures of a study: accuracy against what a network costs, one mark per method, the front drawn.

Figures are made without pyplot, so that nothing is shared between two of them, and are the same bytes for the
same rows. Colours are those of Okabe & Ito, told apart with any colour vision; shapes differ as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analysis import pareto
from analysis.constraints import Constraint, listed, met
from analysis.durable import write_durably
from analysis.errors import WrongInput
from analysis.schema import DENSE, measure
from analysis.sizes import SCREEN, Size

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    *("GREY", "INK", "RANDOM", "SHAPES", "TEXT", "Mark"),
    *("front_figure", "legend", "marks", "panels", "save", "text_of", "unit_of"),
]

RANDOM = "random-channels"
GREY = "#8a8a8a"
INK = "#222222"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442")
SHAPES = "sD^vPX<>hd"  # as many as share no factor with the colours: 70 methods look different
MANY = 3_000
"""Points of one method above which an SVG holds them as an image."""
LOG_FROM = 20
"""An axis of costs is logarithmic where the largest is this many times the smallest."""

TEXT: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12.0,
    "axes.labelsize": 13.0,
    "legend.fontsize": 12.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "prunefront",
    "pdf.fonttype": 42,
}


def text_of(size: Size) -> dict[Any, Any]:
    """Matplotlib's settings for the text of a figure of that size."""
    small = dict.fromkeys(("font.size", "legend.fontsize"), size.font - 1)
    return TEXT | small | {"axes.labelsize": size.font}


def panels(size: Size, *, inches: tuple[float, float], dots: int = 150) -> tuple[Figure, tuple[Axes, Axes]]:
    """An empty figure with two panels of one height axis: side by side, or, in a narrow column, above one another.

    ``inches``, width and height, and ``dots`` per inch are those of a screen.
    """
    from matplotlib.figure import Figure

    width, height = inches
    if size.inches is None:
        figure = Figure(figsize=inches, dpi=dots, layout="constrained")
    else:
        tall = 1.55 * size.inches if size.is_narrow else size.inches * height / width
        figure = Figure(figsize=(size.inches, tall), dpi=size.dots, layout="constrained")
    first, second = figure.subplots(2, 1, sharey=True) if size.is_narrow else figure.subplots(1, 2, sharey=True)
    return figure, (first, second)


@dataclass(frozen=True)
class Mark:
    """How one method is drawn, in every panel."""

    colour: str
    shape: str


def marks(methods: Sequence[str]) -> dict[str, Mark]:
    """Method → mark: by place in the sorted names; the references (dense, random) have their own.

    >>> marks(["slimming", "dense", "filter-l1"])["slimming"]
    Mark(colour='#E69F00', shape='D')
    """
    own = {DENSE: Mark(INK, "*"), RANDOM: Mark(GREY, "o")}
    ranked = sorted(set(methods) - set(own))
    drawn = {name: Mark(COLOURS[rank % len(COLOURS)], SHAPES[rank % len(SHAPES)]) for rank, name in enumerate(ranked)}
    return drawn | {name: mark for name, mark in own.items() if name in methods}


def front_figure(
    table: pa.Table, *, title: str = "", constraints: Sequence[Constraint] = (), size: Size = SCREEN
) -> Figure:
    """Validation accuracy against sparsity and against MACs, side by side, each with the front of its own two.

    Only complete rows are drawn. Strong marks are on the front; the line joins what the front attains: at
    each cost the best accuracy to be had at no more than it. Networks that do not meet the ``constraints`` are
    faint, and not on the front. In the sizes of a paper, whose captions say it, there is no heading.

    Raises WrongInput where no complete row has both measures of either panel.
    """
    import matplotlib

    costs = ("sparsity", "macs")
    shown = {cost: pareto.candidates(table, ("val_accuracy", cost)) for cost in costs}
    if not any(len(rows) for rows in shown.values()):
        raise WrongInput(
            f"none of the {len(table)} rows is complete with val_accuracy and sparsity or macs: nothing to draw"
        )
    methods = {name for rows in shown.values() for name in rows["method"].to_pylist() if name is not None}
    drawn = marks(sorted(methods))
    with matplotlib.rc_context(text_of(size)):
        figure, both = panels(size, inches=(10.0, 5.4))
        for axes, cost in zip(both, costs, strict=True):
            _panel(axes, shown[cost], cost, drawn, constraints, size=size)
        for axes in both if size.is_narrow else both[:1]:
            axes.set_ylabel("validation accuracy (better ↑)")
        count = max(len(rows) for rows in shown.values())
        heading = f"{title}: " * bool(title) + f"{count} networks, strong marks are on the front"
        if constraints:
            heading += f"\nfaint marks do not meet {listed(constraints)}"
        if size == SCREEN:
            figure.suptitle(heading, x=0.012, ha="left", fontsize=13, color=INK, parse_math=False)
        legend(figure, drawn, size=size)
        figure.draw_without_rendering()  # settles layout while the settings hold
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write ``figure`` to ``path`` (.png, .svg or .pdf), whole or not at all; text in SVG and PDF stays text."""
    import matplotlib

    metadata = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }[path.suffix]
    drawn = BytesIO()
    with matplotlib.rc_context(TEXT):
        figure.savefig(drawn, format=path.suffix.removeprefix("."), metadata=metadata)
    write_durably(path, drawn.getvalue())
    return path


def _panel(
    axes: Axes, rows: pa.Table, cost: str, drawn: dict[str, Mark], constraints: Sequence[Constraint], *, size: Size
) -> None:
    import numpy as np

    objectives = ("val_accuracy", cost)
    unit, label = unit_of(rows, cost)
    axes.set_xlabel(label)
    axes.grid(color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(rows) == 0:
        axes.text(0.5, 0.5, f"no network has {cost}", transform=axes.transAxes, ha="center", color=INK)
        return
    values = pareto.values(rows, objectives)
    accuracies, costs = values[:, 0], values[:, 1] / unit
    meets = met(rows, constraints)
    is_front = np.zeros(len(rows), dtype=np.bool_)
    is_front[meets] = pareto.is_nondominated(values[meets], pareto.directions(objectives))
    names = rows["method"].to_pylist()
    for method, mark in drawn.items():
        for on_front, is_met in ((False, False), (False, True), (True, True)):
            chosen = [
                i for i, name in enumerate(names) if name == method and is_front[i] == on_front and meets[i] == is_met
            ]
            is_strong = on_front or method == DENSE
            axes.scatter(
                costs[chosen],
                accuracies[chosen],
                s=size.mark * (260 if method == DENSE else 80 if on_front else 46),
                marker=mark.shape,
                color=mark.colour,
                alpha=1.0 if is_strong else 0.45 if is_met else 0.12,
                edgecolors=INK if is_strong else "white",
                linewidths=size.mark**0.5 * (0.9 if is_strong else 0.4),
                zorder=5 if method == DENSE else 4 if on_front else 2 if method == RANDOM else 3,
                rasterized=len(chosen) > MANY,
            )
    positive = costs[costs > 0]
    if cost != "sparsity" and len(positive) == len(costs) and costs.max() > LOG_FROM * costs.min():
        _logarithmic(axes)
    if is_front.any():
        _staircase(axes, costs[is_front], accuracies[is_front], is_higher_better=measure(cost).better == "higher")
    for i, name in enumerate(names):
        if name == DENSE:
            axes.axhline(accuracies[i], color=INK, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)


def _staircase(axes: Axes, costs: object, accuracies: object, *, is_higher_better: bool) -> None:
    """What the front attains, out to the edges of the panel, with the dominated side shaded."""
    import numpy as np

    x, y = np.asarray(costs), np.asarray(accuracies)
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    near, far = axes.get_xlim()
    bottom, _ = axes.get_ylim()
    where: Literal["pre", "post"]
    if is_higher_better:  # at no less than x: the value of the next point to the right
        x, y, where = np.r_[near, x, x[-1]], np.r_[y[0], y, bottom], "pre"
    else:  # at no more than x: the value of the last point to the left
        x, y, where = np.r_[x[0], x, far], np.r_[bottom, y, y[-1]], "post"
    axes.set_xlim(near, far)
    axes.set_ylim(bottom=bottom)
    axes.step(x, y, where=where, color=INK, linewidth=1.6, zorder=2.5)
    axes.fill_between(x, y, bottom, step=where, color=INK, alpha=0.045, linewidth=0, zorder=0)


def unit_of(rows: pa.Table, cost: str) -> tuple[float, str]:
    """What the axis counts in, and its label: MACs in G from 1e9 on, in M below, in k below 1e6."""
    arrow = "(better →)" if measure(cost).better == "higher" else "(← better)"
    if cost != "macs":
        return 1.0, f"{measure(cost).axis} {arrow}"
    largest = max(rows[cost].to_pylist(), default=0)
    unit, prefix = next(((u, p) for u, p in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if largest >= u), (1.0, ""))
    return unit, f"multiply-accumulates [{prefix} MACs] {arrow}".replace("[ ", "[")


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, drawn: dict[str, Mark], *, line: str = "front", size: Size = SCREEN) -> None:
    """Write one row or more below the panels: methods first, then what they are compared with, then the line."""
    from matplotlib.lines import Line2D

    references = [name for name in (RANDOM, DENSE) if name in drawn]
    ordered = [name for name in drawn if name not in references] + references
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=drawn[name].shape,
            markerfacecolor=drawn[name].colour,
            markeredgecolor=INK,
            markeredgewidth=0.8,
            markersize=size.mark**0.5 * (15 if name == DENSE else 9),
            label=f"{name} network" if name == DENSE else name,
        )
        for name in ordered
    ]
    handles.append(Line2D([], [], color=INK, linewidth=1.6, label=line))
    across = 2 if size.is_narrow else 5
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=-(-len(handles) // -(-len(handles) // across)),  # rows of at most so many, equally long
        frameon=False,
        columnspacing=1.6,
        handletextpad=0.5,
    )
