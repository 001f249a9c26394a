"""Recipes that a spec lists one by one under ``search.points``, and the space that they span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.errors import WrongInput
from methods import method
from methods.core.knobs import Knob, Names, Options, knobs
from search.ranges import Among, AmongNames, Searched
from search.space import Branch, Flat, Group, Space, course_knobs
from trial.experiment import Experiment
from trial.recipe import Recipe

__all__ = ["parse", "recipes", "spanned"]


def parse(given: object, experiment: Experiment, *, where: str) -> list[Recipe]:
    """Read ``search.points``: a list of recipes, flat as a row holds them, each of them once.

    Raises WrongInput that names the point by its place in the list, from 0, the knob, and what is accepted; a recipe
    that is another one with its defaults written out is refused too.
    """
    if not isinstance(given, list | tuple) or not given:
        raise WrongInput(
            f"points takes a list of recipes such as {{method: filter-l1, ratio: .5}}, got {given!r:.60} ({where})"
        )
    found: list[Recipe] = []
    for place, said in enumerate(given):
        if not isinstance(said, Mapping):
            raise WrongInput(
                f"a point is a recipe such as {{method: filter-l1, ratio: .5}}, got {said!r:.60} ({where}.{place})"
            )
        recipe = Recipe.parse({str(name): value for name, value in said.items()}, experiment, where=f"{where}.{place}")
        if recipe in found:
            raise WrongInput(f"this recipe is point {found.index(recipe)} already: list it once ({where}.{place})")
        found.append(recipe)
    return found


def spanned(points: Sequence[Mapping[str, Any]], made: Sequence[Recipe]) -> Space:
    """The smallest space that holds the points: of each method the knobs that any point of it says.

    ``points`` are the recipes as they were given, ``made`` the same parsed.
    """
    columns = [recipe.columns() for recipe in made]
    groups = {}
    for name in dict.fromkeys(str(each["method"]) for each in columns):
        owner = method(name, where="search.points")
        said = {knob for given in points if given["method"] == name for knob in given}
        own = [each for each in columns if each["method"] == name]
        groups[name] = _group((*knobs(owner), *course_knobs(owner)), said, own)
    return Space(Branch(groups))


def recipes(space: Space, made: Sequence[Recipe]) -> list[Flat]:
    """The points as recipes of the space that they span, in their order."""
    traced = [space.trace(recipe.columns()) for recipe in made]
    assert None not in traced, "the points lie in the space that they span"
    return [each[0] for each in traced if each is not None]


def _group(own: Sequence[Knob], said: set[str], columns: Sequence[Mapping[str, Any]]) -> Group:
    found: dict[str, Searched | Branch] = {}
    for knob in own:
        values = list(dict.fromkeys(each[knob.name] for each in columns))
        if isinstance(knob.range, Options):
            named = dict(zip(knob.range.names, knob.range.types, strict=True))
            below = {further.name for option in values for further in knobs(named[str(option)])}
            if knob.name in said or below & said:
                found[knob.name] = Branch(
                    {
                        str(option): _group(
                            knobs(named[str(option)]), said, [each for each in columns if each[knob.name] == option]
                        )
                        for option in values
                    }
                )
        elif knob.name in said:
            is_numeric = all(isinstance(value, int | float) for value in values)
            listed = tuple(sorted(values) if is_numeric else values)
            found[knob.name] = AmongNames(listed) if isinstance(knob.range, Names) else Among(listed)
    return Group(found)
