"""Which networks does no other network beat? Non-dominated sets of tables and of plain arrays.

A point dominates another if it is at least as good in every objective and better in one. Built on moocore
(Fonseca, Paquete, López-Ibáñez), whose sweep takes O(n log n) for two and three objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from analysis import arrow
from analysis.errors import WrongInput
from analysis.schema import measure

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Direction", "candidates", "check_objectives", "directions", "front", "is_nondominated", "values"]

Direction = Literal["higher", "lower"]


def is_nondominated(values: NDArray[np.float64], directions: Sequence[Direction], /) -> NDArray[np.bool_]:
    """One claim per row of ``values``: no other row dominates it.

    ``values`` has shape (n, m), one column per objective; ``directions`` says for each column which way is
    better. Equal rows do not dominate each other: all of them are kept. No rows give no claims. Infinite
    values are ordered as numbers are.

    Raises ValueError for NaN, which has no order (moocore would let it through and give a wrong answer), and
    for shapes that do not fit.
    """
    import moocore
    import numpy as np

    if values.ndim != 2 or values.shape[1] != len(directions) or not directions:
        raise ValueError(f"values must have one column per direction, got {values.shape} and {len(directions)}")
    if np.isnan(values).any():
        raise ValueError("values must not be NaN: leave those rows out first")
    if len(values) == 0:
        return np.zeros(0, dtype=np.bool_)
    maximise = [direction == "higher" for direction in directions]
    kept: NDArray[np.bool_] = moocore.is_nondominated(values, maximise=maximise, keep_weakly=True)
    return kept


def front(table: pa.Table, objectives: Sequence[str]) -> pa.Table:
    """The rows of ``table`` that are on the front of ``objectives``, the best in the first objective first.

    Rows that are not complete, or lack an objective, take no part (see ``candidates``). Equal rows are all
    kept; rows equal in the first objective are ordered by the next one, in the end by trial.
    """
    import numpy as np

    places = np.flatnonzero(arrow.numbers(_is_candidate(table, objectives)) == 1.0)
    found = values(table, objectives)[places]
    # Positions all the way: a million rows of every column are not copied to keep a few.
    kept = table.take(arrow.indices(places[is_nondominated(found, directions(objectives))]))
    order: list[tuple[str, str]] = [
        (name, "descending" if better == "higher" else "ascending")
        for name, better in zip(objectives, directions(objectives), strict=True)
    ]
    return kept.sort_by([*order, *([("trial", "ascending")] if "trial" in kept.column_names else [])])


def candidates(table: pa.Table, objectives: Sequence[str]) -> pa.Table:
    """The rows that can be on a front: complete, and every objective is a finite number."""
    return table.filter(_is_candidate(table, objectives))


def _is_candidate(table: pa.Table, objectives: Sequence[str]) -> pa.ChunkedArray:
    """True for a row that can be on a front; False or null for the others."""
    import pyarrow.compute as pc

    check_objectives(objectives)
    claims = pc.equal(table["state"], arrow.scalar("complete"))
    for name in objectives:
        claims = pc.and_(claims, pc.is_finite(table[name]))  # null where it is null, and null is not True
    return claims


def directions(objectives: Sequence[str]) -> list[Direction]:
    """Which way is better, for each objective; raises WrongInput for a name that is not a measure."""
    found: list[Direction] = []
    for name in objectives:
        better = measure(name).better
        assert better, f"measure {name} must say which direction is better"
        found.append(better)
    return found


def values(table: pa.Table, objectives: Sequence[str]) -> NDArray[np.float64]:
    """The objectives of each row as an array of shape (rows, objectives); null becomes NaN."""
    import numpy as np

    columns = [arrow.numbers(table[name]) for name in objectives]
    return np.column_stack(columns) if columns else np.empty((len(table), 0))


def check_objectives(objectives: Sequence[str]) -> None:
    """Raise WrongInput unless ``objectives`` names at least one measure, each once."""
    if not objectives:
        raise WrongInput("at least one objective is needed, such as val_accuracy,macs")
    for position, name in enumerate(objectives):
        measure(name)
        if name in objectives[:position]:
            raise WrongInput(f"objective {name} is named twice: name each once")
