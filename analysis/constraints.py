"""What a network must meet to be on a study's front: ``gzip_bytes: "<= 2 MB"``, with units.

A constraint is a measure, one of >=, <=, > and <, and a bound. `analysis.expression`, the language of ``--where``, has
columns on either side and no units; the two share nothing but what a missing value means: it meets nothing.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from analysis import arrow
from analysis.errors import WrongInput, nearest
from analysis.schema import OBJECTIVES, Column, measure

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["BYTES", "Constraint", "bound", "listed", "met", "parse", "without_unmet"]

BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_COUNTS: Mapping[str, int | Fraction] = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_TIMES: Mapping[str, int | Fraction] = {"us": Fraction(1, 1000), "µs": Fraction(1, 1000), "ms": 1, "s": 1000}
_SHARES: Mapping[str, int | Fraction] = {"%": Fraction(1, 100)}
_RELATIONS: dict[str, Any] = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}

_WRITTEN = re.compile(
    r"\s*(?P<relation>[<>]=?)\s*(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<unit>[^\d\s]*)\s*"
)

LARGEST = 1e30
BARELY = 1e-9
"""The violation of a network that is at the bound and must lie beyond it."""


@dataclass(frozen=True)
class Constraint:
    """A bound on one measure, in the measure's own unit."""

    measure: str
    relation: str
    """One of >=, <=, > and <."""
    bound: float

    @property
    def written(self) -> str:
        """The comparison as a spec says it, in the measure's own unit; reading it back gives an equal constraint."""
        return f"{self.relation} {int(self.bound) if self.bound.is_integer() else self.bound!r}"

    def __str__(self) -> str:
        """For people: the bound in a unit that suits it.

        >>> str(Constraint("gzip_bytes", "<=", 2e6)), str(Constraint("val_accuracy", ">=", 0.9))
        ('gzip_bytes <= 2 MB', 'val_accuracy >= 0.9')
        """
        units = _units(measure(self.measure))
        named = [name for name, factor in units.items() if factor > 1 and self.bound >= factor and "i" not in name]
        own = {"ms": " ms", "bytes": " B"}.get(measure(self.measure).unit, "")
        unit = named[-1] if named else ""
        return f"{self.measure} {self.relation} {self.bound / float(units.get(unit, 1)):.6g}" + (
            f" {unit}" if unit else own
        )

    def holds(self, value: object) -> bool:
        """Whether a measured value meets the bound; a missing one, and NaN, does not."""
        return isinstance(value, int | float) and bool(_RELATIONS[self.relation](value, self.bound))

    def violation(self, value: float) -> float:
        """How far a value is from meeting the bound, as a share of the bound: 0 or less where it meets it.

        Where the bound is 0, in the measure's own unit. Raises ValueError for NaN.
        """
        if math.isnan(value):
            raise ValueError(f"{self.measure} is NaN: nobody knows how far from {self.bound} that is")
        lacking = (self.bound - value) if self.relation in {">=", ">"} else (value - self.bound)
        lacking /= abs(self.bound) or 1.0
        return lacking if self.holds(value) else max(lacking, BARELY)


def parse(given: object, *, where: str) -> tuple[Constraint, ...]:
    """Read ``search.constraints`` of a spec: a mapping from measures to comparisons such as ``">= .9"``.

    A bound without a unit is in the measure's own. Raises WrongInput, one line with the place under ``where``, what
    was given and what is accepted, for whatever is no such mapping.
    """
    if not isinstance(given, Mapping):
        raise WrongInput(
            f"constraints takes a mapping from measures to comparisons, such as "
            f'{{val_accuracy: ">= .9"}}, got {given!r:.60} ({where})'
        )
    return tuple(bound(str(name), said, where=f"{where}.{name}") for name, said in given.items())


