"""The epochs of a study's trials: compacted into ``curves.parquet``, and read from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, parquet
from analysis.errors import WrongInput
from analysis.object_path import each
from analysis.schema import CURVE, parquet_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["compact", "of_trial", "read"]

PARQUET = "curves.parquet"
CURVES = "curves"


def read(study: Path) -> pa.Table:
    """Every epoch of a study as of the last compaction, trial by trial and in the order in which they were run.

    Raises WrongInput where there is no ``curves.parquet``, or one that cannot be read.
    """
    try:
        return parquet.read(study / PARQUET)
    except FileNotFoundError:
        raise WrongInput(f"{study} has no {PARQUET}: it is written when a search of the study ends") from None


def compact(study: Path) -> Path:
    """Write the epochs of all trials into ``curves.parquet``, whole or not at all, and return its path.

    Raises WrongInput for a file in ``curves/`` that does not hold a list of epochs.
    """
    import pyarrow as pa

    files = sorted((study / CURVES).glob("[!.]*.json"))
    epochs = [epoch for held in each(_written, files, at=study) for epoch in held["epochs"]]
    schema = parquet_schema(CURVE)
    columns = [arrow.array([epoch.get(field.name) for epoch in epochs], field.type) for field in schema]
    path = study / PARQUET
    parquet.write(pa.table(columns, schema=schema), path)
    return path


def of_trial(study: Path, trial: str) -> dict[str, list[dict[str, Any]]]:
    """A trial's ``epochs`` and ``spans`` (see `trial.spans`), as it left them; both empty where it left none.

    Raises WrongInput for a file that holds something else.
    """
    try:
        return _written(study / CURVES / f"{trial}.json")
    except FileNotFoundError:
        return {"epochs": [], "spans": []}


def _written(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        held = json.loads(path.read_bytes())
    except ValueError as error:
        raise WrongInput(f"{path} is not JSON: delete it, the trial's row is not touched ({error})") from error
    # Before spans were written a file held the epochs alone.
    parts = {"epochs": held, "spans": []} if isinstance(held, list) else held
    if not isinstance(parts, dict) or not all(_are_entries(parts.get(name)) for name in ("epochs", "spans")):
        raise WrongInput(f"{path} does not hold a list of epochs: delete it, the trial's row is not touched")
    return {"epochs": parts["epochs"], "spans": parts["spans"]}


def _are_entries(held: object) -> bool:
    return isinstance(held, list) and all(isinstance(entry, dict) for entry in held)
