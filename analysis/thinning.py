"""A front for people: a few of its networks, so that every other one is close to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.indicators import Scale, scaled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["thinned"]

ROOM = 4_000_000
"""Comparisons that are held at once, a byte or eight each."""


def thinned(values: NDArray[np.float64], scales: Sequence[Scale], /, *, epsilon: float) -> NDArray[np.int64]:
    """Positions of the rows that stand for all: each row is at most ``epsilon`` better than one of them, anywhere.

    In every objective, scaled to [0, 1] by ``scales``: max_i min_{k kept} max_j (s_ij − s_kj) ≤ ε, so that the
    additive epsilon of what is kept is at most ``epsilon``. The best row in each objective is always kept. The others
    are chosen greedily, from the first row on: of those that stand for a row, the one that stands for most of the rest.
    That is an ε-approximate set [Laumanns 2002], if not the smallest one.

    Args:
        values: Shape (n, m), a front in its measures' own units; no order is asked for.
        scales: One per column; they carry the direction.
        epsilon: A share of the scale, 0 or more; with 0 only equal rows stand for one another.

    Returns:
        Positions in ascending order; none for no rows.

    Raises:
        ValueError: NaN, shapes that do not fit, a negative ``epsilon``.
    """
    import numpy as np

    if not epsilon >= 0:
        raise ValueError(f"epsilon must be 0 or more, got {epsilon}")
    shares = scaled(values, scales)
    if len(shares) == 0:
        return np.zeros(0, dtype=np.int64)
    signs = np.array([1.0 if scale.best > scale.worst else -1.0 for scale in scales])
    kept = {int(place) for place in (values * signs).argmax(axis=0)}
    left = np.arange(len(shares))
    for place in kept:
        left = left[~_stands_for(shares[[place]], shares[left], epsilon)[0]]
    while len(left):
        nearby = np.flatnonzero((shares[left[0]] - shares <= epsilon).all(axis=1))
        best = int(nearby[np.argmax(_counts(shares[nearby], shares[left], epsilon))])
        kept.add(best)
        left = left[~_stands_for(shares[[best]], shares[left], epsilon)[0]]
    return np.array(sorted(kept), dtype=np.int64)


def _stands_for(some: NDArray[np.float64], others: NDArray[np.float64], epsilon: float) -> NDArray[np.bool_]:
    """One claim per row of ``some`` and row of ``others``: that one is at most ``epsilon`` better anywhere."""
    import numpy as np

    return np.asarray((others[None, :, :] - some[:, None, :] <= epsilon).all(axis=2), dtype=np.bool_)


def _counts(some: NDArray[np.float64], others: NDArray[np.float64], epsilon: float) -> NDArray[np.int64]:
    """For how many of ``others`` each row of ``some`` stands, a few rows at a time."""
    import numpy as np

    rows = max(1, ROOM // others.size)
    parts = [_stands_for(some[at : at + rows], others, epsilon).sum(axis=1) for at in range(0, len(some), rows)]
    return np.concatenate(parts)
