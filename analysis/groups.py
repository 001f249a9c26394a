"""Rows by what they have in common: one table for each value of a column, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis import arrow
from analysis.errors import WrongInput, nearest

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["called", "grouped"]

NONE = "none"
"""What the group of rows is called that have no value there."""


def grouped(table: pa.Table, by: Sequence[str]) -> dict[tuple[str, ...], pa.Table]:
    """Values of the columns ``by``, as text → the rows that have them, in alphabetical order.

    Every row is in one group; a missing value is ``none``. Raises WrongInput for what is no column, and for one named
    twice.

    >>> import pyarrow as pa
    >>> rows = pa.table({"method": ["lamp", "snip", "lamp", None], "macs": [1, 2, 3, 4]})
    >>> {name: len(group) for name, group in grouped(rows, ["method"]).items()}
    {('lamp',): 2, ('none',): 1, ('snip',): 1}
    """
    import numpy as np

    for position, name in enumerate(by):
        if name in by[:position]:
            raise WrongInput(f"column {name} is named twice: name each once")
    places: dict[tuple[str, ...], list[int]] = {}
    columns = [called(table, name) for name in by]
    for place, values in enumerate(zip(*columns, strict=True)):
        places.setdefault(values, []).append(place)
    return {values: table.take(arrow.indices(np.array(places[values], dtype=np.int64))) for values in sorted(places)}


def called(table: pa.Table, by: str) -> list[str]:
    """The group of each row by one column, as ``grouped`` calls it; raises WrongInput for what is no column."""
    if by not in table.column_names:
        raise WrongInput(f"{by!r} is not a column: {nearest(by, table.column_names)}")
    return [NONE if value is None else str(value) for value in table[by].to_pylist()]
