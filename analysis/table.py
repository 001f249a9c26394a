"""A study's rows as one table: read from a study folder, compacted into it, narrowed by an expression.

``rows/TRIAL.json`` is the source of truth, one file per finished trial; ``trials.parquet`` holds the same
rows compacted, so that ten thousand of them are read in milliseconds, and may be stale or absent.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, parquet
from analysis.errors import WrongInput, nearest
from analysis.expression import where
from analysis.object_path import ObjectPath, each, scan
from analysis.row import read_row
from analysis.schema import COLUMNS, Kind, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["compact", "read", "where"]

PARQUET = "trials.parquet"
ROWS = "rows"

_HOLDS: dict[Kind, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}
_LARGEST = 2**63 - 1
_PUT_NS = 10 * 10**9
"""An object is dated to when its put began: a row may be that much older than its first reader could have known."""


def read(study: Path, *, columns: Collection[str] | None = None, damage: list[str] | None = None) -> pa.Table:
    """Every row of a study, newest version of each trial, in no particular order.

    ``columns`` limits what is read: names that the study does not have are passed over. Columns of the schema
    that no row has are there, filled with null; a study without rows gives a table of length zero.

    Taken from ``trials.parquet`` are the trials whose row in ``rows/`` is older than it; all others are read
    from ``rows/``, so that the answer does not depend on when the study was last compacted.

    Raises WrongInput if there is no such study, if the Parquet file is truncated or of another schema
    version, or if a row is not a flat JSON object of the columns' types. Where ``damage`` is given such files are
    passed over instead, and it gets a line for each.
    """
    _check_exists(study)
    try:
        compacted, since = _read_parquet(study / PARQUET, columns)
    except WrongInput as error:
        if damage is None:
            raise
        damage.append(str(error))
        compacted, since = None, 0
    return _with_newer_rows(study, compacted, since=since, columns=columns, damage=damage)


def compact(study: Path, knobs: Mapping[str, Kind]) -> Path:
    """Write all rows into ``trials.parquet``, whole or not at all, and return its path.

    ``knobs`` are the catalogue's knobs and their kinds (as for ``arrow_schema``). A Parquet file that cannot
    be read is built again from ``rows/``; one that can only has the newer rows added.

    The file is dated to before the rows were listed: a row that is replaced while this runs then counts as
    newer.
    """
    _check_exists(study)
    try:
        compacted, since = _read_parquet(study / PARQUET, None)
    except WrongInput:
        compacted, since = None, 0
    listed = _now(study)
    table = _with_newer_rows(study, compacted, since=since, columns=None, knobs=knobs)
    path = study / PARQUET
    parquet.write(table, path, dated=listed)
    return path


def _now(study: Path) -> int:
    """The time [ns] from which a row counts as newer, by the clock that dates the rows too."""
    marker = study / f".{PARQUET}.{os.getpid()}"
    try:
        marker.touch()
        return marker.stat().st_mtime_ns - (_PUT_NS if isinstance(study, ObjectPath) else 0)
    finally:
        marker.unlink(missing_ok=True)


def _check_exists(study: Path) -> None:
    if study.is_dir():
        if (study / ROWS).is_dir() or (study / PARQUET).is_file() or (study / "spec.yaml").is_file():
            return
        raise WrongInput(f"{study} is not a study: it has no {ROWS}/, no {PARQUET} and no spec.yaml")
    if study.exists():
        raise WrongInput(f"{study} is a file: accepted is a study's folder, which holds {ROWS}/ or {PARQUET}")
    siblings = (
        sorted(path.name for path in study.parent.iterdir() if (path / ROWS).is_dir() or (path / PARQUET).is_file())
        if study.parent.is_dir()
        else []
    )
    cure = nearest(study.name, siblings) if siblings else f"accepted is a folder that holds {ROWS}/ or {PARQUET}"
    raise WrongInput(f"there is no study at {study}: {cure}")


def _read_parquet(path: Path, columns: Collection[str] | None) -> tuple[pa.Table | None, int]:
    """The compacted rows, and the time [ns] from which a row is newer; (None, 0) where there is no file."""
    try:
        with parquet.opened(path, cure=f"delete it, the rows in {ROWS}/ are used instead") as (file, since):
            names = file.schema_arrow.names
            if "trial" not in names:
                raise WrongInput(f"{path} has no column trial: it was not written by prunefront")
            wanted = names if columns is None else [name for name in names if name in columns or name == "trial"]
            return file.read(columns=wanted), since
    except FileNotFoundError:
        return None, 0


def _with_newer_rows(
    study: Path,
    compacted: pa.Table | None,
    *,
    since: int,
    columns: Collection[str] | None,
    knobs: Mapping[str, Kind] | None = None,
    damage: list[str] | None = None,
) -> pa.Table:
    """``compacted`` with the rows that are newer than ``since`` or that it lacks; columns as declared."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _newer_rows(study / ROWS, compacted, since=since, damage=damage)
    declared = {column.name: column.kind for column in COLUMNS} | dict(knobs or {})
    old = {} if compacted is None else {field.name: _kind(field.type) for field in compacted.schema}
    further = {name: kind for name, kind in old.items() if name not in declared}
    whole = {}
    for path, row in rows.items():
        with _passed_over(damage):
            _check_row(row, path, declared, further)
            whole[path] = row
    rows = whole
    schema = arrow_schema({**(knobs or {}), **further})
    if columns is not None:
        kept = [field for field in schema if field.name in columns]
        schema = pa.schema(kept, metadata=schema.metadata)

    parts = []
    if compacted is not None:
        if rows:
            replaced = arrow.array([path.stem for path in rows], pa.string())
            compacted = compacted.filter(pc.invert(pc.is_in(compacted["trial"], value_set=replaced)))
        parts.append(_in_schema(compacted, schema))
    if rows or not parts:
        values = {field.name: [row.get(field.name) for row in rows.values()] for field in schema}
        parts.append(pa.table([arrow.array(values[field.name], field.type) for field in schema], schema=schema))
    return pa.concat_tables(parts)


