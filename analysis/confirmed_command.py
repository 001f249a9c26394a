"""``prunefront confirm`` without the training: which trials, for how many seeds, and what is printed of them."""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import confirmed
from analysis.confirmed import add
from analysis.errors import WorkFailed, WrongInput
from analysis.front_table import Cells, aligned, drawn, human
from analysis.selection import chosen

__all__ = ["add", "check_seeds", "chosen", "print_confirmed"]

SEEDS = 3
TEST = "test_accuracy"
COLUMNS = ("trial", "method", "ratio", "val_accuracy", TEST, "seeds", "sparsity", "macs")

Line = Mapping[str, Any]


def check_seeds(seeds: int | None, *, as_trained: bool) -> int:
    """How many seeds there are to be: as many as typed, else 3, and one where nothing is trained."""
    if as_trained:
        if seeds not in {None, 1}:
            raise WrongInput(
                f"--as-trained tests the one network that the study trained, got --seeds {seeds}: leave it out"
            )
        return 1
    if seeds is not None and seeds < 1:
        raise WrongInput(f"--seeds must be at least 1, got {seeds}")
    return SEEDS if seeds is None else seeds


def print_confirmed(study: Path, rows: Sequence[Line], lines: Sequence[Line], *, as_json: bool) -> None:
    """Print what is known of the trials now: on a terminal, plainly in a pipe, or as one JSON document.

    ``rows`` are the study's, ``lines`` the results of this run, at least one; earlier seeds' are printed with them.
    Raises WorkFailed, after printing, where every line of this run failed.
    """
    first = lines[0]
    alike = {"as_trained": first["as_trained"], "test_data": first["test_data"]}
    trials = list(dict.fromkeys(line["trial"] for line in lines))
    every = [line for line in confirmed.read(study) if all(line[name] == alike[name] for name in alike)]
    found = {trial: [line for line in every if line["trial"] == trial] for trial in trials}
    selected = {row["trial"]: row.get("val_accuracy") for row in rows}
    if as_json:
        sys.stdout.write(json.dumps(_document(study, found, selected, **alike), allow_nan=False) + "\n")
    else:
        _print_table(study, found, selected)
    errors = Counter(line["error"] for line in lines if line["state"] == "failed")
    if errors.total() == len(lines):
        error, times = errors.most_common(1)[0]
        raise WorkFailed(f"all {len(lines)} confirmations failed, most often of {error} ({times}×)")


def _print_table(study: Path, found: Mapping[str, Sequence[Line]], selected: Mapping[str, float | None]) -> None:
    content = Cells(
        headers=list(COLUMNS),
        rows=[_cells(lines, selected.get(trial)) for trial, lines in found.items()],
        numeric=[name not in {"trial", "method"} for name in COLUMNS],
    )
    failed = [line for lines in found.values() for line in lines if line["state"] == "failed"]
    below = [
        *(f"{line['method']} {line['trial']}, seed {line['seed']} failed: {line['error']}" for line in failed),
        "val_accuracy is the study's; test_accuracy mean ± standard deviation over the seeds, sparsity and macs means",
        f"per seed and per class: {study / confirmed.PARQUET}",
    ]
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(drawn(content, bold={TEST}))
    else:
        sys.stdout.write(aligned(content) + "\n\n")
    sys.stdout.write("\n".join(below) + "\n")


def _cells(lines: Sequence[Line], val_accuracy: float | None) -> list[str]:
    last = lines[-1]
    mean, std = last["test_accuracy_mean"], last["test_accuracy_std"]
    said = "" if mean is None else f"{mean:.4f}" if std is None else f"{mean:.4f} ± {std:.4f}"
    shown = {
        **{name: last[name] for name in ("trial", "method", "ratio", "seeds")},
        "val_accuracy": val_accuracy,
        "sparsity": _mean(lines, "sparsity"),
        "macs": _mean(lines, "macs"),
    }
    return [said if name == TEST else human(name, shown[name]) for name in COLUMNS]


def _mean(lines: Sequence[Line], name: str) -> float | None:
    values = [line[name] for line in lines if line["state"] == "complete"]
    return statistics.fmean(values) if values else None


def _document(
    study: Path, found: Mapping[str, Sequence[Line]], selected: Mapping[str, float | None], **alike: object
) -> dict[str, Any]:
    """One JSON document: what the lines of a trial share is said once, then each seed's."""
    shared = ("trial", "method", "ratio", "test_accuracy_mean", "test_accuracy_std", "seeds")
    left_out = {*shared, *alike, "classes"}
    classes = next((line["classes"] for lines in found.values() for line in lines if line["classes"]), None)
    return {
        "study": str(study),
        **alike,
        "classes": classes,
        "trials": [
            {
                **{name: lines[-1][name] for name in shared},
                "study_val_accuracy": selected.get(trial),
                "runs": [
                    {name: value for name, value in line.items() if name not in left_out and value is not None}
                    for line in lines
                ],
            }
            for trial, lines in found.items()
        ],
    }
