"""The figure that compares methods: accuracy against multiply-accumulates, before recovery and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis import pareto, plots
from analysis.errors import WrongInput
from analysis.schema import DENSE, measure
from analysis.sizes import SCREEN, Size

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison_figure"]

LINES = ("-", "--", ":")
PANELS = {"val_accuracy_before": "cut, not recovered", "val_accuracy": "recovered"}


def comparison_figure(table: pa.Table, *, cost: str = "macs", title: str = "", size: Size = SCREEN) -> Figure:
    """Every network of every method, a line through each method's best: before recovery and after.

    Only complete rows are drawn. A method's line joins what it attains: at each cost its best accuracy at no more
    than that cost. Raises WrongInput where no complete row has an accuracy before recovery.
    """
    import matplotlib

    assert measure(cost).better == "lower", "a line through the best goes from cheap to dear"
    shown = {accuracy: pareto.candidates(table, (accuracy, cost)) for accuracy in PANELS}
    if not len(shown["val_accuracy_before"]):
        raise WrongInput(f"none of the {len(table)} rows is complete with val_accuracy_before and {cost}")
    methods = {name for rows in shown.values() for name in rows["method"].to_pylist()}
    drawn = plots.marks(sorted(methods))
    with matplotlib.rc_context(plots.text_of(size)):
        figure, both = plots.panels(size, inches=(12.0, 6.2), dots=130)
        for axes, accuracy in zip(both, PANELS, strict=True):
            _panel(axes, shown[accuracy], accuracy, cost, drawn, size=size)
        for axes in both if size.is_narrow else both[:1]:
            axes.set_ylabel("validation accuracy (better ↑)")
        if size == SCREEN:
            figure.suptitle(title, x=0.012, ha="left", fontsize=13, color=plots.INK, parse_math=False)
        plots.legend(figure, drawn, line="a method's best at each cost", size=size)
        figure.draw_without_rendering()
    return figure


def _panel(axes: Axes, rows: pa.Table, accuracy: str, cost: str, drawn: dict[str, plots.Mark], *, size: Size) -> None:
    import numpy as np

    unit, label = plots.unit_of(rows, cost)
    axes.set_xlabel(label)
    axes.set_title(PANELS[accuracy], loc="left", fontsize=size.font - 1)
    axes.grid(color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    values = pareto.values(rows, (accuracy, cost))
    names = np.array(rows["method"].to_pylist())
    colours: list[str] = []
    for method, mark in drawn.items():
        colours.append(mark.colour)
        own = values[names == method]
        if not len(own):
            continue
        accuracies, costs = own[:, 0], own[:, 1] / unit
        best = pareto.is_nondominated(own, pareto.directions((accuracy, cost)))
        order = np.argsort(costs[best], kind="stable")
        is_control = method == plots.RANDOM
        if method == DENSE:
            axes.axhline(accuracies[0], color=plots.INK, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
        axes.plot(
            costs[best][order],
            accuracies[best][order],
            color=mark.colour,
            linewidth=size.mark**0.5 * (3.0 if is_control else 1.4),
            # Where the colours are used up, so that two lines of one colour are told apart.
            linestyle=LINES[(colours.count(mark.colour) - 1) % len(LINES)],
            alpha=0.55 if is_control else 0.9,
            zorder=2 if is_control else 3,
        )
        axes.scatter(
            costs,
            accuracies,
            s=size.mark * (200 if method == DENSE else 40),
            marker=mark.shape,
            color=mark.colour,
            edgecolors=plots.INK,
            linewidths=0.5,
            zorder=5 if method == DENSE else 4,
        )