@contextmanager
def _passed_over(damage: list[str] | None) -> Iterator[None]:
    """Add to ``damage``, where it is given, why a file inside the block could not be read; one that went is none."""
    try:
        yield
    except (WrongInput, FileNotFoundError) as error:
        if damage is None:
            raise
        if isinstance(error, WrongInput):
            damage.append(str(error))


def _newer_rows(
    folder: Path, compacted: pa.Table | None, *, since: int, damage: list[str] | None = None
) -> dict[Path, dict[str, Any]]:
    """Path → row of every row file that ``compacted`` lacks or that is not older than ``since``, by name."""
    try:
        files = [entry for entry in scan(folder) if entry.name.endswith(".json") and not entry.name.startswith(".")]
    except FileNotFoundError:
        return {}
    known = set(compacted["trial"].to_pylist()) if compacted is not None and files else set()
    newer = []
    for entry in sorted(files, key=lambda entry: entry.name):
        with _passed_over(damage):
            if entry.name.removesuffix(".json") not in known or entry.stat().st_mtime_ns >= since:
                newer.append(folder / entry.name)
    rows: dict[Path, dict[str, Any]] = {}

    def take(path: Path) -> None:
        with _passed_over(damage):
            rows[path] = read_row(path)

    list(each(take, newer, at=folder))
    return {path: rows[path] for path in newer if path in rows}


def _check_row(row: dict[str, Any], path: Path, declared: Mapping[str, Kind], further: dict[str, Kind]) -> None:
    """Check the values against the declared kinds; add to ``further`` the kind of each further column.

    Arrow cannot be left to do it: it stores 1.5 in an integer column as 1, without a word.
    """
    for name, value in row.items():
        if value is None:
            continue
        kind = declared.get(name) or _joined(further.get(name), value)
        if kind == "int" and isinstance(value, float) and value.is_integer():
            row[name] = value = int(value)
        fits = isinstance(value, _HOLDS.get(kind, ())) and (kind == "bool" or not isinstance(value, bool))
        if not fits or (isinstance(value, int) and abs(value) > _LARGEST):
            raise WrongInput(f"{path}: column {name} holds {kind} values, got {value!r:.60}")
        if name not in declared:
            further[name] = kind


def _joined(kind: Kind | None, value: object) -> Kind:
    """The kind that a further column needs to hold ``value`` too: an integer column becomes a float column."""
    kinds: dict[type, Kind] = {bool: "bool", int: "int", float: "float"}
    own = kinds.get(type(value), "string")
    return "float" if {kind, own} == {"int", "float"} else kind or own


def _kind(arrow_type: pa.DataType) -> Kind:
    import pyarrow.types as types

    if types.is_boolean(arrow_type):
        return "bool"
    if types.is_integer(arrow_type):
        return "int"
    return "float" if types.is_floating(arrow_type) else "string"


def _in_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """``table`` with exactly the columns of ``schema``; those that it lacks are null."""
    import pyarrow as pa

    columns: Iterable[Any] = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(list(columns), schema=schema)
