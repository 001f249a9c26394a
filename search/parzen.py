"""A tree-structured Parzen estimator that draws the knobs of a method at once: an Optuna sampler. [Bergstra 2011]

What good recipes have that others have not: l(x) and g(x) are the densities of the good recipes and of all others, a
recipe is drawn from l several times, and the draw with the largest l/g is taken. The knobs of a method, or of an
option, are one x: a rate that is good after a small cut need not be good after a large one.

A density is a mixture of one kernel per recipe, and one, the prior, that is spread over everything. A kernel is a
product over the knobs: of a number it is a normal density cut off at the ends of the range, as wide as the larger gap
to the next recipe; of a choice the recipe's own, with a little of all.

Optuna's own estimator does this, and cannot be had as quickly: it goes through all trials at each knob and computes
normal masses number by number in Python: an ask and tell took 16 ms for some 6.5 knobs.
Departs from it in that knobs are drawn together, all recipes weigh the same, and whole numbers are rounded ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

__all__ = ["Parzen"]

CANDIDATES = 24
"""Draws, of which the best is taken. [Optuna's default]"""

NARROWEST = 0.01
"""The least width of a kernel, in parts of the range. [Optuna's default]"""

_Array = NDArray[np.float64]


class Parzen(BaseSampler):
    """Proposes knobs by what the study's trials tell: those of value 0 are good, all others are not.

    ``knobs`` are all there can be, by path: those with the same path up to the last dot are drawn together. Until
    ``startup`` trials have ended, all is drawn at random.
    """

    def __init__(self, knobs: Mapping[str, BaseDistribution], *, startup: int, seed: int) -> None:
        self._groups: dict[str, dict[str, BaseDistribution]] = {}
        for path, distribution in knobs.items():
            if not distribution.single():
                self._groups.setdefault(path.rpartition(".")[0], {})[path] = distribution
        self._startup = startup
        self._random = RandomSampler(seed=seed)
        self._chance = np.random.default_rng(seed)
        self._trial = -1
        self._drawn: dict[str, Any] = {}
        self._seen: dict[int, tuple[FrozenTrial, dict[str, float]]] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """None: which knobs there are is known only when a method is chosen."""
        return {}

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Nothing, see above."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value for a knob; the others of its group are drawn with it."""
        if trial.number != self._trial:
            self._trial, self._drawn = trial.number, {}
            self._look_at(study.get_trials(deepcopy=False))
        if param_name not in self._drawn:
            if sum(each.state != TrialState.RUNNING for each, _ in self._seen.values()) < self._startup:
                return self._random.sample_independent(study, trial, param_name, param_distribution)
            self._drawn |= self._draw(self._groups[param_name.rpartition(".")[0]])
        return self._drawn[param_name]

    def _look_at(self, trials: Sequence[FrozenTrial]) -> None:
        """Keep the trials, each with where its knobs lie, which is worked out when it is first seen."""
        known = self._seen
        self._seen = {id(trial): known.get(id(trial)) or (trial, self._places(trial)) for trial in trials}

    def _places(self, trial: FrozenTrial) -> dict[str, float]:
        return {
            path: _place(knob, trial.params[path])
            for group in self._groups.values()
            for path, knob in group.items()
            if path in trial.params
        }

    def _draw(self, group: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        shown = [(trial, places) for trial, places in self._seen.values() if group.keys() <= places.keys()]
        points = np.array([[places[path] for path in group] for _, places in shown]).reshape(len(shown), len(group))
        good = np.array([trial.values == [0.0] for trial, _ in shown], dtype=bool)
        choices = [len(knob.choices) if isinstance(knob, CategoricalDistribution) else 0 for knob in group.values()]
        those, others = Mixture(points[good], choices), Mixture(points[~good], choices)
        candidates = those.draw(CANDIDATES, self._chance)
        best = candidates[np.argmax(those.log_density(candidates) - others.log_density(candidates))]
        return {path: _value(knob, float(place)) for (path, knob), place in zip(group.items(), best, strict=True)}


class Mixture:
    """The density of some points. A column is a choice's number, or a number's place in its range, 0 to 1.

    ``points``: shape (points, columns), none is enough; ``choices``: per column how many there are, 0 for numbers.
    """

    def __init__(self, points: _Array, choices: Sequence[int]) -> None:
        self._kernels = len(points) + 1
        self._numbers = np.array([not count for count in choices], dtype=bool)
        self._centres = np.vstack([points[:, self._numbers], np.full(int(self._numbers.sum()), 0.5)])
        self._widths = np.vstack([_gaps(points[:, self._numbers]), np.ones(int(self._numbers.sum()))])
        ends = np.stack([-self._centres, 1 - self._centres]) / self._widths
        self._low, high = torch.special.ndtr(torch.from_numpy(ends)).numpy()
        self._mass = high - self._low
        self._odds: dict[int, _Array] = {}
        for column, count in enumerate(choices):
            if count:
                odds = np.full((self._kernels, count), 1 / self._kernels)
                odds[np.arange(len(points)), points[:, column].astype(int)] += 1
                self._odds[column] = odds / odds.sum(axis=1, keepdims=True)

    def draw(self, count: int, chance: np.random.Generator) -> _Array:
        """So many points, shape (count, columns)."""
        kernel = chance.integers(self._kernels, size=count)
        drawn = np.empty((count, len(self._numbers)))
        quantiles = self._low[kernel] + chance.random((count, self._low.shape[1])) * self._mass[kernel]
        places = self._centres[kernel] + self._widths[kernel] * torch.special.ndtri(torch.from_numpy(quantiles)).numpy()
        drawn[:, self._numbers] = places.clip(0, 1)
        for column, odds in self._odds.items():
            below = np.cumsum(odds[kernel], axis=1)[:, :-1]
            drawn[:, column] = (below <= chance.random((count, 1))).sum(axis=1)
        return drawn

    def log_density(self, points: _Array) -> _Array:
        """Of each point, in nats: of numbers a density, of choices a probability."""
        apart = (points[:, None, self._numbers] - self._centres) / self._widths
        log = (-0.5 * apart**2 - np.log(math.sqrt(2 * math.pi) * self._widths * self._mass)).sum(axis=2)
        for column, odds in self._odds.items():
            log += np.log(odds[:, points[:, column].astype(int)]).T
        largest = log.max(axis=1)
        total: _Array = largest + np.log(np.exp(log - largest[:, None]).mean(axis=1))
        return total


def _gaps(places: _Array) -> _Array:
    """Per place the larger gap to its neighbours in its column; the ends of the range count for a single one alone."""
    order = np.argsort(places, axis=0, kind="stable")
    between = np.diff(np.take_along_axis(places, order, axis=0), axis=0, prepend=0.0, append=1.0)
    if len(places) > 1:
        between[[0, -1]] = 0
    gaps = np.empty_like(places)
    np.put_along_axis(gaps, order, np.maximum(between[:-1], between[1:]), axis=0)
    least: float = 1 / min(1 / NARROWEST, len(places) + 2)
    clipped: _Array = gaps.clip(least, 1)
    return clipped


def _place(knob: BaseDistribution, value: Any) -> float:
    """A choice's number, or where in its range a number lies, 0 to 1."""
    if isinstance(knob, CategoricalDistribution):
        return knob.to_internal_repr(value)
    low, high = _ends(knob)
    return ((math.log(value) if _is_log(knob) else value) - low) / (high - low)


def _value(knob: BaseDistribution, place: float) -> Any:
    if isinstance(knob, CategoricalDistribution):
        return knob.choices[int(place)]
    low, high = _ends(knob)
    value = low + place * (high - low)
    if isinstance(knob, IntDistribution):
        return min(max(round(value), knob.low), knob.high)
    assert isinstance(knob, FloatDistribution)
    return min(max(math.exp(value) if knob.log else value, knob.low), knob.high)


def _ends(knob: BaseDistribution) -> tuple[float, float]:
    if isinstance(knob, IntDistribution):
        return knob.low - 0.5, knob.high + 0.5  # as much room for the ends as for the others
    assert isinstance(knob, FloatDistribution)
    return (math.log(knob.low), math.log(knob.high)) if knob.log else (knob.low, knob.high)


def _is_log(knob: BaseDistribution) -> bool:
    return isinstance(knob, FloatDistribution) and knob.log
