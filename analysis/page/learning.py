"""The learning curves of a study's trials for a page: those of the front first, as many as a page can hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from analysis import curves
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

Curve = dict[str, list[Any]]


def learning(study: Path, trials: Sequence[str], *, dense: Sequence[str]) -> tuple[dict[str, Curve], list[str]]:
    """Trial → its curve, for as many of ``trials`` as there is room for, in that order; and lines on what is missing.

    A curve has the `MEASURED`, an entry for each epoch and for each cut, and ``runs``: stage, round and how many
    entries are theirs, in order. A file that cannot be read costs its curves, not the page.
    """
    said: list[str] = []
    try:
        held = _compacted(study)
    except WrongInput as error:
        held = {}
        if (study / curves.PARQUET).exists():
            said.append(str(error))
    absent = [trial for trial in trials if trial not in held][:FILES]
    for trial, epochs in zip(absent, each(lambda name: _of(study, name), absent, at=study), strict=True):
        if epochs:
            held[trial] = epochs
    found: dict[str, Curve] = {}
    room = EPOCHS
    for trial in trials:
        epochs = [epoch for epoch in held.get(trial, []) if trial in dense or epoch.get("stage") != SHARED]
        if not epochs:
            continue
        if len(epochs) > room:
            said.append(f"{len(found)} of {sum(name in held for name in trials)} learning curves are on this page")
            break
        room -= len(epochs)
        found[trial] = _curve(epochs)
    return found, said


def _compacted(study: Path) -> dict[str, list[dict[str, Any]]]:
    epochs = defaultdict(list)
    for epoch in curves.read(study).select(["trial", "stage", "round", *MEASURED]).to_pylist():
        epochs[epoch["trial"]].append(epoch)
    return dict(epochs)


def _of(study: Path, trial: str) -> list[dict[str, Any]]:
    try:
        return curves.of_trial(study, trial)["epochs"]
    except WrongInput:
        return []


def _curve(epochs: Sequence[dict[str, Any]]) -> Curve:
    stages = groupby((epoch.get("stage"), epoch.get("round")) for epoch in epochs)
    curve: Curve = {"runs": [[stage, round_, len(list(same))] for (stage, round_), same in stages]}
    for name in MEASURED:
        values = [finite(epoch.get(name)) for epoch in epochs]
        if any(value is not None for value in values):
            curve[name] = [None if value is None else float(f"{value:.4g}") for value in values]
    return curve
