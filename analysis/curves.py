"""The epochs of a study's trials: compacted into ``curves.parquet``, and read from it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow
from analysis.errors import WrongInput
from analysis.schema import CURVE, SCHEMA_VERSION, check_schema_version

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["compact", "read"]

PARQUET = "curves.parquet"
CURVES = "curves"


def read(study: Path) -> pa.Table:
    """Every epoch of a study as of the last compaction, trial by trial and in the order in which they were run.

    Raises WrongInput where there is no ``curves.parquet``, or one that cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = study / PARQUET
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise WrongInput(f"{study} has no {PARQUET}: it is written when a search of the study ends") from None
    except (pa.ArrowException, OSError) as error:
        raise WrongInput(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:120]}") from error
    check_schema_version(table.schema.metadata, where=str(path))
    return table


def compact(study: Path) -> Path:
    """Write the epochs of all trials into ``curves.parquet``, whole or not at all, and return its path.

    Raises WrongInput for a file in ``curves/`` that does not hold a list of epochs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    epochs = [epoch for path in sorted((study / CURVES).glob("[!.]*.json")) for epoch in _epochs(path)]
    types = {"string": pa.string(), "int": pa.int64(), "float": pa.float64()}
    columns = {
        column.name: arrow.array([epoch.get(column.name) for epoch in epochs], types[column.kind]) for column in CURVE
    }
    table = pa.table(columns, metadata={"prunefront_schema": str(SCHEMA_VERSION)})
    path, temporary = study / PARQUET, study / f".{PARQUET}.{os.getpid()}"
    try:
        pq.write_table(table, temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _epochs(path: Path) -> list[dict[str, Any]]:
    try:
        epochs = json.loads(path.read_bytes())
    except ValueError as error:
        raise WrongInput(f"{path} is not JSON: delete it, the trial's row is not touched ({error})") from error
    if not isinstance(epochs, list) or not all(isinstance(epoch, dict) for epoch in epochs):
        raise WrongInput(f"{path} does not hold a list of epochs: delete it, the trial's row is not touched")
    return epochs
