"""What a search will train, as far as that is known before it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from analysis.errors import WrongInput
from methods.core.knobs import Value, flat
from search.ranges import Among, Searched, Wholes
from search.space import Branch, Flat, Group
from search.spec import Spec
from trial.experiment import Experiment
from trial.links import links
from trial.recipe import Recipe

__all__ = ["Forecast", "Work", "forecast", "hours", "most"]


@dataclass(frozen=True)
class Work:
    """Trainings of one kind: how many distinct ones, and their epochs all together."""

    trainings: int = 0
    epochs: int = 0

    def __str__(self) -> str:
        if not self.trainings:
            return "none"
        return f"{self.trainings:,} of {self.epochs:,} {'epoch' if self.epochs == 1 else 'epochs'} in all"


@dataclass(frozen=True)
class Forecast:
    """Distinct stages by kind.

    ``is_exact`` where every recipe will be tried: a sum over recipes, in which those that come out as equal networks
    are not yet known to share what follows. Else bounds, of what the costliest recipes would need.
    """

    dense: Work
    sparsity: Work
    cuts: int
    recovery: Work
    scratch: Work
    is_exact: bool
    refused: tuple[str, ...] = field(default=(), repr=False)
    """Why recipes cannot be, one for each that cannot; nothing is known of them where the forecast is a bound."""


def forecast(spec: Spec) -> Forecast:
    """Count the stages of a search; nothing is built, loaded or timed."""
    experiment = spec.experiment()
    epochs = 0 if experiment.network.weights_file is not None else experiment.dense.epochs
    dense = Work(int(epochs > 0), epochs)
    if spec.size is not None and spec.size <= spec.search.trials:
        return _counted(spec.recipes(), experiment, dense=dense)
    return _bounded(spec, experiment, dense=dense)


class _Stages:
    """Distinct stages by what they are made from, named as `trial.plan` keys them before it knows any network."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.cuts: set[int] = set()
        self.trained: dict[str, dict[int, int]] = {"sparsity": {}, "recovery": {}, "scratch": {}}
        self.recoveries: set[int] = set()

    def add(self, recipe: Recipe, experiment: Experiment) -> None:
        """Walk the recipe's stages."""
        network = 0
        penalty = recipe.method.sparsifier
        if penalty is not None and recipe.sparsity is not None:
            network = self._trained("sparsity", (type(penalty).__name__, _items(flat(penalty))), recipe.sparsity.epochs)
        training = recipe.recovery.training(experiment.dense)
        settings = training.model_copy(update={"epochs": 0}) if training.schedule == "constant" else training
        about = (settings.model_dump_json(), recipe.recovery.recalibrate, recipe.recovery.distillation)
        knobs = {name: each for name, each in recipe.knobs().items() if name != "ratio"}
        for round_, ratio in enumerate(recipe.ratios, 1):
            is_last = round_ == len(recipe.ratios)
            network = self._number(("cut", network, _items(knobs), ratio, recipe.course.apply))
            self.cuts.add(network)
            if is_last and recipe.course.control == "scratch":
                epochs = experiment.dense.epochs + round_ * training.epochs
                epochs += recipe.sparsity.epochs if recipe.sparsity is not None else 0
                self._trained("scratch", (network, epochs), epochs)
                continue
            for link in links(training):
                keeps = link.may_go_on or (not is_last and link.last == training.epochs)
                network = self._trained(
                    "recovery", (network, about, round_, link.first, link.last, keeps), link.last - link.first
                )
            if training.epochs:
                self.recoveries.add(network)

    def work(self, kind: str) -> Work:
        """Trainings of a kind; a recovery in several links is one."""
        trained = {stage: epochs for stage, epochs in self.trained[kind].items() if epochs}
        return Work(len(self.recoveries) if kind == "recovery" else len(trained), sum(trained.values()))

    def _trained(self, kind: str, key: Any, epochs: int) -> int:
        number = self._number((kind, key))
        self.trained[kind][number] = epochs
        return number

    def _number(self, key: Any) -> int:
        return self._numbers.setdefault(key, len(self._numbers) + 1)


def _items(knobs: dict[str, Value]) -> frozenset[tuple[str, Value]]:
    return frozenset(knobs.items())


def _counted(recipes: Iterable[Flat], experiment: Experiment, *, dense: Work) -> Forecast:
    stages, refused = _Stages(), []
    for flat_recipe in recipes:
        try:
            stages.add(Recipe.parse(flat_recipe, experiment, where="search"), experiment)
        except WrongInput as error:
            refused.append(str(error))
    return Forecast(
        dense=dense,
        sparsity=stages.work("sparsity"),
        cuts=len(stages.cuts),
        recovery=stages.work("recovery"),
        scratch=stages.work("scratch"),
        is_exact=True,
        refused=tuple(refused),
    )


def _bounded(spec: Spec, experiment: Experiment, *, dense: Work) -> Forecast:
    budget, space = spec.budget, spec.space
    parents = budget if space.parents is None else min(space.parents, budget)
    cuts = recoveries = epochs = scratch = 0
    for group in space.methods.options.values():
        rounds = _rounds(group)
        each = most(group.knobs.get("recovery_epochs"), experiment.recovery.epochs)
        cuts, epochs = max(cuts, rounds), max(epochs, rounds * each)
        recoveries = max(recoveries, rounds if each else 0)
        controls = group.knobs.get("control")
        if isinstance(controls, Among) and "scratch" in controls.values:
            scratch = max(scratch, experiment.dense.epochs + experiment.sparsity.epochs + rounds * each)
    return Forecast(
        dense=dense,
        sparsity=Work(parents if experiment.sparsity.epochs else 0, parents * experiment.sparsity.epochs),
        cuts=budget * cuts,
        recovery=Work(budget * recoveries, budget * epochs),
        scratch=Work(budget if scratch else 0, budget * scratch),
        is_exact=False,
    )


def _rounds(group: Group) -> int:
    """The most cuts that a schedule of this method makes; a polynomial that starts above 0 makes one more."""
    schedule = group.knobs.get("schedule")
    if not isinstance(schedule, Branch):
        return 1
    return max(
        most(option.knobs.get("rounds"), 1) + int(_last(option.knobs.get("initial"), 0.0) > 0)
        for option in schedule.options.values()
    )


def most(searched: Searched | Branch | None, default: int) -> int:
    """The largest whole number that is tried for a knob; ``default`` where it is not searched."""
    return int(_last(searched, default))


def _last(searched: Searched | Branch | None, default: float) -> float:
    match searched:
        case Among(values):
            return max(float(each) for each in values)
        case Wholes(high=high):
            return high
        case None:
            return default
    return float(getattr(searched, "high", default))


def hours(work: Forecast, *, dense: float, later: float) -> dict[str, float]:
    """Hours by kind of training, from the seconds that an epoch of the unpruned network takes.

    ``dense`` is that of dense training and of a training from scratch, ``later`` of a training after it. What is
    removed makes a network faster: these are bounds.
    """
    seconds = {
        "dense": work.dense.epochs * dense,
        "sparsity training": work.sparsity.epochs * later,
        "recovery": work.recovery.epochs * later,
        "from scratch": work.scratch.epochs * dense,
    }
    return {kind: each / 3600 for kind, each in seconds.items() if each}
