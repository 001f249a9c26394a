"""What a spec may say of methods and their knobs, as JSON schema: read off the methods' own files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from methods import catalogue
from methods.core.description import describe
from methods.core.knobs import Choice, Knob, Log, Names, Options, Uniform, Whole, knobs
from methods.core.method import Method
from search.grammar import ANY
from search.space import COURSE, course_knobs

__all__ = ["Json", "methods_schema", "needed_by_methods", "recipe_schema"]

Json = dict[str, Any]


def methods_schema(sections: dict[str, Json]) -> Json:
    """``search.methods``: names, ``any``, or a mapping from names to knobs; null where recipes are listed instead.

    Knobs that every method has are put into ``sections``, the schema's ``$defs``, and referred to.
    """
    options = {}
    for name, owner in catalogue().items():
        about = describe(owner)
        needs = f" Needs {', '.join(about['needs'])}." if about["needs"] else ""
        said = f"{about['summary']}{needs} {about['formula']} [{about['source']}]"
        shared = {knob.name: _shared(knob, owner, sections) for knob in course_knobs(owner)}
        options[name] = _group(knobs(owner), further=shared) | {"description": said}
    methods = _branch(options)
    return {"anyOf": [*methods["anyOf"], {"type": "null"}]}


def _shared(knob: Knob, owner: type[Method], sections: dict[str, Json]) -> Json:
    # Cuts of weights and of channels are not carried out in the same ways.
    key = knob.name if knob == COURSE[knob.name] else f"{knob.name} of {owner.unit}s"
    sections.setdefault(key, _knob(knob))
    return {"$ref": f"#/$defs/{quote(key)}"}


def recipe_schema() -> Json:
    """``search.recipe``: the knobs that every method has."""
    properties = {name: _knob(knob) for name, knob in COURSE.items()}
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def needed_by_methods() -> Json:
    """What a method, and an option such as a penalty, has to say; it applies where ``search.methods`` is a mapping."""
    return {"properties": {name: _needed(owner) for name, owner in catalogue().items()}}


def _needed(owner: type[Any]) -> Json:
    options = {
        knob.name: {
            "properties": {
                name: _needed(option) for name, option in zip(knob.range.names, knob.range.types, strict=True)
            }
        }
        for knob in knobs(owner)
        if isinstance(knob.range, Options)
    }
    needed = [knob.name for knob in knobs(owner) if knob.required]
    return ({"required": needed} if needed else {}) | ({"properties": options} if options else {})


def _branch(options: Mapping[str, Json]) -> Json:
    """One of several things with knobs of their own: names, any, or a mapping."""
    names = list(options)
    return {
        "anyOf": [
            {"enum": [ANY, *names]},
            {"type": "array", "items": {"enum": names}, "minItems": 1},
            {"type": "object", "properties": dict(options), "additionalProperties": False, "minProperties": 1},
        ]
    }


def _group(own: Sequence[Knob], *, further: Mapping[str, Json] = MappingProxyType({})) -> Json:
    """A mapping of knobs, or any; nothing where nothing has to be said."""
    properties = {**{knob.name: _knob(knob) for knob in own}, **further}
    kinds: list[Json] = [
        {"const": ANY},
        {"type": "object", "properties": properties, "additionalProperties": False},
    ]
    if not any(knob.required for knob in own):
        kinds.append({"type": "null"})
    return {"anyOf": kinds}


def _knob(knob: Knob) -> Json:
    # A knob of the course is required of a Course, and never in a spec.
    default = "" if knob.required or dataclasses.is_dataclass(knob.default) else f"; default {knob.default}"
    return _range(knob) | {"description": f"{knob.range}{default}"}


def _range(knob: Knob) -> Json:
    match knob.range:
        case Options(types) as options:
            return _branch({name: _group(knobs(each)) for name, each in zip(options.names, types, strict=True)})
        case Choice(values):
            one = list(values)
            return {"anyOf": [{"enum": [ANY, *one]}, {"type": "array", "items": {"enum": one}, "minItems": 1}]}
        case Names():
            several: Json = {"type": "array", "items": {"type": "string"}}
            one_or_more: Json = {"anyOf": [{"type": "string"}, several]}
            return {"anyOf": [{"type": "string"}, {"type": "array", "items": one_or_more}]}
        case Whole(low, high):
            return _numbers({"type": "integer", "minimum": low, "maximum": high}, is_whole=True)
        case Uniform(low, high, exclusive=True):
            return _numbers({"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high}, low, high)
        case Uniform(low, high) | Log(low, high):
            return _numbers({"type": "number", "minimum": low, "maximum": high}, low, high)
    raise TypeError(f"{knob.name}: no schema is known for {knob.range!r}")


def _numbers(one: Json, low: float = 0, high: float = 0, *, is_whole: bool = False) -> Json:
    """A number, any, a list, or a range; whole numbers have no steps and no logarithms."""
    # The ends of an open range are not in it, and still say where it ends.
    end = one if is_whole else {"type": "number", "minimum": low, "maximum": high}
    step: Json = {} if is_whole else {"step": {"type": "number", "exclusiveMinimum": 0}}
    kinds: list[Json] = [
        {"const": ANY},
        one,
        {"type": "array", "items": one, "minItems": 1},
        _stretch("uniform", end, further=step),
    ]
    if not is_whole:
        kinds.append(_stretch("log", {**end, "exclusiveMinimum": 0}))
    return {"anyOf": kinds}


def _stretch(scale: str, end: Json, *, further: Json | None = None) -> Json:
    return {
        "type": "object",
        "properties": {scale: {"type": "array", "items": end, "minItems": 2, "maxItems": 2}, **(further or {})},
        "required": [scale],
        "additionalProperties": False,
    }
