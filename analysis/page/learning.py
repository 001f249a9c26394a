"""The learning curves of a study's trials for a page: those of the front first, as many as a page can hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, groupby
from pathlib import Path
from typing import Any

from analysis import arrow, curves
from analysis.errors import WrongInput
from analysis.object_path import each
from analysis.page.columns import finite

__all__ = ["MEASURED", "learning"]

MEASURED = ("val_accuracy", "train_accuracy", "val_loss", "train_loss")
EPOCHS = 60_000
"""So many epochs of a study are in a page: some 2 MB."""
FILES = 500
"""So many trials at most are looked up in their own files, where the search that runs has not compacted them yet."""
SHARED = "dense"
"""The stage that all trials of a study begin with: shown for the dense network itself, and for nobody else."""

Lines = dict[str, list[Any]]
"""``stage``, ``round`` and the `MEASURED`, each with an entry for every line."""
Curve = dict[str, list[Any]]


def learning(study: Path, trials: Sequence[str], *, dense: Sequence[str]) -> tuple[dict[str, Curve], list[str]]:
    """Trial → its curve, for as many of ``trials`` as there is room for, in that order; and lines on what is missing.

    A curve has the `MEASURED`, an entry for each epoch and for each cut, and ``runs``: stage, round and how many
    entries are theirs, in order. A file that cannot be read costs its curves, not the page.
    """
    said: list[str] = []
    held: dict[str, Lines] = {}
    try:
        held |= _compacted(study)
    except WrongInput as error:
        if (study / curves.PARQUET).exists():
            said.append(str(error))
    absent = [trial for trial in trials if trial not in held][:FILES]
    for trial, lines in zip(absent, each(lambda name: _of(study, name), absent, at=study), strict=True):
        if lines["stage"]:
            held[trial] = lines
    found: dict[str, Curve] = {}
    room = EPOCHS
    for trial in trials:
        lines = held.get(trial, {"stage": []})
        if trial not in dense and SHARED in lines["stage"]:
            own = [stage != SHARED for stage in lines["stage"]]
            lines = {name: list(compress(values, own)) for name, values in lines.items()}
        count = len(lines["stage"])
        if count > room:
            said.append(f"{len(found)} of {sum(name in held for name in trials)} learning curves are on this page")
            break
        room -= count
        if count:
            found[trial] = _curve(lines)
    return found, said


def _compacted(study: Path) -> dict[str, Lines]:
    """Trial → its lines of ``curves.parquet``, where those of a trial follow one another."""
    table = curves.read(study)
    whole: Lines = {name: table[name].to_pylist() for name in ("stage", "round")}
    whole |= {name: arrow.numbers(table[name]).tolist() for name in MEASURED}
    start, found = 0, {}
    for trial, same in groupby(table["trial"].to_pylist()):
        end = start + sum(1 for _ in same)
        found[trial] = {name: values[start:end] for name, values in whole.items()}
        start = end
    return found


def _of(study: Path, trial: str) -> Lines:
    try:
        epochs = curves.of_trial(study, trial)["epochs"]
    except WrongInput:
        epochs = []
    return {name: [epoch.get(name) for epoch in epochs] for name in ("stage", "round", *MEASURED)}


def _curve(lines: Lines) -> Curve:
    stages = groupby(zip(lines["stage"], lines["round"], strict=True))
    curve: Curve = {"runs": [[stage, round_, len(list(same))] for (stage, round_), same in stages]}
    for name in MEASURED:
        values = [finite(value) for value in lines[name]]
        if any(value is not None for value in values):
            curve[name] = [None if value is None else float(f"{value:.4g}") for value in values]
    return curve
