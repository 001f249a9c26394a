"""The learning curves of a study's trials for a page: those of the front first, as many as a page can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import compress, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, curves
from analysis.errors import WrongInput
from analysis.object_path import each
from analysis.page.columns import finite

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

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
    compacted: dict[str, Callable[[], Lines]] = {}
    try:
        compacted = _compacted(study)
    except WrongInput as error:
        if (study / curves.PARQUET).exists():
            said.append(str(error))
    absent = [trial for trial in trials if trial not in compacted][:FILES]
    own_files = zip(absent, each(lambda name: _of(study, name), absent, at=study), strict=True)
    newer = {trial: lines for trial, lines in own_files if lines["stage"]}
    held = compacted.keys() | newer.keys()
    found: dict[str, Curve] = {}
    room = EPOCHS
    for trial in trials:
        lines = newer[trial] if trial in newer else compacted[trial]() if trial in compacted else {"stage": []}
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


def _compacted(study: Path) -> dict[str, Callable[[], Lines]]:
    """Trial → what gives its lines of ``curves.parquet``, where those of a trial follow one another.

    Few of many trials are shown: the lines of the others never become Python's.
    """
    import numpy as np

    table = curves.read(study)
    if len(table) == 0:
        return {}
    whole = {name: _objects(table[name]) for name in ("stage", "round")}
    whole |= {name: arrow.numbers(table[name]) for name in MEASURED}
    trials = _objects(table["trial"])
    starts = np.flatnonzero(np.concatenate([[True], trials[1:] != trials[:-1]]))

    def lines(start: int, end: int) -> Lines:
        return {name: values[start:end].tolist() for name, values in whole.items()}

    ends = [*starts[1:].tolist(), len(table)]
    return {
        trial: partial(lines, start, end)
        for trial, start, end in zip(trials[starts].tolist(), starts.tolist(), ends, strict=True)
    }


def _objects(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as Python's values, each distinct one made once; null is None."""
    import numpy as np
    import pyarrow as pa

    encoded = column.combine_chunks().dictionary_encode()
    codes = np.nan_to_num(arrow.numbers(pa.chunked_array([encoded.indices])), nan=-1.0).astype(np.int64)
    return np.array([*encoded.dictionary.to_pylist(), None], dtype=object)[codes]


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
        values = [None if finite(value) is None else float(f"{value:.4g}") for value in lines[name]]
        if any(value is not None for value in values):
            curve[name] = values
    return curve
