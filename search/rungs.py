"""When does a trial stop early? Asynchronous successive halving on several objectives; pure of Ray and Optuna.

A trial reports at each rung, a number of epochs of recovery, and is told at once whether to go on, by comparison with
whatever has been reported there so far. Nobody waits for anybody. [Li 2020; Schmucker 2021]

What counts at a rung is the relation *beats*: a trial beats another that is no better than it in any objective and
**worse in a learned one**. Learned are the measures that recovery changes (accuracies and losses); all others are
costs, known since the cut. A trial goes on

1. if nobody who has reported at the rung beats it, or
2. if it is among the best ⌊n/factor⌋ of the n who have, sorted by layers: the first are those whom nobody beats, the
   next those whom only the first beat, and so on. Of a layer that does not fit in whole, those go on who come
   first in an epsilon net: the most accurate one, then always the one farthest from those chosen. [Salinas 2021]

Whoever is non-dominated is beaten by nobody: it is never stopped. The converse holds but for equal learned values, and
that difference is why the relation is not dominance itself: *costs alone never decide*.

- Of two trials with the same accuracy the dearer one is dominated, not beaten. Sorting by dominance would rank networks
  that tell nothing yet (all at chance, at rung 0 or after a rate too large) by their costs: cheap ones go on, and a
  search that stops the others has decided on MACs. Here they are all in the first layer.
- Without a learned objective nobody ever beats anybody, and nobody is stopped.
- A cost buys no place in a layer behind the first. Costs are continuous and spread, so that each layer has a cheapest
  member, which the plain epsilon net takes second whatever it can do. Here distance is
  measured between networks of one layer only, from the most accurate on, after 1 has been settled.

The opposite trap, that everybody is on the front because no two costs are equal, is not one: a trial is spared for
what it can do at its cost, so that it takes a new best accuracy among all networks at most as dear. Of n trials in
random order about 2·F are spared where the front has F members and grows as √n: a vanishing share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.errors import WrongInput
from analysis.pareto import check_objectives, directions, is_nondominated
from analysis.schema import CURVE, MEASURES

__all__ = ["LEARNED", "Rungs", "beaters", "epsilon_net"]

LEARNED = frozenset(column.name for column in MEASURES) & {column.name for column in CURVE} - {"sparsity"}
"""The measures that recovery changes: those that a curve follows, save for sparsity, which a cut fixes."""

Points = NDArray[np.float64]


class Rungs:
    """Who goes on at each rung, decided at the moment of each report.

    What is known is a function of the reports alone, whatever their order: a search that is resumed
    replays them with ``record``. What was decided depended on the order and is not kept.

    Args:
        objectives: Names of measures, at least one; their directions are the schema's, their order is of no matter.
        epochs: The rungs in epochs of recovery, rising, the first one possibly 0. The last one is the end and stops
            nobody; without rungs nobody is stopped.
        factor: Of those who have reached a rung, one in so many goes on; above 1.

    Raises WrongInput for other objectives, rungs or factors.
    """

    def __init__(self, objectives: Sequence[str], epochs: Sequence[int] = (1, 4, 16), factor: float = 4) -> None:
        check_objectives(objectives)
        if any(epoch < 0 for epoch in epochs) or any(a >= b for a, b in pairwise(epochs)):
            raise WrongInput(f"rungs must be numbers of epochs that rise from 0 or more, got {list(epochs)}")
        if not (math.isfinite(factor) and factor > 1):
            raise WrongInput(f"factor must be above 1, got {factor}")
        # Learned ones first, then by name: the epsilon net starts from the best in the first.
        self.objectives = tuple(sorted(objectives, key=lambda name: (name not in LEARNED, name)))
        self.epochs = tuple(epochs)
        self.factor = factor
        self._signs = np.array([1.0 if better == "higher" else -1.0 for better in directions(self.objectives)])
        self._learned = sum(name in LEARNED for name in self.objectives)
        self._reports = {epoch: _Reports(len(self.objectives)) for epoch in self.epochs[:-1]}

    def report(self, trial: str, epoch: int, values: Mapping[str, float | None]) -> bool:
        """Keep what a trial has reached at a rung, and say whether it goes on.

        ``values`` holds the objectives as known there, and may hold more. A trial that reports at a rung again, having
        been tried again, replaces its report. At an epoch that is no rung, or the last, everybody goes on and nothing
        is kept. A trial whose recovery ends before the next rung competes at those that it passes.

        A learned value that is NaN is the worst there is. A report that lacks an objective (missing, None, or a
        cost that is NaN) cannot be compared: the trial goes on, and nobody is compared with it.
        """
        self.record(trial, epoch, values)
        reports = self._reports.get(epoch)
        if reports is None or trial not in reports:
            return True
        return self._goes_on(reports.points, reports.place(trial))

    def record(self, trial: str, epoch: int, values: Mapping[str, float | None]) -> None:
        """Keep a report without asking, as a search does that is resumed; see ``report``."""
        reports = self._reports.get(epoch)
        if reports is None:
            return
        point = self._point(values)
        if point is None:
            reports.drop(trial)
        else:
            reports.put(trial, point)

    def _point(self, values: Mapping[str, float | None]) -> Points | None:
        """The objectives in our order, larger is better; None where one of them is not known."""
        found = [values.get(name) for name in self.objectives]
        if any(value is None for value in found):
            return None
        point = np.array(found, dtype=np.float64) * self._signs
        if np.isnan(point[self._learned :]).any():
            return None
        point[np.isnan(point)] = -np.inf
        return point

    def _goes_on(self, points: Points, place: int) -> bool:
        ahead = int(beaters(points, points[place], learned=self._learned).sum())
        if ahead == 0:
            return True
        best = math.floor(len(points) / self.factor)
        if ahead >= best:  # whoever beats it is in an earlier layer
            return False
        return _place_in_layers(points, place, learned=self._learned, enough=best) < best


class _Reports:
    """The points of one rung in one array that grows, and who reported which."""

    def __init__(self, width: int) -> None:
        self._places: dict[str, int] = {}
        self._trials: list[str] = []
        self._room = np.empty((16, width))

    def __contains__(self, trial: str) -> bool:
        return trial in self._places

    @property
    def points(self) -> Points:
        return self._room[: len(self._trials)]

    def place(self, trial: str) -> int:
        return self._places[trial]

    def put(self, trial: str, point: Points) -> None:
        place = self._places.setdefault(trial, len(self._trials))
        if place == len(self._trials):
            self._trials.append(trial)
            if place == len(self._room):
                self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._room[place] = point

    def drop(self, trial: str) -> None:
        place = self._places.pop(trial, None)
        if place is None:
            return
        last = self._trials.pop()
        if last != trial:
            self._trials[place], self._places[last] = last, place
            self._room[place] = self._room[len(self._trials)]


def beaters(points: Points, point: Points, *, learned: int) -> NDArray[np.bool_]:
    """One claim per row of ``points``: it beats ``point``, at least as good everywhere and better in a learned column.

    Larger is better; ``points`` has shape (n, m), ``point`` (m,), and the first ``learned`` columns are the learned
    ones. Equal points, and those that differ in costs only, do not beat each other.
    """
    found: NDArray[np.bool_] = (points >= point).all(1) & (points[:, :learned] > point[:learned]).any(1)
    return found


def _place_in_layers(points: Points, place: int, *, learned: int, enough: int) -> int:
    """How many come before a point, in layers and within its own by the epsilon net; counted up to ``enough``.

    Equal points have the same place: they go on together or stop together.
    """
    sortable, scaled = _incomparable_at_equal_learned(points, learned=learned), _scaled(points)
    left, before = np.arange(len(points)), 0
    while True:
        is_first = is_nondominated(sortable[left], ["higher"] * points.shape[1])
        layer, left = left[is_first], left[~is_first]
        if place in layer:
            break
        before += len(layer)
        if before >= enough:
            return before
    if before + len(layer) <= enough:
        return before
    for chosen in epsilon_net(scaled[layer], at_most=enough - before):
        equal = (points[layer] == points[layer[chosen]]).all(1)
        if equal[layer == place].item():
            return before
        before += int(equal.sum())
    return max(before, enough)


def _incomparable_at_equal_learned(points: Points, *, learned: int) -> Points:
    """Points whose dominance is ``beats``, so that a library's sorting can be used.

    1. The first column becomes the rank of the row, by the learned columns, then by cost, *dearer rows
       higher*; equal rows share a rank.
    2. Rows that differ in a learned column keep their order in the first, or are given one that agrees with the first
       learned column in which they differ: who dominates whom does not change.
    3. Of two rows equal in all of them the one that is cheaper everywhere is now lower in the first column: neither
       dominates the other.
    """
    keys = np.concatenate([points[:, :learned], -points[:, learned:]], axis=1)
    order = np.lexsort(keys.T[::-1])
    rises = (keys[order[1:]] != keys[order[:-1]]).any(1)
    ranks = np.empty(len(points))
    ranks[order] = np.concatenate([[0], np.cumsum(rises)])
    return np.concatenate([ranks[:, None], points[:, 1:]], axis=1)


def _scaled(points: Points) -> Points:
    """Each column from 0, its worst finite value, to 1, its best; a column without spread is 0."""
    finite = np.where(np.isfinite(points), points, np.nan)
    known = np.where(np.isnan(finite).all(0), 0.0, finite)
    worst, best = np.nanmin(known, axis=0), np.nanmax(known, axis=0)
    spread = np.where(best > worst, best - worst, 1.0)
    scaled: Points = (np.clip(points, worst, best) - worst) / spread
    return scaled


def epsilon_net(points: Points, *, at_most: int) -> list[int]:
    """The order in which points are taken so that any first few are spread over all of them [Clarkson 2006].

    The first is the best in the first column, the next always the one whose nearest chosen neighbour is farthest away.
    ``points`` has shape (n, m), scaled. Of equal points one is named; who comes first among equally far ones is
    settled by the values alone, the largest first, so that the order of the rows is of no matter.
    """
    order = np.lexsort(points.T[::-1])[::-1]
    rows = points[order]
    farness = np.full(len(rows), np.inf)
    chosen: list[int] = []
    while len(chosen) < at_most and (farness > 0).any():
        place = int(np.argmax(farness))
        chosen.append(int(order[place]))
        farness = np.minimum(farness, np.sqrt(((rows - rows[place]) ** 2).sum(1)))
    return chosen
