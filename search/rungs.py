"""When does a trial stop early? Asynchronous successive halving on several objectives; pure of Ray and Optuna.

A trial reports at each rung, a number of epochs of recovery, and is compared with whatever has been reported there so
far, at once: no worker waits for another. [Li 2020; Schmucker 2021]

What counts at a rung is the relation *beats*: a trial beats another that is no better than it in any objective and
**worse in a learned one**. Learned are the measures that recovery changes (accuracies and losses); all others are
costs, known since the cut. A trial

1. goes on if it is among the best ⌊n/factor⌋ of the n who have reported there, sorted by layers: the first are those
   whom nobody beats, the next those whom only the first beat, and so on. Of a layer that does not fit in whole, those
   go on who come first in an epsilon net: the most accurate one, then always the one farthest from those chosen.
   [Salinas 2021]
2. is stopped if it is not, and somebody beats it;
3. waits if it is not, and nobody does, until one or the other holds or there is nothing else to do: `search.waiting`.

Whoever is non-dominated is beaten by nobody: it is never stopped. The converse holds but for equal learned values, and
that difference is why the relation is not dominance itself: *costs alone never decide*.

- Of two trials with the same accuracy the dearer one is dominated, not beaten. Sorting by dominance would rank networks
  that tell nothing yet (all at chance: at rung 0, or after a rate too large) by their costs, and stop by MACs alone.
- Without a learned objective nobody ever beats anybody, and nobody is stopped.
- A cost by itself saves nobody either: whoever nobody beats is at least as accurate as everything at most as dear (in
  several learned objectives: not worse in all of them). Only the cheapest of all have nothing to be compared with.
  Behind the first layer a network at chance that is cheap is as far back as there are better ones at its cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from itertools import pairwise

import moocore
import numpy as np
from numpy.typing import NDArray

from analysis.errors import WrongInput
from analysis.pareto import check_objectives, directions
from analysis.schema import CURVE, MEASURES

__all__ = ["LEARNED", "Rungs", "Standing", "beaters", "epsilon_net"]

LEARNED = frozenset(column.name for column in MEASURES) & {column.name for column in CURVE} - {"sparsity"}
"""The measures that recovery changes: those that a curve follows, save for sparsity, which a cut fixes."""

Points = NDArray[np.float64]


class Standing(Enum):
    """How a trial stands at a rung, by all that has been reported there."""

    BEST = auto()
    """Among the best ⌊n/factor⌋."""
    UNBEATEN = auto()
    """Beyond them, and nobody beats it."""
    BEHIND = auto()
    """Beyond them, and somebody does."""


class Rungs:
    """How trials stand at each rung.

    What is known is a function of the reports alone, whatever their order: a search that is resumed
    replays them. What was decided depended on the order and is not kept.

    Args:
        objectives: Names of measures, at least one; their directions are the schema's, their order is of no matter.
        epochs: The rungs in epochs of recovery, rising, the first one possibly 0. The last one is the end and stops
            nobody; without rungs nobody is stopped.
        factor: Of those who have reached a rung, one in so many goes on; above 1.

    Raises WrongInput for other objectives, rungs or factors.
    """

    def __init__(self, objectives: Sequence[str], epochs: Sequence[int] = (1, 4, 16), factor: float = 8) -> None:
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

    def report(self, trial: str, epoch: int, values: Mapping[str, float | None]) -> None:
        """Keep what a trial has reached at a rung.

        ``values`` holds the objectives as known there, and may hold more. A trial that reports at a rung again, having
        been tried again, replaces its report. At an epoch that is no rung, or the last, nothing is kept. A trial whose
        recovery ends before the next rung competes at those that it passes.

        A learned value that is NaN is the worst there is. A report that lacks an objective (missing, None, or a
        cost that is NaN) cannot be compared: nobody is compared with it, and the trial is among the best.
        """
        reports = self._reports.get(epoch)
        if reports is None:
            return
        point = self._point(values)
        if point is None:
            reports.drop(trial)
        else:
            reports.put(trial, point)

    def standing(self, trial: str, epoch: int) -> Standing:
        """How a trial that has reported at a rung stands now; at the last one, and at none, it is among the best."""
        reports = self._reports.get(epoch)
        if reports is None or trial not in reports:
            return Standing.BEST
        points, place = reports.points, reports.place(trial)
        ahead = int(beaters(points, points[place], learned=self._learned).sum())
        best = math.floor(len(points) / self.factor)
        # Whoever beats it is in an earlier layer.
        if ahead < best and _place_in_layers(points, place, learned=self._learned, enough=best) < best:
            return Standing.BEST
        return Standing.BEHIND if ahead else Standing.UNBEATEN

    def _point(self, values: Mapping[str, float | None]) -> Points | None:
        """The objectives in our order, larger is better; None where one of them is not known."""
        found = [values.get(name) for name in self.objectives]
        if any(value is None for value in found):
            return None
        point: Points = np.array(found, dtype=np.float64) * self._signs
        if np.isnan(point[self._learned :]).any():
            return None
        point[np.isnan(point)] = -np.inf
        return point


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
    is_as_good, is_better = points >= point, points[:, :learned] > point[:learned]
    return np.asarray(is_as_good.all(axis=1) & is_better.any(axis=1), dtype=np.bool_)


def _place_in_layers(points: Points, place: int, *, learned: int, enough: int) -> int:
    """How many come before a point, in layers and within its own by the epsilon net; from ``enough`` on not counted.

    Equal points have the same place: they go on together or stop together.
    """
    if learned:
        layers = moocore.pareto_rank(_incomparable_at_equal_learned(points, learned=learned), maximise=True)
    else:  # nobody beats anybody
        layers = np.zeros(len(points), dtype=np.int64)
    before, layer = int((layers < layers[place]).sum()), np.flatnonzero(layers == layers[place])
    if before >= enough or before + len(layer) <= enough:
        return before
    for chosen in epsilon_net(_scaled(points)[layer], at_most=enough - before):
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
