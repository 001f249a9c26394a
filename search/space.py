"""The space of a search: methods, each with knobs of its own, some of whose values bring further knobs.

Derived from the methods' own files through ``methods.core.knobs.knobs`` and from nothing else: a new method, knob
or penalty is in the space, in the spec's grammar and in its messages without a line here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import BaseTrial

from analysis.errors import WrongInput, nearest
from methods import catalogue, method
from methods.core.knobs import Choice, Knob, Options, Value, knob_names, knobs
from methods.core.knobs import parse as parse_method
from methods.core.method import Method
from search.grammar import ANY, declared, parse
from search.ranges import Among, Searched, Wholes
from trial.course import Course, accepted_applies

__all__ = ["Branch", "Flat", "Group", "Space", "course_knobs"]

COURSE = {knob.name: knob for knob in knobs(Course)}

Flat = dict[str, Value]
"""A recipe as a row holds it: ``method`` and its knobs, one level deep."""


@dataclass(frozen=True)
class Branch:
    """One of several options, each with a group of knobs that exists only where it is chosen."""

    options: Mapping[str, Group]

    @cached_property
    def size(self) -> int | None:
        """How many ways there are to choose an option and its knobs."""
        sizes = [group.size for group in self.options.values()]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def written(self) -> Any:
        """The options as a spec says them, every range in full."""
        return {name: group.written() for name, group in self.options.items()}


@dataclass(frozen=True)
class Group:
    """The searched knobs of a method or an option; those left at their defaults are not in it."""

    knobs: Mapping[str, Searched | Branch]

    @cached_property
    def size(self) -> int | None:
        """How many ways there are to set the knobs."""
        sizes = [searched.size for searched in self.knobs.values()]
        return None if None in sizes else prod(size for size in sizes if size is not None)

    def written(self) -> Any:
        """The knobs as a spec says them, every range in full."""
        return {name: searched.written() for name, searched in self.knobs.items()}


@dataclass(frozen=True)
class Space:
    """All recipes that a search may try. Optuna knows a knob by its path: ``slimming.lp.lambda``."""

    methods: Branch

    @classmethod
    def parse(cls, given: object, *, where: str, recipe: object = None, recipe_where: str = "search.recipe") -> Space:
        """Read ``search.methods`` of a spec: names, ``any``, or a mapping from names to knobs.

        A method has its own knobs and those of a `Course`; ``recipe`` is ``search.recipe``, a mapping of the latter
        for every method that does not say them itself. Raises WrongInput that names the method or knob, its place
        under ``where``, and what is accepted.
        """
        if given == ANY:
            given = list(catalogue())
        groups = {}
        for name, said in _opened(given, what="methods", accepted=list(catalogue()), where=where).items():
            owner = method(name, where=f"{where}.{name}")
            own = _group(owner, said, further=course_knobs(owner), what=name, where=f"{where}.{name}").knobs
            groups[name] = Group({**own, **_shared(recipe, owner, own, where=recipe_where)})
            _check_rates(groups[name], name, where=f"{where}.{name}")
        return cls(Branch(groups))

    @cached_property
    def size(self) -> int | None:
        """How many recipes there are, None where a knob is continuous."""
        return self.methods.size

    @property
    def parents(self) -> int | None:
        """How many networks are trained with a penalty before they are cut, None where they cannot be counted."""
        counts = [
            Group({name: each for name, each in group.knobs.items() if name == "penalty"}).size
            for name, group in self.methods.options.items()
            if "sparsity training" in method(name, where=name).needs
        ]
        return None if None in counts else sum(count for count in counts if count is not None)

    def largest(self, name: str, default: int) -> int:
        """The largest number that is tried for a course's knob, or for a schedule's; ``default`` where none is."""
        tried = [default]
        for group in self.methods.options.values():
            schedule = group.knobs.get("schedule")
            inside = [option.knobs for option in schedule.options.values()] if isinstance(schedule, Branch) else []
            for searched in (each[name] for each in (group.knobs, *inside) if name in each):
                assert isinstance(searched, Among | Wholes), f"{name} is no whole number"
                tried.append(int(searched.at(searched.size - 1)))
        return max(tried)

    def written(self) -> Any:
        """The space as a spec says it, every range in full; parsing it gives an equal space."""
        return self.methods.written()

    def example(self, name: str) -> Method:
        """The method ``name`` with values from the low ends of its ranges."""
        own = knob_names(method(name, where=name))
        recipe = _at(Branch({name: self.methods.options[name]}), "method", 0)
        settings = {knob: value for knob, value in recipe.items() if knob in own}
        made: Method = parse_method(method(name, where=name), settings, what=name, where=name)
        return made

    def suggest(self, trial: BaseTrial) -> Flat:
        """Ask Optuna for a recipe, knob by knob, each only where the choices before it bring it up."""
        return _suggest(trial, self.methods, "method", "")

    def knobs(self) -> Iterator[tuple[str, Searched | Branch]]:
        """Every knob by its path, the choice of a method and of an option before what it brings up."""
        return _walked(self.methods, "method", "")

    def at(self, index: int) -> Flat:
        """The recipe at a place from 0 to size - 1 of a space that can be counted."""
        assert self.size is not None, "a continuous space has no order"
        if not 0 <= index < self.size:
            raise IndexError(f"the space has {self.size} recipes, there is none at {index}")
        return _at(self.methods, "method", index)

    def recipes(self) -> Iterator[Flat]:
        """Every recipe of a space that can be counted."""
        assert self.size is not None, "a continuous space cannot be listed"
        return (self.at(index) for index in range(self.size))

    def trace(self, row: Mapping[str, Any]) -> tuple[Flat, dict[str, Any], dict[str, BaseDistribution]] | None:
        """The way back from a row: its recipe, and Optuna's parameters and distributions for it.

        None where the row lies outside the space. Knobs that are not searched are not looked at: the caller
        knows them from the trial's name.
        """
        recipe: Flat = {}
        parameters: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        inside = _trace(self.methods, "method", "", row, recipe, parameters, distributions)
        return (recipe, parameters, distributions) if inside else None


def _opened(given: object, *, what: str, accepted: list[str], where: str) -> dict[str, Any]:
    """Names, or a mapping from names to knobs, as such a mapping."""
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and given and all(isinstance(name, str) for name in given):
        return dict.fromkeys(given, ANY)
    if isinstance(given, dict) and given:
        return {str(name): said for name, said in given.items()}
    raise WrongInput(
        f"{what} takes names, a mapping from names to knobs, or any, got {given!r:.60}: "
        f"{nearest('', accepted)} ({where})"
    )


def course_knobs(owner: type[Method]) -> tuple[Knob, ...]:
    """The knobs of a `Course` for a method: its cuts cannot be carried out in every way."""
    return tuple(
        replace(knob, range=Choice(accepted_applies(owner))) if knob.name == "apply" else knob for knob in knobs(Course)
    )


def _shared(
    recipe: object, owner: type[Method], own: Mapping[str, Searched | Branch], *, where: str
) -> Mapping[str, Searched | Branch]:
    """What ``search.recipe`` says for a method that does not say it itself."""
    if recipe is None:
        return {}
    if not isinstance(recipe, dict):
        raise WrongInput(f"recipe takes a mapping of knobs, got {recipe!r:.60}: {nearest('', COURSE)} ({where})")
    for name in map(str, recipe):
        if name not in COURSE:
            raise WrongInput(f"recipe has no knob {name!r}: {_cure(name, COURSE)} ({where}.{name})")
    left = {name: said for name, said in recipe.items() if name not in own}
    try:
        return _group(None, left, further=course_knobs(owner), what=owner.name(), where=where).knobs
    except WrongInput as error:  # not every method's cut can be carried out in every way
        raise WrongInput(f"{owner.name()}: {error}") from None


def _check_rates(group: Group, name: str, *, where: str) -> None:
    """Refuse rates beside the original schedule, which has dense training's: their recipes would be one recipe."""
    schedules = group.knobs.get("recovery_schedule")
    if "recovery_rate" in group.knobs and isinstance(schedules, Among) and "original" in schedules.values:
        raise WrongInput(
            f"{name}: the original schedule has dense training's rate: leave recovery_rate or original out ({where})"
        )


