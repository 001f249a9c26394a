"""The figure of a comparison: hypervolume over cost with its interval, and, of two objectives, what repeats attain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis import plots
from analysis.contest import Contest, Line
from analysis.errors import WrongInput
from analysis.resampling import interval
from analysis.schema import measure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["contest_figure", "write"]

LABELS = {"trials": "trials", "seconds": "worker-seconds", "epochs": "epochs that were run"}


def write(result: Contest, path: Path) -> Path:
    """Write the figure as .png or .svg, by the path's ending; raises WrongInput where it cannot be written."""
    if path.suffix not in {".png", ".svg"}:
        raise WrongInput(f"a figure ends in .png or .svg, got {path} (--figure)")
    try:
        return plots.save(contest_figure(result), path)
    except OSError as error:
        raise WrongInput(f"{path} cannot be written: {error.strerror} (--figure)") from error


def contest_figure(result: Contest) -> Figure:
    """Hypervolume over the cost that decides: repeats thin, their mean strong, its 95 % bootstrap interval shaded.

    Of two objectives a second panel has the attainment surfaces: the median strong, between 25 % and 75 % shaded.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn = plots.marks(list(result.curves))
    has_surfaces = bool(result.surfaces) and len(result.reference.objectives) == 2
    with matplotlib.rc_context(plots.TEXT):
        figure = Figure(figsize=(12.0 if has_surfaces else 7.5, 5.4), dpi=130, layout="constrained")
        panels = figure.subplots(1, 2 if has_surfaces else 1, squeeze=False)[0]
        for axes in panels:
            axes.grid(color="#e3e3e3", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        _over_cost(panels[0], result, drawn)
        if has_surfaces:
            _attained(panels[1], result, drawn)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
        figure.draw_without_rendering()
    return figure


def _over_cost(axes: Axes, result: Contest, drawn: dict[str, plots.Mark]) -> None:
    import numpy as np

    changes = {cost for curves in result.curves.values() for repeat in curves[result.over] for cost, _ in repeat}
    grid = np.array(sorted({cost for cost in changes if cost <= result.budget} | {result.budget}))
    for name, mark in drawn.items():
        repeats = result.curves[name][result.over]
        values = np.array([_stepped(repeat, grid) for repeat in repeats])
        for each in values:
            axes.step(grid, each, where="post", color=mark.colour, linewidth=0.7, alpha=0.5)
        means = [interval(column) for column in values.T.tolist()]
        count = "1 repeat" if len(repeats) == 1 else f"mean of {len(repeats)} repeats"
        label = f"{name}, {count}"
        axes.step(grid, [each.mean for each in means], where="post", color=mark.colour, linewidth=2.2, label=label)
        lows = [each.mean if each.low is None else each.low for each in means]
        highs = [each.mean if each.high is None else each.high for each in means]
        axes.fill_between(grid, lows, highs, step="post", color=mark.colour, alpha=0.18, linewidth=0)
    axes.set_xlim(0.0, result.budget)
    axes.set_xlabel(LABELS[result.over])
    axes.set_ylabel("normalised hypervolume (better ↑)")
    axes.set_title("shaded: 95 % of the mean (bootstrap)", loc="left", fontsize=12)


def _stepped(curve: Line, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of a curve at some costs."""
    import numpy as np

    costs, values = np.array(curve).T
    found: NDArray[np.float64] = values[np.searchsorted(costs, grid * (1 + 1e-12), side="right") - 1]
    return found


def _attained(axes: Axes, result: Contest, drawn: dict[str, plots.Mark]) -> None:
    """Staircases over the cost axis, the second objective if the first one is better when higher."""
    import numpy as np
    from matplotlib.ticker import EngFormatter

    up, along = result.reference.objectives
    if measure(up).better == "lower" and measure(along).better == "higher":
        up, along = along, up
    places = [result.reference.objectives.index(name) for name in (along, up)]
    corners = np.concatenate([each.points[:, places] for found in result.surfaces.values() for each in found])
    x_ends, y_ends = _padded(corners[:, 0]), _padded(corners[:, 1])
    for name, mark in drawn.items():
        surfaces = {each.percent: each.points[:, places] for each in result.surfaces[name]}
        edges = {}
        for percent, points in surfaces.items():
            edges[percent] = _staircase(points, along=along, up=up, x_ends=x_ends, y_ends=y_ends)
            axes.plot(*edges[percent].T, color=mark.colour, linewidth=2.2 if percent == 50 else 0.8)
        if {25, 75} <= edges.keys():
            outline = np.concatenate([edges[25], edges[75][::-1]])
            axes.fill(*outline.T, color=mark.colour, alpha=0.12, linewidth=0)
    axes.set_xlim(*x_ends)
    axes.set_ylim(*y_ends)
    for name, say, axis in ((along, axes.set_xlabel, axes.xaxis), (up, axes.set_ylabel, axes.yaxis)):
        if measure(name).kind == "int":
            axis.set_major_formatter(EngFormatter(sep="\N{NARROW NO-BREAK SPACE}"))
        say(f"{measure(name).axis} ({'higher' if measure(name).better == 'higher' else 'lower'} is better)")
    axes.set_title("attained by 25, 50 and 75 % of repeats", loc="left", fontsize=12)


def _padded(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _staircase(
    points: NDArray[np.float64], *, along: str, up: str, x_ends: tuple[float, float], y_ends: tuple[float, float]
) -> NDArray[np.float64]:
    """The border of what some corners dominate, from edge to edge of the panel."""
    import numpy as np

    x_sign = 1.0 if measure(along).better == "lower" else -1.0
    y_sign = 1.0 if measure(up).better == "higher" else -1.0
    # Turned so that the dominated side lies to the right and below.
    turned = points * np.array((x_sign, y_sign))
    turned = turned[np.argsort(turned[:, 0])]
    right, bottom = max(x_sign * end for end in x_ends), min(y_sign * end for end in y_ends)
    path = [(turned[0, 0], bottom)]
    for (x, y), after in zip(turned, [*turned[1:, 0], right], strict=True):
        path += [(x, y), (after, y)]
    border: NDArray[np.float64] = np.array(path) * np.array((x_sign, y_sign))
    return border