def listed(constraints: Sequence[Constraint]) -> str:
    """The constraints in a sentence.

    >>> listed(parse({"val_accuracy": ">= 90 %", "macs": "< 5 M"}, where=""))
    'val_accuracy >= 0.9 and macs < 5 M'
    """
    return " and ".join(map(str, constraints))


def met(table: pa.Table, constraints: Sequence[Constraint]) -> NDArray[np.bool_]:
    """One claim per row: it meets every constraint. A row that lacks the measure, or holds NaN there, does not."""
    import numpy as np

    claims = np.ones(len(table), dtype=np.bool_)
    for each in constraints:
        claims &= _RELATIONS[each.relation](arrow.numbers(table[each.measure]), each.bound)
    return claims


def without_unmet(table: pa.Table, constraints: Sequence[Constraint]) -> pa.Table:
    """The table with the state ``unmet`` where a complete row does not meet the constraints: what it cost stays."""
    if not constraints:
        return table
    states = [
        "unmet" if state == "complete" and not fine else state
        for state, fine in zip(table["state"].to_pylist(), met(table, constraints), strict=True)
    ]
    place = table.column_names.index("state")
    return table.set_column(place, "state", arrow.array(states, table.schema.field("state").type))


def bound(
    name: str, said: object, *, where: str, accepted: Sequence[str] = OBJECTIVES, relation: str = ""
) -> Constraint:
    """Read one comparison with a measure, one of those ``accepted``; see ``parse``, whose errors it raises.

    Where a ``relation`` is given, ``said`` is the number alone.
    """
    try:
        column = measure(name)
    except WrongInput:
        raise WrongInput(f"{name!r} is not a measure: {nearest(name, accepted)} ({where})") from None
    if name not in accepted:
        raise WrongInput(f"{name} is not measured in every trial: {nearest(name, accepted)} ({where})")
    units = _units(column)
    example = f"{'.9' if units is _SHARES else '2'}{_example(units)}"
    parts = _WRITTEN.fullmatch(f"{relation} {said}") if isinstance(said, str) else None
    if parts is None:
        compared = f'>=, <=, > or < and a number, such as "{">=" if column.better == "higher" else "<="} {example}"'
        takes = f"a number, such as {example}" if relation else compared
        raise WrongInput(f"{name} takes {takes}, got {said!r:.60} ({where})")
    unit = parts["unit"].replace("μ", "µ")  # the Greek letter for the sign
    if unit and unit not in units and unit != column.unit:
        names = ", ".join(units) if units else "none"
        in_unit = f"is in {column.unit}" if column.unit else "is a share" if units is _SHARES else "is a count"
        raise WrongInput(f"{name} {in_unit}: accepted units are {names}, got {unit!r} in {said!r} ({where})")
    limit = _scaled(parts["number"], units.get(unit, 1))
    if units is _SHARES and not 0 <= limit <= 1:
        raise WrongInput(f"{name} lies between 0 and 1: write .9 or 90 %, got {said!r} ({where})")
    if not 0 <= limit < LARGEST:
        raise WrongInput(f"{name} is bounded by a number from 0 to {LARGEST:g}, got {said!r} ({where})")
    return Constraint(name, parts["relation"], limit)


def _scaled(number: str, factor: int | Fraction) -> float:
    """A number in a unit, exactly: .3 % is the float .003, which .3 × .01 is not."""
    about = float(number)
    # A fraction with an exponent of millions takes for ever.
    exact = Fraction(number) if 1 / LARGEST < abs(about) < LARGEST else about
    return float(exact * factor)


def _units(column: Column) -> Mapping[str, int | Fraction]:
    """Unit → its size in the measure's own unit; none for what has no other unit."""
    match column.unit, column.kind:
        case "bytes", _:
            return BYTES
        case "ms", _:
            return _TIMES
        case _, "int":
            return _COUNTS
        case "", _:
            return _SHARES
    return {}


def _example(units: Mapping[str, int | Fraction]) -> str:
    return next((f" {unit}" for unit in ("MB", "M", "ms") if unit in units), "")
