"""Which trials are the best? By constraints, then non-dominated sorting, then crowding. [Deb 2002, NSGA-II]"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import TrialState

from analysis.pareto import Direction, is_nondominated
from search.told import Told

__all__ = ["best"]


def best(told: Sequence[Told], count: int, *, directions: Sequence[Direction]) -> set[int]:
    """The places of the best ``count`` trials, of all where there are fewer; none of them may be a failure.

    Complete trials that meet their constraints come first, front after front, of the last one those in the emptiest
    neighbourhoods; after them all others by the sum of their violations. Ties go to the earlier trial.
    """
    finished = [place for place, each in enumerate(told) if each.state == TrialState.COMPLETE and _missed(each) <= 0]
    others = sorted(set(range(len(told))) - set(finished), key=lambda place: (_missed(told[place]), place))
    left = np.array(finished, dtype=np.int64)
    values = np.array([told[place].values for place in finished], dtype=float).reshape(len(finished), len(directions))
    chosen: list[int] = []
    while len(left) and len(chosen) < count:
        front = is_nondominated(values, directions)
        room = count - len(chosen)
        layer = left[front]
        if len(layer) > room:
            layer = layer[np.argsort(-_crowding(values[front]), kind="stable")[:room]]
        chosen += layer.tolist()
        left, values = left[~front], values[~front]
    return set([*chosen, *others][:count])


def _missed(told: Told) -> float:
    """By how much a trial misses its constraints, all together."""
    return sum(max(0.0, violation) for violation in told.violations.values())


def _crowding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The crowding distance of each point: over the objectives, how far its neighbours are apart; ends are infinite."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if spread > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance
