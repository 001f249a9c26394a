"""A table's columns for a page, kept small: what is the same in all rows once, names by number, no null columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from analysis.schema import MEASURES

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["compact", "finite"]

DIGITS = 6
"""Significant digits of a measure; knobs are kept as they are, so that a recipe can be run again."""
EXACT = {column.name for column in MEASURES if column.kind == "int"}
ROUNDED = ({column.name for column in MEASURES} | {"seconds", "ratio_achieved"}) - EXACT


def compact(table: pa.Table) -> dict[str, Any]:
    """Column → ``{"same": value}``, ``{"names": […], "codes": […]}`` (−1: null) or ``{"values": […]}``.

    A column that is null in all rows is left out. NaN and infinities, which JSON has not, become null.
    """
    columns = {}
    for name in table.column_names:
        if table[name].null_count == len(table):
            continue
        values = [finite(value) for value in table[name].to_pylist()]
        distinct = dict.fromkeys(values)
        if set(distinct) == {None}:
            continue
        is_text = all(isinstance(value, str) for value in distinct if value is not None)
        if len(distinct) == 1:
            columns[name] = {"same": values[0]}
        elif is_text and 2 * len(distinct) < len(values):
            names = [value for value in distinct if value is not None]
            codes = {value: code for code, value in enumerate(names)} | {None: -1}
            columns[name] = {"names": names, "codes": [codes[value] for value in values]}
        elif name in ROUNDED:
            columns[name] = {"values": [None if value is None else _rounded(value) for value in values]}
        else:
            columns[name] = {"values": values}
    return columns


def finite(value: Any) -> Any:
    """The value, None for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rounded(value: float) -> float:
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short