def _group(owner: type[Any] | None, given: object, *, what: str, where: str, further: Sequence[Knob] = ()) -> Group:
    """The knobs of ``owner``, and those of ``further`` that are said, which never need to be."""
    required = {knob.name: knob for knob in (knobs(owner) if owner is not None else ()) if knob.required}
    own = {knob.name: knob for knob in (*(knobs(owner) if owner is not None else ()), *further)}
    if given == ANY:
        return Group({name: _searched(knob, ANY, where=where) for name, knob in required.items()})
    if given is not None and not isinstance(given, dict):
        raise WrongInput(f"{what} takes a mapping of its knobs, or any, got {given!r:.60} ({where})")
    given = given or {}
    for name in map(str, given):
        if name not in own:
            raise WrongInput(f"{what} has no knob {name!r}: {_cure(name, own)} ({where}.{name})")
    for name, knob in required.items():
        if name not in given:
            raise WrongInput(f"{what} needs {name}: {knob.range}, or any for the whole range ({where}.{name})")
    return Group(
        {name: _searched(knob, given[name], where=f"{where}.{name}") for name, knob in own.items() if name in given}
    )


def _cure(name: str, own: Mapping[str, Knob]) -> str:
    for knob in own.values():
        if isinstance(knob.range, Options):
            for option, owner in zip(knob.range.names, knob.range.types, strict=True):
                if name in {further.name for further in knobs(owner)}:
                    return f"it belongs to an option, as in {knob.name}: {{{option}: {{{name}: any}}}}"
    return nearest(name, own)


