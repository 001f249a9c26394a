"""The figure of a sensitivity run: accuracy against the share of one layer that goes, a line for each layer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import plots
from analysis.errors import WrongInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["sensitivity_figure", "write"]


def write(points: Sequence[Mapping[str, Any]], study: Path, *, method: str) -> list[Path]:
    """Write STUDY/figures/sensitivity-METHOD.png, .svg and the numbers as .json; returns their paths."""
    folder, name = study / "figures", f"sensitivity-{method}"
    figure = sensitivity_figure(points, title=f"{study.resolve().name}: {method}, one layer at a time, no recovery")
    try:
        folder.mkdir(exist_ok=True)
        numbers = folder / f"{name}.json"
        numbers.write_text(json.dumps(list(points), indent=1), encoding="utf-8")
        return [*(plots.save(figure, folder / f"{name}{ending}") for ending in (".png", ".svg")), numbers]
    except OSError as error:
        raise WrongInput(f"figures cannot be written to {folder}: {error.strerror}") from error


def sensitivity_figure(points: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """One line per layer, from dark at the input to light at the output, each begun at the uncut network.

    ``points`` have ``layer``, ``ratio`` and ``val_accuracy``; the uncut network's has layer "".
    """
    import matplotlib
    from matplotlib.figure import Figure

    uncut = next(point["val_accuracy"] for point in points if point["layer"] == "")
    layers = list(dict.fromkeys(point["layer"] for point in points if point["layer"]))
    with matplotlib.rc_context(plots.TEXT):
        figure = Figure(figsize=(9.0, 5.4), dpi=150, layout="constrained")
        axes = figure.subplots()
        shades = matplotlib.colormaps["viridis"]
        for place, layer in enumerate(layers):
            own = [point for point in points if point["layer"] == layer]
            axes.plot(
                [0.0, *(point["ratio"] for point in own)],
                [uncut, *(point["val_accuracy"] for point in own)],
                color=shades(0.95 * place / max(1, len(layers) - 1)),
                marker=plots.SHAPES[place % len(plots.SHAPES)],
                markersize=5,
                linewidth=1.6,
                label=layer,
            )
        axes.axhline(uncut, color=plots.INK, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
        axes.set_xlabel("ratio asked of the layer")
        axes.set_xticks([0.0, *dict.fromkeys(point["ratio"] for point in points if point["layer"])])
        axes.set_ylabel("validation accuracy (better ↑)")
        axes.grid(color="#e3e3e3", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, color=plots.INK, parse_math=False)
        figure.legend(loc="outside right upper", frameon=False, title="layer, input first")
        figure.draw_without_rendering()
    return figure
