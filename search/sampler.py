"""Optuna asked and told: proposes recipes no one has tried, and learns from rows. Knows nothing of Ray."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from analysis.schema import measure
from search.space import Flat, Space
from trial.seeds import derived

__all__ = ["SAMPLERS", "Sampler"]

REPEATS = 8
"""So many proposals in a row that were tried before, and the next untried recipe is taken instead."""

STARTUP = 12
"""Recipes drawn at random before the first model: two or three of each of a handful of methods."""


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    # One knob at a time: a joint model knows nothing of knobs that only some recipes have.
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        # Before Optuna 5 the constant liar is called experimental, at every start.
        return optuna.samplers.TPESampler(n_startup_trials=STARTUP, multivariate=False, constant_liar=True, seed=seed)


def _random(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {"tpe": _tpe, "random": _random}
"""Who proposes, by its name in YAML: seed → Optuna sampler."""


class Sampler:
    """Proposes recipes of a space, each once, and learns what became of them.

    Call ``remember`` with every row that there is already; then ``ask`` for a number and a recipe, run it, and
    ``tell`` the number what came out. Recipes that were asked for and not yet told are not proposed again.
    The same seed and the same calls give the same proposals.
    """

    def __init__(self, space: Space, objectives: Sequence[str], *, seed: int, sampler: str = "tpe") -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions: list[Literal["minimize", "maximize"]] = [
            "maximize" if measure(name).better == "higher" else "minimize" for name in objectives
        ]
        self._space = space
        self._objectives = tuple(objectives)
        self._seed = seed
        self._make = SAMPLERS[sampler]
        self._study = optuna.create_study(directions=directions, sampler=self._make(self._stream("start")))
        self._tried: set[tuple[tuple[str, Any], ...]] = set()
        self._pending: dict[int, optuna.Trial] = {}
        self._order: tuple[int, int] | None = None
        self._walked = 0

    @property
    def is_used_up(self) -> bool:
        """Whether every recipe of the space has been proposed or remembered."""
        return self._space.size is not None and len(self._tried) >= self._space.size

    def remember(self, row: Mapping[str, Any]) -> bool:
        """Learn from a row of an earlier run; False, and nothing learnt, where it lies outside the space.

        To be called before the first ``ask``. Each row moves the seed on: a search that goes on does not begin
        with the random recipes of its start.
        """
        traced = self._space.trace(row)
        if traced is None:
            return False
        recipe, parameters, distributions = traced
        self._tried.add(_key(recipe))
        values = self._values(row)
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.FAIL if values is None else TrialState.COMPLETE,
                values=values,
                params=parameters,
                distributions=distributions,
            )
        )
        self._study.sampler = self._make(self._stream("remembered", len(self._study.get_trials(deepcopy=False))))
        return True

    def ask(self) -> tuple[int, Flat] | None:
        """Propose a recipe that nobody has tried: its number and itself; None where the space is used up."""
        if self.is_used_up:
            return None
        repeats = 0
        while True:
            trial = self._ask_afresh() if repeats == REPEATS else self._study.ask()
            recipe = self._space.suggest(trial)
            if _key(recipe) not in self._tried:
                self._tried.add(_key(recipe))
                self._pending[trial.number] = trial
                return trial.number, recipe
            self._study.tell(trial, state=TrialState.FAIL)
            repeats = min(repeats + 1, REPEATS)

    def tell(self, number: int, row: Mapping[str, Any] | None) -> None:
        """Learn what became of a proposal: its row, or None where it left none.

        A failed row, and one that lacks an objective or is not finite there, is told as a failure.
        """
        trial = self._pending.pop(number)
        values = None if row is None else self._values(row)
        if values is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, values)

    def _stream(self, *path: str | int) -> int:
        """A seed as Optuna takes it, in [0, 2³²)."""
        return derived(self._seed, "sampler", *path) % 2**32

    def _values(self, row: Mapping[str, Any]) -> list[float] | None:
        values = [row.get(name) for name in self._objectives]
        if row.get("state") != "complete":
            return None
        finite = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
        return finite if len(finite) == len(values) else None

    def _ask_afresh(self) -> optuna.Trial:
        """Ask past the sampler, which repeats itself: for the next untried recipe, in an order that the seed decides.

        Where the recipes cannot be counted, for one drawn at random, which may have been tried too.
        """
        size = self._space.size
        if size is None:
            usual = self._study.sampler
            self._study.sampler = optuna.samplers.RandomSampler(
                seed=self._stream("afresh", len(self._tried) + self._walked)
            )
            self._walked += 1
            trial = self._study.ask()
            self._space.suggest(trial)
            self._study.sampler = usual
            return trial
        if self._order is None:
            # A stride that shares no factor with the size visits every place once, and needs no memory.
            draw = random.Random(self._seed)
            strides = (draw.randrange(1, size + 1) for _ in iter(int, 1))
            self._order = draw.randrange(size), next(stride for stride in strides if math.gcd(stride, size) == 1)
        start, stride = self._order
        while True:
            recipe = self._space.at((start + self._walked * stride) % size)
            self._walked += 1
            if _key(recipe) not in self._tried:
                break
        traced = self._space.trace(recipe)
        assert traced is not None, "a recipe of the space lies in the space"
        self._study.enqueue_trial(traced[1])
        return self._study.ask()


def _key(recipe: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(recipe.items()))
