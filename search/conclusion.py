"""How a search ends: its front, how good it is, and what failed or stayed as it was."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import front_table, report, table
from analysis.epochs import counted
from analysis.errors import WorkFailed
from analysis.summary import summarise
from methods import catalogue
from search.outcomes import most_frequent
from search.spec import Spec
from trial.rows import Row

__all__ = ["conclude", "unmoved"]


def conclude(folder: Path, spec: Spec, rows: Sequence[Row]) -> None:
    """Print the front, how good it is, its figure, and what failed; raises WorkFailed where every trial did."""
    failed = [row for row in rows if row["state"] == "failed"]
    if len(failed) == len(rows):
        raise WorkFailed(
            f"all {len(rows)} trials failed, most often of {most_frequent(rows)}; their rows are in {folder}"
        )
    summary = summarise(table.read(folder), spec.search.objectives, constraints=spec.constraints)
    if sys.stdout.isatty() and len(summary.front):
        front_table.show(summary)
    else:
        print(front_table.plain(summary))  # noqa: T201
    print(f"figure: {report.write_figures(folder)[0]}")  # noqa: T201
    if len(rows) < spec.search.trials and spec.size is not None:
        print(f"the space is used up: {spec.size} recipes")  # noqa: T201
    for name in unmoved(rows):
        print(f"{name}: no batch-norm scale came near zero: a larger lambda or longer sparsity training moves them")  # noqa: T201
    if failed:
        print(f"{len(failed)} of {len(rows)} trials failed, most often of {most_frequent(rows)}")  # noqa: T201
    epochs = counted(folder)
    if epochs.needed:
        print(epochs)  # noqa: T201
    print(f"{len(rows)} trials are in {folder}")  # noqa: T201


def unmoved(rows: Sequence[Row]) -> list[str]:
    """The methods that trained batch-norm scales towards zero and brought none near it, whatever the recipe."""
    shares: dict[str, float] = {}
    for row in rows:
        if row["state"] == "complete" and "sparsity training" in catalogue()[row["method"]].needs:
            shares[row["method"]] = max(shares.get(row["method"], 0.0), row["scales_near_zero"] or 0.0)
    return sorted(name for name, share in shares.items() if share == 0)