def _searched(knob: Knob, given: object, *, where: str) -> Searched | Branch:
    if not isinstance(knob.range, Options):
        return declared(knob) if given == ANY else parse(knob, given, where=where)
    if given == ANY:
        given = list(knob.range.names)
    groups = {}
    for name, said in _opened(given, what=knob.name, accepted=list(knob.range.names), where=where).items():
        try:
            owner = knob.range.type(name)
        except ValueError as error:
            raise WrongInput(f"{knob.name} {error} ({where}.{name})") from None
        groups[name] = _group(owner, said, what=f"{knob.name} {name}", where=f"{where}.{name}")
    return Branch(groups)


def _suggest(trial: BaseTrial, branch: Branch, column: str, prefix: str) -> Flat:
    chosen = trial.suggest_categorical(f"{prefix}{column}", list(branch.options))
    recipe: Flat = {column: chosen}
    for name, searched in branch.options[chosen].knobs.items():
        if isinstance(searched, Branch):
            recipe |= _suggest(trial, searched, name, f"{prefix}{chosen}.")
        else:
            recipe[name] = searched.suggest(trial, f"{prefix}{chosen}.{name}")
    return recipe


def _walked(branch: Branch, column: str, prefix: str) -> Iterator[tuple[str, Searched | Branch]]:
    yield f"{prefix}{column}", branch
    for option, group in branch.options.items():
        for name, searched in group.knobs.items():
            if isinstance(searched, Branch):
                yield from _walked(searched, name, f"{prefix}{option}.")
            else:
                yield f"{prefix}{option}.{name}", searched


def _at(branch: Branch, column: str, index: int) -> Flat:
    """Options one after another; within one, the knobs as the digits of a number, the last the fastest."""
    options = iter(branch.options.items())
    chosen, group = next(options)
    while group.size is not None and index >= group.size:
        index -= group.size
        chosen, group = next(options)
    recipe: Flat = {}
    for name, searched in reversed(list(group.knobs.items())):
        index, digit = divmod(index, searched.size or 1)
        recipe = (_at(searched, name, digit) if isinstance(searched, Branch) else {name: searched.at(digit)}) | recipe
    return {column: chosen} | recipe


def _trace(
    branch: Branch,
    column: str,
    prefix: str,
    row: Mapping[str, Any],
    recipe: Flat,
    parameters: dict[str, Any],
    distributions: dict[str, BaseDistribution],
) -> bool:
    """Fill recipe, parameters and distributions from the row; False where the row leaves the branch."""
    chosen = row.get(column)
    if not isinstance(chosen, str) or chosen not in branch.options:
        return False
    path = f"{prefix}{column}"
    recipe[column] = parameters[path] = chosen
    distributions[path] = CategoricalDistribution(list(branch.options))
    for name, searched in branch.options[chosen].knobs.items():
        if isinstance(searched, Branch):
            if not _trace(searched, name, f"{prefix}{chosen}.", row, recipe, parameters, distributions):
                return False
            continue
        value = row.get(name)
        if value is None or not searched.holds(value):
            return False
        recipe[name] = value
        parameters[f"{prefix}{chosen}.{name}"] = searched.parameter(value)
        distributions[f"{prefix}{chosen}.{name}"] = searched.distribution()
    return True
