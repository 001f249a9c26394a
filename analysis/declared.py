"""Rows and tables in the columns that the schema declares: their kinds checked, older versions brought up to date."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow
from analysis.errors import WrongInput
from analysis.migration import Value, since
from analysis.schema import Kind

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_row", "in_schema", "joined", "kind_of", "migrated"]

_HOLDS: dict[Kind, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}
_LARGEST = 2**63 - 1


def check_row(row: dict[str, Any], path: Path, declared: Mapping[str, Kind], further: dict[str, Kind]) -> None:
    """Check the values against the declared kinds; add to ``further`` the kind of each further column.

    Arrow cannot be left to do it: it stores 1.5 in an integer column as 1, without a word. Raises WrongInput for a
    value of another kind.
    """
    for name, value in row.items():
        if value is None:
            continue
        kind = declared.get(name) or joined(further.get(name), _kind_of_value(value))
        if kind == "int" and isinstance(value, float) and value.is_integer():
            row[name] = value = int(value)
        fits = isinstance(value, _HOLDS.get(kind, ())) and (kind == "bool" or not isinstance(value, bool))
        if not fits or (isinstance(value, int) and abs(value) > _LARGEST):
            raise WrongInput(f"{path}: column {name} holds {kind} values, got {value!r:.60}")
        if name not in declared:
            further[name] = kind


def joined(kind: Kind | None, other: Kind) -> Kind:
    """The kind that a further column needs to hold values of both: an integer column becomes a float column.

    Kinds that do not go together give the first.
    """
    return "float" if {kind, other} == {"int", "float"} else kind or other


def _kind_of_value(value: object) -> Kind:
    kinds: dict[type, Kind] = {bool: "bool", int: "int", float: "float"}
    return kinds.get(type(value), "string")


def kind_of(arrow_type: pa.DataType) -> Kind:
    """What a column of an Arrow type holds."""
    import pyarrow.types as types

    if types.is_boolean(arrow_type):
        return "bool"
    if types.is_integer(arrow_type):
        return "int"
    return "float" if types.is_floating(arrow_type) else "string"


def in_schema(table: pa.Table, schema: pa.Schema, *, where: str) -> pa.Table:
    """``table`` with exactly the columns of ``schema``; those that it lacks are null.

    Raises WrongInput, which begins with ``where``, for a column that cannot be cast.
    """
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(len(table), field.type))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except pa.ArrowException as error:
            held = table.schema.field(field.name).type
            raise WrongInput(
                f"{where}: column {field.name} holds {kind_of(field.type)} values, got a column of {held}"
            ) from error
    return pa.table(columns, schema=schema)


def migrated(table: pa.Table, version: int) -> pa.Table:
    """A table of an older version as a table of this one.

    A value changes only where the columns that it depends on are there: read what ``migration.older_names`` says.
    """
    for change in since(version):
        table = table.rename_columns([change.renamed.get(name, name) for name in table.column_names])
        for value in change.values:
            table = _changed(table, value)
    return table


def _changed(table: pa.Table, value: Value) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = table.column_names
    conditions = [condition[0] for condition in (value.beside, value.except_beside) if condition]
    if any(name not in names for name in conditions):
        return table
    types = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    held = table[value.column] if value.column in names else pa.nulls(len(table), types[value.kind])
    claims = [pc.is_null(held) if value.old is None else _equal(held, value.old)]
    if value.beside is not None:
        claims.append(_equal(table[value.beside[0]], value.beside[1]))
    if value.except_beside is not None:
        claims.append(pc.invert(_equal(table[value.except_beside[0]], value.except_beside[1])))
    new = arrow.array([value.new], types[value.kind])[0]
    changed = pc.if_else(reduce(pc.and_, claims), new, held)
    if value.column in names:
        return table.set_column(names.index(value.column), value.column, changed)
    return table.append_column(value.column, changed)


def _equal(column: Any, value: str | float) -> Any:
    """True where the column holds the value, False where it holds another or null."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.equal(column, arrow.scalar(value)), arrow.scalar(False))
