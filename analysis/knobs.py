"""The knobs of a table's recipes as numbers that a forest takes, and which of them apply only where another says so.

A knob that does not apply is null, here NaN. Which knob decides that is read off the rows: ``penalty`` decides on ``p``
where every value of it either always or never comes with a ``p``. Whoever gives a recipe another ``penalty`` must then
bring the ``p`` along (`Knobs.moved`), and ``p`` is only comparable among recipes of one penalty (`Knobs.strata`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.schema import COLUMNS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["METHOD", "Knobs", "names", "of"]

METHOD = "method"
ABSENT = -1


def names(table: pa.Table) -> list[str]:
    """The columns of a table that say a recipe, ``method`` first: the schema's, and the further knobs of methods."""
    recipe = {column.name: column.group == "recipe" for column in COLUMNS}
    found = [name for name in table.column_names if recipe.get(name, True)]
    return sorted(found, key=lambda name: name != METHOD)


@dataclass(frozen=True)
class Knobs:
    """The knobs that vary, row by row."""

    values: NDArray[np.float64]
    """Shape (rows, columns): of an ordered knob its rank among the rows, of a named one a column for each name."""
    columns: Mapping[str, tuple[int, ...]]
    """Knob → its columns of ``values``."""
    codes: Mapping[str, NDArray[np.int64]]
    """Knob → for each row the position in ``choices`` of what it has, −1 where the knob does not apply."""
    choices: Mapping[str, tuple[Any, ...]]
    """Knob → the values that occur, in ascending order."""
    decides: Mapping[str, str]
    """Knob → the one that decides whether it applies; always applicable ones are absent."""

    def __len__(self) -> int:
        return len(self.values)

    def applies(self, knob: str) -> NDArray[np.bool_]:
        """For each row, whether the knob means something there."""
        found: NDArray[np.bool_] = self.codes[knob] != ABSENT
        return found

    def above(self, knob: str) -> list[str]:
        """What decides whether a knob applies, and what decides on that, and so on."""
        found: list[str] = []
        while (knob := self.decides.get(knob, "")) and knob not in found:
            found.append(knob)
        return found

    def moved(self, knob: str) -> list[str]:
        """A knob and all that it brings along: the knobs whose applying it decides."""
        return [knob, *(name for name in self.codes if knob in self.above(name))]

    def strata(self, *together: str) -> NDArray[np.int64]:
        """For each row a number: rows of one number may exchange their values of the knobs; −1 where one is absent.

        Those are rows of the same method, and alike in all that decides whether the knobs apply, unless that is itself
        exchanged. ``method`` alone is exchanged among all rows.
        """
        import numpy as np

        alike = {name for knob in together for name in (METHOD, *self.above(knob)) if name in self.codes}
        keys = [self.codes[name] for name in sorted(alike - {name for knob in together for name in self.moved(knob)})]
        places = np.unique(np.column_stack([np.zeros(len(self), dtype=np.int64), *keys]), axis=0, return_inverse=True)
        found: NDArray[np.int64] = places[1].reshape(-1)
        for knob in together:
            found = np.where(self.applies(knob), found, ABSENT)
        return found

    def exchanged(self, together: Sequence[str], donors: NDArray[np.int64]) -> NDArray[np.float64]:
        """``values`` where each row has the knobs, and what they bring along, of its donor's row."""
        changed = self.values.copy()
        for name in {name for knob in together for name in self.moved(knob)}:
            places = list(self.columns[name])
            changed[:, places] = self.values[donors][:, places]
        return changed


def of(table: pa.Table) -> Knobs:
    """The knobs of ``table`` that vary: ``method`` where there are several, others where they do within a method."""
    import numpy as np

    read = {name: _coded(table[name]) for name in names(table)}
    method = read[METHOD][0]
    kept = [
        name
        for name, (codes, _) in read.items()
        if (name == METHOD and len(read[name][1]) > 1)
        or (name != METHOD and any(len(np.unique(c[c != ABSENT])) > 1 for c in _split(codes, method)))
    ]
    columns: dict[str, tuple[int, ...]] = {}
    values: list[NDArray[np.float64]] = []
    for name in kept:
        encoded = _encoded(*read[name])
        columns[name] = tuple(range(len(values), len(values) + len(encoded)))
        values += encoded
    codes = {name: read[name][0] for name in kept}
    choices = {name: read[name][1] for name in kept}
    return Knobs(
        values=np.column_stack(values) if values else np.empty((len(table), 0)),
        columns=columns,
        codes=codes,
        choices=choices,
        decides=_deciding(codes, choices),
    )


def is_ordered(choices: Sequence[Any]) -> bool:
    """Whether a knob's values are numbers, and not names or claims."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in choices)


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
    """Each row's position among the distinct values, and those; a number that is NaN is absent too."""
    import numpy as np

    values = [None if value != value else value for value in column.to_pylist()]
    choices = tuple(sorted({value for value in values if value is not None}))
    places = {value: place for place, value in enumerate(choices)}
    return np.array([ABSENT if value is None else places[value] for value in values], dtype=np.int64), choices


def _encoded(codes: NDArray[np.int64], choices: tuple[Any, ...]) -> list[NDArray[np.float64]]:
    """A knob's columns. Ranks stand for numbers: trees that draw their thresholds would miss a knob on a log scale."""
    import numpy as np

    absent = codes == ABSENT
    if is_ordered(choices) or len(choices) == 2:
        ranks = np.searchsorted(np.sort(codes[~absent]), codes).astype(np.float64)
        return [np.where(absent, np.nan, ranks)]
    return [np.where(absent, np.nan, (codes == place).astype(np.float64)) for place in range(len(choices))]


def _split(codes: NDArray[np.int64], by: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    import numpy as np

    return [codes[by == value] for value in np.unique(by)]


def _deciding(codes: Mapping[str, NDArray[np.int64]], choices: Mapping[str, tuple[Any, ...]]) -> dict[str, str]:
    """Knob → the named knob that decides on it; of several the one with the fewest values, which says the most."""
    found = {}
    for name, own in codes.items():
        deciding = [
            other
            for other, others in codes.items()
            if other != name and not is_ordered(choices[other]) and _decides(others, own == ABSENT)
        ]
        if deciding:
            found[name] = min(deciding, key=lambda other: len(choices[other]))
    return found


def _decides(codes: NDArray[np.int64], absent: NDArray[np.bool_]) -> bool:
    """Whether each value of a knob comes with another always or never, and both occur where the knob applies."""
    import numpy as np

    shares = [float(absent[codes == value].mean()) for value in np.unique(codes)]
    applied = absent[codes != ABSENT]
    return all(share in {0.0, 1.0} for share in shares) and bool(applied.any()) and not bool(applied.all())
