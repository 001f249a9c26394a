"""An Optuna sampler that sees a bounded part of what was tried: its last proposal costs what its hundredth did.

Optuna's samplers read all trials at every knob of a recipe, and sort them by dominance each time: beyond a few hundred
trials TPE needs longer for a recipe than a scheduler has. A `Model` shows its sampler a window: the trials under way,
and at most ``kept + fresh`` that have ended. When there are more, ``kept`` of them stay, half of them for being best
(see `search.best`) and the others for being the latest. Nothing is stored: rows are what a search goes on from.

**TPE** learns what good recipes have that others have not (`search.parzen`). The good ones are the first tenth by
constraints, non-dominated sorting and crowding, settled here once for a recipe and shown as value 0, the others as 1.
A trial under way counts as one of the others until it is told: workers side by side try different recipes. Optuna's own
does the same at each knob anew, but for ties on the last front, which it breaks by hypervolume. [Ozaki 2020]

**NSGA-II**'s parents are the best of the window, settled anew after every ``fresh`` children that finished. Optuna
crosses only knobs that all recipes have, which of ours is the method alone; so each trial has the genes of all methods,
of which its recipe shows some. Those of a row that does not show them are drawn at random, and so are those that a
child is to change. Its sampler is asked for a child's genes at once: `Study.ask` copies all of them for each of them.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from analysis.pareto import directions
from search.best import best
from search.parzen import Parzen
from search.ranges import Searched
from search.space import Branch, Flat, Space
from search.told import CONSTRAINTS_BY_NAME, Aims, Told, frozen_trial

__all__ = ["KINDS", "Kind", "Model"]


def gamma(count: int) -> int:
    """How many of so many trials TPE takes for good. [Bergstra 2011; Optuna's default]"""
    return min(math.ceil(0.1 * count), 25)


STARTUP = 12
"""Recipes drawn at random before TPE's first model: two or three of each of a handful of methods."""

POPULATION = 20
"""Of NSGA-II: small, since a study has hundreds of trials, and of those that are stopped early few finish."""

LIFE = 500
"""Proposals by one sampler; then there is a new one, with a new seed."""

GENERATION = "NSGAIISampler:generation"
"""The attribute in which Optuna keeps which generation a trial belongs to; a trial without it is nobody's parent."""

Parameters = Mapping[str, Any]
Distributions = Mapping[str, BaseDistribution]


@dataclass(frozen=True)
class Kind:
    """One of Optuna's samplers, and how much it is shown."""

    make: Callable[[int, Space], BaseSampler]
    """From a seed and the space."""
    kept: int
    """Trials that stay in the window when it is cleared."""
    fresh: int
    """Trials after which it is cleared."""
    has_parents: bool = False
    """Whether it is NSGA-II."""

    @property
    def learns(self) -> bool:
        """Whether what it proposes depends on what came of earlier proposals."""
        return self.kept > 0


def _tpe(seed: int, space: Space) -> BaseSampler:
    return Parzen({path: _distribution(knob) for path, knob in space.knobs()}, startup=STARTUP, seed=seed)


def _nsga2(seed: int, space: Space) -> BaseSampler:
    with warnings.catch_warnings(action="ignore"):
        # Of the genes of all methods a recipe shows a few: one of those is to change in a child, as usual.
        return NSGAIISampler(
            population_size=POPULATION, mutation_prob=1 / _deepest(space.methods), seed=seed, **_by_function()
        )


def _by_function() -> dict[str, Any]:
    """Before Optuna 5 a sampler looks at constraints only if it has a function for them, which we never need called."""
    return {} if CONSTRAINTS_BY_NAME else {"constraints_func": lambda trial: trial.system_attrs["constraints"]}


KINDS: dict[str, Kind] = {
    "tpe": Kind(_tpe, kept=64, fresh=8),
    "nsga2": Kind(_nsga2, kept=POPULATION, fresh=POPULATION, has_parents=True),
    "random": Kind(lambda seed, space: RandomSampler(seed=seed), kept=0, fresh=16),  # noqa: ARG005
}
"""By the name in YAML."""


@dataclass(frozen=True)
class _Known:
    """A trial that has ended."""

    parameters: Parameters
    distributions: Distributions
    told: Told

    @cached_property
    def trial(self) -> FrozenTrial:
        """As Optuna keeps it, made when it is first shown: most rows of a long study never are."""
        return frozen_trial(self.parameters, self.distributions, self.told)


class _Window(optuna.storages.InMemoryStorage):
    """A storage whose trials, for whoever asks for all of them, are those that it is to show."""

    shown: Sequence[FrozenTrial] = ()

    def get_all_trials(
        self,
        study_id: int,  # noqa: ARG002
        deepcopy: bool = True,  # noqa: ARG002  # samplers do without, and nobody else asks
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Those that are shown."""
        return [trial for trial in self.shown if states is None or trial.state in states]


class Model:
    """Proposes recipes with an Optuna sampler; the same seed and the same calls give the same proposals.

    ``seeds`` gives the seeds of samplers by number: there is a new one now and then.
    """

    def __init__(self, space: Space, aims: Aims, kind: Kind, *, seeds: Callable[[int], int]) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._aims = aims
        self._kind = kind
        self._seeds = seeds
        self._better = directions(aims.objectives)
        self._genes = {path: _distribution(knob) for path, knob in space.knobs()} if kind.has_parents else {}
        self._known: list[_Known] = []
        self._cast: list[FrozenTrial] = []
        self._running: dict[int, FrozenTrial] = {}
        self._asked = 0
        self._learnt = 0
        self._study: optuna.Study | None = None
        self._window = _Window()
        self._until = 0
        self._chance = random.Random()
        """Seeded with each study."""

    def learn(self, parameters: Parameters, distributions: Distributions, told: Told) -> None:
        """Take in a trial that has ended."""
        self._learnt += 1
        if told.state == TrialState.FAIL:
            return
        self._known.append(_Known(parameters, distributions, told))
        if len(self._known) >= self._kind.kept + self._kind.fresh:
            self._known = self._chosen()
            if self._kind.has_parents:
                self._study, self._cast = None, []

    def ask(self) -> tuple[int, Flat]:
        """Propose a recipe, and give it a number; it is under way until ``tell`` or ``withdraw``."""
        study = self._current()
        self._window.shown = self._shown()
        if self._kind.has_parents:
            genes = self._child(study)
            return self.begin(genes, self._genes), self._space.suggest(FixedTrial(genes))
        trial = study.ask()
        recipe = self._space.suggest(trial)
        return self.begin(trial.params, trial.distributions), recipe

    def begin(self, parameters: Parameters, distributions: Distributions) -> int:
        """Take note of a recipe that is under way; its number."""
        self._asked += 1
        self._running[self._asked] = frozen_trial(parameters, distributions, Told(TrialState.RUNNING))
        return self._asked

    def withdraw(self, number: int) -> None:
        """Forget a proposal, which nobody runs."""
        del self._running[number]

    def tell(self, number: int, told: Told) -> None:
        """Learn what became of a proposal."""
        asked = self._running.pop(number)
        self.learn(asked.params, asked.distributions, told)
        if self._kind.has_parents and self._known:
            _ = self._known[-1].trial  # made now, and not twenty at once when it is a parent

    def _current(self) -> optuna.Study:
        """The study of the moment. It holds all that was asked of it, so that there is a new one now and then."""
        if self._study is None or self._asked >= self._until:
            self._until = self._asked + LIFE
            self._window = _Window()
            seed = self._seeds(self._asked + self._learnt)
            self._chance.seed(seed)
            self._study = optuna.create_study(
                storage=self._window,
                sampler=self._kind.make(seed, self._space),
                directions=self._aims.directions if self._kind.has_parents else ["minimize"],
            )
        return self._study

    def _shown(self) -> list[FrozenTrial]:
        """What the sampler is to see, in the order of arrival."""
        if self._kind.has_parents:
            return self._parents()
        if not self._kind.kept:
            return []
        told = [each.told for each in self._known]
        good = best(told, gamma(len(told)), directions=self._better)
        for place, each in enumerate(self._known):
            each.trial.values = [0.0 if place in good else 1.0]
        shown = [*(each.trial for each in self._known), *self._running.values()]
        for number, trial in enumerate(shown, start=-len(shown)):
            trial.number = number  # below 0, where no trial that is asked for is
        return shown

    def _child(self, study: optuna.Study) -> dict[str, Any]:
        """The genes of a child of the parents that are shown; drawn at random where there are too few of them yet."""
        generation = len(self._cast) // POPULATION
        child = frozen_trial({}, {}, Told(TrialState.RUNNING), attributes={GENERATION: generation})
        crossed = {path: distribution for path, distribution in self._genes.items() if not distribution.single()}
        bred = study.sampler.sample_relative(study, child, crossed)
        return {
            path: bred[path] if path in bred else _drawn(distribution, self._chance)
            for path, distribution in self._genes.items()
        }

    def _parents(self) -> list[FrozenTrial]:
        """NSGA-II's parents, or, where there are too few of them yet, what is there of its first generation.

        What has been told since the parents were settled waits for the next generation.
        """
        for place in range(len(self._cast), min(POPULATION, len(self._known))):
            known = self._known[place]
            if self._genes.keys() - known.parameters.keys():  # once: those that are drawn it keeps for life
                known = _Known(*self._with_genes(known.parameters, known.distributions), known.told)
                self._known[place] = known
            trial = known.trial
            trial.number = trial._trial_id = len(self._cast)
            trial.system_attrs[GENERATION] = 0
            self._cast.append(trial)
        return self._cast

    def _chosen(self) -> list[_Known]:
        """What the sampler goes on with where it has learnt too much, in the order of arrival."""
        kept, known = self._kind.kept, self._known
        if len(known) <= kept:
            return known
        told = [each.told for each in known]
        good = best(told, kept if self._kind.has_parents else kept // 2, directions=self._better)
        latest = (place for place in range(len(known) - 1, -1, -1) if place not in good)
        return [known[place] for place in sorted([*good, *latest][:kept])]

    def _with_genes(self, parameters: Parameters, distributions: Distributions) -> tuple[Parameters, Distributions]:
        """The parameters with those that the recipe does not show, drawn at random, where NSGA-II wants them all."""
        missing = {path: genes for path, genes in self._genes.items() if path not in parameters}
        if not missing:
            return parameters, distributions
        drawn = {path: _drawn(distribution, self._chance) for path, distribution in missing.items()}
        return {**drawn, **parameters}, {**missing, **distributions}


def _distribution(knob: Searched | Branch) -> BaseDistribution:
    return CategoricalDistribution(list(knob.options)) if isinstance(knob, Branch) else knob.distribution()


def _drawn(distribution: BaseDistribution, chance: random.Random) -> Any:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return chance.choice(choices)
        case IntDistribution(low=low, high=high):
            return chance.randint(low, high)
        case FloatDistribution(low=low, high=high, log=True):
            return min(max(math.exp(chance.uniform(math.log(low), math.log(high))), low), high)
        case FloatDistribution(low=low, high=high):
            return chance.uniform(low, high)
    raise AssertionError(f"no knob has {distribution}")


def _deepest(branch: Branch) -> int:
    """How many knobs a recipe has at most, the choice itself included."""
    return 1 + max(
        sum(_deepest(knob) if isinstance(knob, Branch) else 1 for knob in group.knobs.values())
        for group in branch.options.values()
    )
