"""Latencies of deployable files, by machine and threads: ``STUDY/latency.parquet``, written by ``prunefront latency``.

A study's rows show one machine and one thread count, never two side by side: those of the search where that took
latencies, else those measured last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, parquet
from analysis.errors import WrongInput
from analysis.folder_lock import locked
from analysis.schema import COLUMNS, LATENCY, parquet_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NEEDED", "PARQUET", "SHOWN", "add", "read", "shown"]

PARQUET = "latency.parquet"
SHOWN = tuple(column.name for column in LATENCY if column in COLUMNS and column.name not in {"trial", "version"})
"""The columns that rows have too: the latencies, and where they were taken."""
NEEDED = ("trial", "latency_machine")
"""What tells which rows get them, and whether the search took its own."""

Line = dict[str, Any]


def read(study: Path) -> list[Line]:
    """Every line as columns by name, in the order of the first measurement; none where nothing was measured.

    Raises WrongInput for a file that cannot be read.
    """
    try:
        loaded = parquet.load(study / PARQUET, cure="delete it and run `prunefront latency` again")
    except FileNotFoundError:
        return []
    lines: list[Line] = loaded.table.to_pylist()
    for name in ("measured", *_key_names()):
        if name not in loaded.table.column_names:
            raise WrongInput(f"{study / PARQUET} has no column {name}: it was not written by prunefront")
    return lines


def add(study: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add lines, whole or not at all; one of the same trial, machine and threads is replaced.

    Two processes may add at once: the folder's lock lets one in after the other. Raises WrongInput, and leaves the
    file, where it cannot be read.
    """
    import pyarrow as pa

    with locked(study):
        kept = {tuple(line[name] for name in _key_names()): dict(line) for line in (*read(study), *lines)}
        schema = parquet_schema(LATENCY)
        parquet.write(pa.Table.from_pylist(list(kept.values()), schema=schema), study / PARQUET)


def shown(rows: pa.Table, study: Path, *, taken: pa.ChunkedArray) -> pa.Table:
    """The rows of a study with the latencies that were measured last, where the search took none.

    ``rows`` need the column ``trial``, and get those of `SHOWN` that they have; ``taken`` is the column
    ``latency_machine`` of all rows of the study.
    """
    if taken.null_count < len(taken):
        return rows
    lines = read(study)
    if not lines:
        return rows
    last = max(lines, key=lambda line: str(line["measured"]))
    found = {line["trial"]: line for line in lines if _place(line) == _place(last)}
    of_rows = [found.get(trial, {}) for trial in rows["trial"].to_pylist()]
    for at, field in enumerate(rows.schema):
        if field.name in SHOWN:
            values = [line.get(field.name) for line in of_rows]
            rows = rows.set_column(at, field, arrow.array(values, field.type))
    return rows


def _key_names() -> tuple[str, ...]:
    return ("trial", "latency_machine", "latency_threads")


def _place(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["latency_machine"], line["latency_threads"]
