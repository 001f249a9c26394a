"""A study's Parquet files beside its rows: read checked, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import WrongInput
from analysis.schema import check_schema_version

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read", "write"]


def read(path: Path) -> pa.Table:
    """Read a file; raises FileNotFoundError where there is none, WrongInput for a damaged one or another schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise WrongInput(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:120]}") from error
    check_schema_version(table.schema.metadata, where=str(path))
    return table


def write(table: pa.Table, path: Path) -> None:
    """Write a file so that it is either there, complete and on the disk, or as it was before."""
    import pyarrow.parquet as pq

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
