"""Specs of `search.methods`, drawn from the catalogue's own knobs."""

from typing import Any

from hypothesis import strategies as st

from methods import catalogue
from methods.core.knobs import Choice, Knob, Log, Names, Options, Uniform, Whole, knobs
from methods.core.method import Method
from search.space import course_knobs


def values_of(knob: Knob) -> st.SearchStrategy[Any]:
    """One value of the knob's declared range."""
    match knob.range:
        case Choice(values):
            return st.sampled_from(values)
        case Whole(low, high):
            return st.integers(low, high)
        case Uniform(low, high, exclusive=exclusive):
            return st.floats(low, high, exclude_min=exclusive, exclude_max=exclusive)
        case Log(low, high):
            return st.floats(low, high)
        case Names():
            return st.lists(st.sampled_from(["features.0", "features.*", "classifier"]), max_size=3)
    raise TypeError(f"{knob.name} is a branch")


def said_of(knob: Knob, *, countable: bool) -> st.SearchStrategy[Any]:
    """Whatever a spec may say of the knob."""
    if isinstance(knob.range, Options):
        named = dict(zip(knob.range.names, knob.range.types, strict=True))
        return options_of(named, countable=countable)
    value = values_of(knob)
    if isinstance(knob.range, Names):
        return st.one_of(value, st.lists(value, min_size=1, max_size=3))
    listed = st.lists(value, min_size=1, max_size=4, unique=True)
    if isinstance(knob.range, Choice):
        return st.one_of(value, listed, st.just("any"))
    ends = st.lists(value, min_size=2, max_size=2, unique=True).map(sorted)
    ends = ends.filter(lambda both: both[1] - both[0] > 1e-6)  # no step is smaller than 1e-12
    if isinstance(knob.range, Whole):
        return st.one_of(value, listed, st.builds(lambda both: {"uniform": both}, ends))
    stepped = ends.map(lambda both: {"uniform": both, "step": (both[1] - both[0]) / 3})
    if countable:
        return st.one_of(value, listed, stepped)
    positive = ends.filter(lambda both: both[0] > 0)
    return st.one_of(
        value,
        listed,
        st.just("any"),
        ends.map(lambda both: {"uniform": both}),
        positive.map(lambda both: {"log": both}),
    )


def options_of(owners: dict[str, type], *, countable: bool) -> st.SearchStrategy[Any]:
    """Whatever a spec may say of methods, or of a knob's options, as a mapping."""

    def optional(owner: type) -> list[Knob]:
        further = course_knobs(owner) if issubclass(owner, Method) else ()
        return [*(knob for knob in knobs(owner) if not knob.required), *further]

    groups = {
        name: st.fixed_dictionaries(
            {knob.name: said_of(knob, countable=countable) for knob in knobs(owner) if knob.required},
            optional={knob.name: said_of(knob, countable=countable) for knob in optional(owner)},
        )
        for name, owner in owners.items()
    }
    groups = {name: group.map(_without_contradictions) for name, group in groups.items()}
    chosen = st.lists(st.sampled_from(sorted(owners)), min_size=1, max_size=3, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: groups[name] for name in names}))


def _without_contradictions(said: dict[str, Any]) -> dict[str, Any]:
    """What a recipe refuses together, some of it left out."""
    left_out = {"recovery_rate"} if "recovery_schedule" in said else set()
    left_out |= {"control"} if "apply" in said else set()
    return {name: value for name, value in said.items() if name not in left_out}


def methods_of_specs(*, countable: bool = False) -> st.SearchStrategy[Any]:
    """Whatever a spec may say under `search.methods`."""
    return options_of(dict(catalogue()), countable=countable)
