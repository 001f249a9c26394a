"""Pruning and quantisation one after the other, as document 004 has it: its twelve variants as a table and a figure.

``python -m analysis.cascades STUDY... [--figure FILE]``, on studies of the ready spec doc-004-cascades.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import plots, table
from analysis.errors import WrongInput
from analysis.front_table import Cells, aligned, human
from analysis.object_path import path_of
from analysis.schema import DENSE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["cascade_figure", "told", "variants"]

PRUNED = (DENSE, "P1", "P2")
QUANTISED = ("none", "dynamic-int8", "static-int8", "float16")
COLOURS = {"none": "#000000", "dynamic-int8": "#E69F00", "static-int8": "#0072B2", "float16": "#009E73"}
HEADERS = (
    "study",
    "pruned",
    "quantisation",
    "sparsity",
    "val_accuracy",
    "lost",
    "gzip_bytes",
    "smaller",
    "latency_ms",
    "faster",
)

Row = Mapping[str, Any]


def variants(study: Path) -> list[dict[str, Any]]:
    """Every variant that a study has, dense before P1 before P2, each in the order of ``QUANTISED``.

    A complete trial is P1 where its polynomial begins at 0, P2 where it begins above, dense where nothing was cut. Each
    has ``pruned`` and ``quantisation``; ``lost``, points of validation accuracy below the dense float32 network; and
    ``smaller`` and ``faster``, how many times: the dense network's gzipped bytes, and latency, over its own (None where
    one was not taken).

    Raises WrongInput where there is no complete dense network, or no variant of it.
    """
    rows = [row for row in table.read(study).to_pylist() if row["state"] == "complete"]
    dense = next((row for row in rows if row["method"] == DENSE), None)
    if dense is None:
        raise WrongInput(f"{study} has no complete dense network: nothing to compare with")
    found = [
        {
            **row,
            "pruned": pruned,
            "quantisation": row.get("quantisation") or "none",
            "lost": 100 * (dense["val_accuracy"] - row["val_accuracy"]),
            "smaller": _times(dense, row, "gzip_bytes"),
            "faster": _times(dense, row, "latency_ms"),
        }
        for row in rows
        if (pruned := _pruned(row))
    ]
    if len(found) < 2:
        raise WrongInput(f"{study} has no variant of document 004: run the ready spec doc-004-cascades")
    return sorted(found, key=lambda each: (PRUNED.index(each["pruned"]), QUANTISED.index(each["quantisation"])))


def told(found: Mapping[str, Sequence[Row]]) -> str:
    """Study → its variants, as one table, with what is to be said of them below it."""
    rows = [[_said(name, {**row, "study": study}) for name in HEADERS] for study, own in found.items() for row in own]
    numeric = [name not in {"study", "pruned", "quantisation"} for name in HEADERS]
    below = []
    for study, own in found.items():
        slower = [row for row in own if row["quantisation"] == "dynamic-int8" and (row["faster"] or 1.0) < 1.0]
        if slower:
            below.append(f"{study}: dynamic int8 is slower than the dense float32 file here: {_listed(slower)}")
        if any(row["faster"] is None for row in own):
            below.append(f"{study}: not every file was timed: `prunefront latency {study} --trials all`")
    where = {(row["latency_machine"], row["latency_threads"]) for own in found.values() for row in own}
    below += [f"latency on {machine}, threads: {threads}" for machine, threads in sorted(where - {(None, None)})]
    return "\n".join([aligned(Cells(headers=list(HEADERS), rows=rows, numeric=numeric)), "", *below])


def cascade_figure(found: Mapping[str, Sequence[Row]]) -> Figure:
    """A row of two panels for each study: accuracy over gzipped size, and median latencies of one image.

    Whiskers reach down to the 10th percentile.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with matplotlib.rc_context(plots.TEXT):
        figure = Figure(figsize=(10.0, 3.9 * len(found)), dpi=150, layout="constrained")
        panels = figure.subplots(len(found), 2, squeeze=False)
        for (size, time), (study, own) in zip(panels, found.items(), strict=True):
            for place, row in enumerate(own):
                colour = COLOURS[row["quantisation"]]
                shape = plots.SHAPES[PRUNED.index(row["pruned"])]
                size.plot(row["gzip_bytes"] / 1e6, row["val_accuracy"], shape, color=colour, markersize=9)
                if row["latency_ms"] is not None:
                    below = [[max(0.0, row["latency_ms"] - (row["latency_ms_p10"] or row["latency_ms"]))], [0.0]]
                    time.bar(place, row["latency_ms"], yerr=below, color=colour, capsize=2)
            size.set_xlim(left=0.0)
            size.set_xlabel("gzipped size [MB] (better ←)")
            size.set_ylabel("validation accuracy (better ↑)")
            size.set_title(study, loc="left", parse_math=False)
            time.set_ylabel("latency [ms] (better ↓)")
            places = {name: [at for at, row in enumerate(own) if row["pruned"] == name] for name in PRUNED}
            groups = {name: sum(each) / len(each) for name, each in places.items() if each}
            time.set_xticks(list(groups.values()), list(groups))
            for axes in (size, time):
                axes.grid(color="#e3e3e3", linewidth=0.8)
                axes.set_axisbelow(True)
                axes.spines[["top", "right"]].set_visible(False)
        drawn = [
            Line2D([], [], marker="o", linestyle="", color=colour, label=name) for name, colour in COLOURS.items()
        ] + [
            Line2D([], [], marker=shape, linestyle="", color="#777777", label=name)
            for name, shape in zip(PRUNED, plots.SHAPES, strict=False)
        ]
        figure.legend(handles=drawn, loc="outside lower center", ncols=len(drawn), frameon=False)
        figure.draw_without_rendering()
    return figure


def _pruned(row: Row) -> str:
    """Which of the document's networks a row is, before it was quantised; empty where it is none of them."""
    if row["method"] == DENSE or row.get("ratio") == 0:
        return DENSE
    if row.get("schedule") != "polynomial" or row.get("initial") is None:
        return ""
    return "P1" if row["initial"] == 0 else "P2"


def _times(dense: Row, row: Row, name: str) -> float | None:
    return dense[name] / row[name] if dense.get(name) and row.get(name) else None


def _said(name: str, row: Row) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if name in {"smaller", "faster"}:
        return f"{value:.2f}×"
    return f"{value:+.2f}" if name == "lost" else human(name, value)


def _listed(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row['pruned']} {1 / row['faster']:.2f} times as long" for row in rows)


def main(words: Sequence[str]) -> None:
    """Print the table of some studies, and draw them where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m analysis.cascades", description="Document 004's twelve variants.")
    parser.add_argument("studies", nargs="+", metavar="STUDY")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="a .png or .svg")
    typed = parser.parse_args(words)
    if typed.figure is not None and typed.figure.suffix not in {".png", ".svg"}:
        raise WrongInput(f"a figure is a .png or .svg, got {typed.figure} (--figure)")
    paths = [path_of(study) for study in typed.studies]
    found = {name: variants(path) for name, path in zip(table.labels(paths), paths, strict=True)}
    sys.stdout.write(told(found) + "\n")
    if typed.figure is not None:
        sys.stdout.write(f"drawn: {plots.save(cascade_figure(found), typed.figure)}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except WrongInput as error:
        sys.exit(f"analysis.cascades: {error}")
