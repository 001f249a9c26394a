"""What older versions wrote, as this one would have written it: single rows here, whole tables in `analysis.declared`.

A version's `Change` says, column by column, what became of its values in the next version. Rows and tables go through
the same changes, one version after the other, so that the two cannot disagree. To change the schema: raise
``schema.SCHEMA_VERSION``, add the entry for the version that it was, and leave files of that version beside the tests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.schema import DENSE, SCHEMA_VERSION, Kind

__all__ = ["CHANGES", "Change", "Value", "migrated_row", "older_names", "since", "today"]


@dataclass(frozen=True)
class Value:
    """One value of a column that is written differently since; None is null.

    It is the ``new`` one where the column held the ``old``, ``beside`` has the value of that column named there, and
    ``except_beside`` has not.
    """

    column: str
    kind: Kind
    old: str | float | None
    new: str | float | None
    beside: tuple[str, str] | None = None
    except_beside: tuple[str, str] | None = None


@dataclass(frozen=True)
class Change:
    """From one version to the next: columns that have new names (old → new), then values written differently."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    values: tuple[Value, ...] = ()


CHANGES: dict[int, Change] = {
    # Version 1 said `rounds: 1` of a one-shot schedule, later nothing, as of every knob that does not apply; and had at
    # first no column `control`. Its rows did not name their version. Columns that came in its course (floored,
    # ratio_reason, scales_near_zero) are null in its older files.
    1: Change(
        values=(
            Value("rounds", "int", old=1, new=None, beside=("schedule", "one-shot")),
            Value("control", "string", old=None, new="none", except_beside=("method", DENSE)),
        )
    ),
}
"""Version → what the next one changed."""


def migrated_row(row: Mapping[str, Any], version: int) -> dict[str, Any]:
    """A row of ``version`` as a row of this one; the row itself is left as it is."""
    found = dict(row)
    for change in since(version):
        found = {change.renamed.get(name, name): value for name, value in found.items()}
        for value in change.values:
            if found.get(value.column) == value.old and _applies(value, found):
                found[value.column] = value.new
    return found


def older_names(names: set[str], version: int) -> set[str]:
    """The columns of a file of ``version`` that are needed to give columns ``names`` as they are called today."""
    for change in reversed(since(version)):
        conditions = [condition for value in change.values for condition in (value.beside, value.except_beside)]
        names = names | {name for name, _ in filter(None, conditions)} if _concerns(change, names) else names
        older = {new: old for old, new in change.renamed.items()}
        names = {older.get(name, name) for name in names}
    return names


def today(names: Collection[str], version: int) -> set[str]:
    """The columns that a file of ``version`` with columns ``names`` gives, those that only a change brings included."""
    found = set(names)
    for change in since(version):
        found = {change.renamed.get(name, name) for name in found} | {value.column for value in change.values}
    return found


def since(version: int) -> list[Change]:
    """What changed since a version, the oldest change first."""
    return [CHANGES[number] for number in range(version, SCHEMA_VERSION)]


def _concerns(change: Change, names: set[str]) -> bool:
    return any(value.column in names for value in change.values)


def _applies(value: Value, row: Mapping[str, Any]) -> bool:
    is_beside = value.beside is None or row.get(value.beside[0]) == value.beside[1]
    return is_beside and (value.except_beside is None or row.get(value.except_beside[0]) != value.except_beside[1])
