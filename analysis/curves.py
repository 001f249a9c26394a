"""The epochs of a study's trials: compacted into ``curves.parquet``, and read from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, parquet
from analysis.errors import WrongInput
from analysis.schema import CURVE, parquet_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["compact", "read"]

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

    epochs = [epoch for path in sorted((study / CURVES).glob("[!.]*.json")) for epoch in _epochs(path)]
    schema = parquet_schema(CURVE)
    columns = [arrow.array([epoch.get(field.name) for epoch in epochs], field.type) for field in schema]
    path = study / PARQUET
    parquet.write(pa.table(columns, schema=schema), path)
    return path


def _epochs(path: Path) -> list[dict[str, Any]]:
    try:
        epochs = json.loads(path.read_bytes())
    except ValueError as error:
        raise WrongInput(f"{path} is not JSON: delete it, the trial's row is not touched ({error})") from error
    if not isinstance(epochs, list) or not all(isinstance(epoch, dict) for epoch in epochs):
        raise WrongInput(f"{path} does not hold a list of epochs: delete it, the trial's row is not touched")
    return epochs
