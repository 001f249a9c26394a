"""A study's Parquet files beside its rows: read checked, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow
from analysis.errors import WrongInput
from analysis.object_path import ObjectPath
from analysis.schema import schema_version

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Loaded", "load", "read", "write"]

DATED = b"prunefront.dated"
"""What a file on an object store says in its metadata of its date, since nobody can set the object's own."""
LARGE = 4 * 2**20
"""Bytes of an object from which single columns are asked for; a smaller one comes whole, in one round trip."""

BATCH = 2**16
"""So many rows of a file are held at once where few of them are wanted."""

Choose = Callable[[Sequence[str], int], Sequence[str]]
"""From a file's columns and its schema version to the columns that are read."""
Only = tuple[str, Collection[str]]
"""A column of texts that is read, and the values whose rows are wanted."""


@dataclass(frozen=True)
class Loaded:
    """What was read of a file."""

    table: pa.Table
    version: int
    """The schema version that it was written with."""
    dated: int
    """Its date, ns since 1970."""


def load(path: Path, *, choose: Choose | None = None, only: Only | None = None, cure: str = "") -> Loaded:
    """Read the columns of a file that are chosen, all where nothing chooses; of some rows ``only``, all where not said.

    Raises FileNotFoundError where there is none, WrongInput, with the ``cure``, for a damaged one, one that is not ours
    and one of a newer schema.
    """
    import pyarrow as pa

    if not isinstance(path, ObjectPath):
        # Before the file is opened: one that is replaced in between is newer than is said.
        dated = path.stat().st_mtime_ns
        with _damage_named(path, cure):
            return _load(path, path, dated, choose, only)
    if choose is not None and path.stat().st_size >= LARGE:
        # Whether the store failed or the file is damaged the whole object tells.
        with suppress(OSError, pa.ArrowException):
            return path.read_parts(lambda file: _load(path, file, 0, choose, only))
    whole = pa.BufferReader(path.read_bytes())
    with _damage_named(path, cure):
        return _load(path, whole, 0, choose, only)


def _load(path: Path, source: Any, dated: int, choose: Choose | None, only: Only | None) -> Loaded:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source, pre_buffer=isinstance(path, ObjectPath)) as file:
        said = file.schema_arrow.metadata or {}
        version = schema_version(said, where=str(path))
        wanted = None if choose is None else list(choose(file.schema_arrow.names, version))
        if only is None:
            table = file.read(columns=wanted)
        else:
            table = _read_only(file, file.schema_arrow.names if wanted is None else wanted, only)
        return Loaded(table, version, int(said.get(DATED, dated)))


def _read_only(file: Any, columns: Sequence[str], only: Only) -> pa.Table:
    """Some rows of a file, of which a few are held at a time: a million of every column would fill a gigabyte.

    Columns that the file knows to be null are not looked at.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column, values = only
    texts = arrow.array(list(values), pa.string())
    empty = _empty(file.metadata) - {column}
    told = [name for name in columns if name not in empty]
    parts = [
        pa.Table.from_batches([batch.filter(pc.is_in(batch[column].cast(pa.string()), value_set=texts))])
        for batch in file.iter_batches(BATCH, columns=told)
    ]
    table = pa.concat_tables(parts) if parts else file.read(columns=told)
    for name in columns:
        if name in empty:
            field = file.schema_arrow.field(name)
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(columns)


def _empty(metadata: Any) -> set[str]:
    """The columns of a file that have nothing but nulls, as far as it says so itself."""
    found = []
    for place in range(metadata.num_row_groups):
        group = metadata.row_group(place)
        columns = [group.column(at) for at in range(group.num_columns)]
        known = [(each.path_in_schema, each.statistics) for each in columns]
        found.append(
            {name for name, said in known if said and said.has_null_count and said.null_count == group.num_rows}
        )
    return set.intersection(*found) if found else set()


@contextmanager
def _damage_named(path: Path, cure: str) -> Iterator[None]:
    """Say in one line that what is read inside the block is not a whole Parquet file."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())[:120]
        what = f", it is truncated or damaged: {cure} ({why})" if cure else f": {why}"
        raise WrongInput(f"{path} cannot be read as Parquet{what}") from error


def read(path: Path) -> pa.Table:
    """Read a file; raises FileNotFoundError where there is none, WrongInput for a damaged one or a newer schema."""
    return load(path).table


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
