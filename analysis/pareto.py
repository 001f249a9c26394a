"""Which networks does no other network beat? Non-dominated sets of tables and of plain arrays.

A point dominates another if it is at least as good in every objective and better in one. Built on moocore
(Fonseca, Paquete, López-Ibáñez), whose sweep takes O(n log n) for two and three objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Literal

from analysis import arrow
from analysis.errors import WrongInput
from analysis.schema import measure

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "RANK",
    "Direction",
    "candidates",
    "candidates_count",
    "check_objectives",
    "directions",
    "front",
    "fronts",
    "is_nondominated",
    "ranks",
    "values",
]

RANK = "rank"
"""The column that ``fronts`` adds."""
MANY = 20_000
"""Points from which on those that a few good ones dominate are taken out first."""
SAMPLE = 1_000
"""So many points, evenly taken, say which ones are the good ones."""
WORTH = 0.05
"""The share of what is left that a sweep has to take out."""
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

    _check(values, directions)
    if len(values) == 0:
        return np.zeros(0, dtype=np.bool_)
    values = np.nan_to_num(values)  # moocore may crash at infinities: the largest numbers are in their order
    maximise = [direction == "higher" for direction in directions]
    if len(values) <= MANY:
        kept: NDArray[np.bool_] = moocore.is_nondominated(values, maximise=maximise, keep_weakly=True)
        return kept
    left = _sieved(values, directions)
    claims = np.zeros(len(values), dtype=np.bool_)
    claims[left] = moocore.is_nondominated(values[left], maximise=maximise, keep_weakly=True)
    return claims


def _sieved(values: NDArray[np.float64], directions: Sequence[Direction]) -> NDArray[np.int64]:
    """The places of the points that a few good ones do not dominate, which are all of the front and little else.

    Whoever takes a point out is itself dominated only by what dominates that point too: the front stays the same.
    A sweep over all points costs less than sorting them, as long as it takes out its share of the sample.
    """
    import moocore
    import numpy as np

    signs = [1.0 if direction == "higher" else -1.0 for direction in directions]
    gains = [column * sign for column, sign in zip(values.T, signs, strict=True)]
    sample = np.column_stack([gain[:: len(gain) // SAMPLE] for gain in gains])
    good = sample[moocore.is_nondominated(sample, maximise=True, keep_weakly=False)]
    beats = (good[:, None, :] >= sample).all(axis=2) & (good[:, None, :] > sample).any(axis=2)
    left, in_sample = np.arange(len(values)), len(sample)
    while True:
        counts = beats.sum(axis=1)
        best = int(counts.argmax())
        if counts[best] <= WORTH * in_sample:
            return left
        pairs = list(zip(gains, good[best], strict=True))
        stays = reduce(or_, (gain > value for gain, value in pairs))
        stays |= reduce(and_, (gain == value for gain, value in pairs))  # equal points do not dominate one another
        kept = np.flatnonzero(stays)
        left, gains = left[kept], [gain[kept] for gain in gains]
        in_sample -= int(counts[best])
        beats &= ~beats[best]


def _check(values: NDArray[np.float64], directions: Sequence[Direction]) -> None:
    import numpy as np

    if values.ndim != 2 or values.shape[1] != len(directions) or not directions:
        raise ValueError(f"values must have one column per direction, got {values.shape} and {len(directions)}")
    if np.isnan(values).any():
        raise ValueError("values must not be NaN: leave those rows out first")


def ranks(
    values: NDArray[np.float64], directions: Sequence[Direction], /, *, most: int | None = None
) -> NDArray[np.int64]:
    """The rank of each row: 1 on the front, 2 on the front of what is left without that one, and so on.

    Equal rows have the same rank. With ``most`` only so many fronts are taken off, and the rows of later ones get 0.
    [Goldberg 1989; Deb 2002]

    Raises ValueError as ``is_nondominated`` does.
    """
    import moocore
    import numpy as np

    _check(values, directions)
    found = np.zeros(len(values), dtype=np.int64)
    if most is None and len(values):
        maximise = [direction == "higher" for direction in directions]
        found += moocore.pareto_rank(np.nan_to_num(values), maximise=maximise) + 1
        return found
    left = np.arange(len(values))
    for rank in range(1, (most or 0) + 1):
        best = is_nondominated(values[left], directions)
        found[left[best]] = rank
        left = left[~best]
        if not len(left):
            break
    return found


def front(table: pa.Table, objectives: Sequence[str]) -> pa.Table:
    """The rows of ``table`` that are on the front of ``objectives``, the best in the first objective first.

    Rows that are not complete, or lack an objective, take no part (see ``candidates``). Equal rows are all
    kept; rows equal in the first objective are ordered by the next one, in the end by trial.
    """
    return _sorted(_ranked(table, objectives, most=1)[0], objectives)


def fronts(table: pa.Table, objectives: Sequence[str], *, most: int) -> pa.Table:
    """The rows on the first ``most`` fronts, one taken off after the other: column ``rank`` says on which, from 1.

    Front by front, each in the order of ``front``, and with the same rows taking part.
    """
    import pyarrow as pa

    assert most >= 1, "there is at least the front"
    kept, found = _ranked(table, objectives, most=most)
    if RANK in kept.column_names:
        kept = kept.drop_columns([RANK])
    column = pa.Array.from_buffers(pa.int64(), len(found), [None, pa.py_buffer(found)])
    return _sorted(kept.append_column(RANK, column), objectives, first=[(RANK, "ascending")])


def _ranked(table: pa.Table, objectives: Sequence[str], *, most: int) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows on the first fronts, in the order of the table, and the rank of each."""
    import numpy as np

    places = np.flatnonzero(arrow.numbers(_is_candidate(table, objectives)) == 1.0)
    found = ranks(values(table, objectives)[places], directions(objectives), most=most)
    # Positions all the way: a million rows of every column are not copied to keep a few.
    return table.take(arrow.indices(places[found > 0])), found[found > 0]


def _sorted(table: pa.Table, objectives: Sequence[str], *, first: Sequence[tuple[str, str]] = ()) -> pa.Table:
    order = [
        (name, "descending" if better == "higher" else "ascending")
        for name, better in zip(objectives, directions(objectives), strict=True)
    ]
    ties = [(name, "ascending") for name in ("trial", "study") if name in table.column_names]
    return table.sort_by([*first, *order, *ties])


def candidates(table: pa.Table, objectives: Sequence[str]) -> pa.Table:
    """The rows that can be on a front: complete, and every objective is a finite number."""
    return table.filter(_is_candidate(table, objectives))


def candidates_count(table: pa.Table, objectives: Sequence[str]) -> int:
    """How many rows can be on a front, none of which is copied."""
    import pyarrow.compute as pc

    return pc.sum(_is_candidate(table, objectives), min_count=0).as_py() or 0


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
