"""A study's Parquet files beside its rows: read checked, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import WrongInput
from analysis.object_path import ObjectPath
from analysis.schema import check_schema_version

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["opened", "read", "write"]

DATED = b"prunefront.dated"
"""What a file on an object store says in its metadata of its date, since nobody can set the object's own."""


@contextmanager
def opened(path: Path, *, cure: str = "") -> Iterator[tuple[pq.ParquetFile, int]]:
    """Open a file inside the block; yields it and its date [ns since 1970].

    Raises FileNotFoundError where there is none, WrongInput, with the ``cure``, for a damaged one or another schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source: Any = path
    if isinstance(path, ObjectPath):
        source = pa.BufferReader(path.read_bytes())  # a store that does not answer has damaged no file
    try:
        # Before the file is opened: one that is replaced in between is newer than is said.
        dated = path.stat().st_mtime_ns if source is path else 0
        with pq.ParquetFile(source) as file:
            said = file.schema_arrow.metadata or {}
            check_schema_version(said, where=str(path))
            yield file, int(said.get(DATED, dated))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())[:120]
        what = f", it is truncated or damaged: {cure} ({why})" if cure else f": {why}"
        raise WrongInput(f"{path} cannot be read as Parquet{what}") from error


def read(path: Path) -> pa.Table:
    """Read a file; raises FileNotFoundError where there is none, WrongInput for a damaged one or another schema."""
    with opened(path) as (file, _):
        return file.read()


def write(table: pa.Table, path: Path, *, dated: int | None = None) -> None:
    """Write a file so that it is either there, complete and on the disk, or as it was before; dated now, or as said."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(path, ObjectPath):
        if dated is not None:
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), DATED: str(dated)})
        whole = pa.BufferOutputStream()
        pq.write_table(table, whole)
        path.write_bytes(whole.getvalue())
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, temporary)
        with temporary.open("rb+") as written:
            if dated is not None:
                os.utime(written.fileno(), ns=(dated, dated))
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
