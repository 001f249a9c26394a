"""Knobs: named, typed settings whose type says their range.

A knob is one annotated field of a method's frozen dataclass. The search space, the YAML validation, the help
and the columns of a row are all read off it:

    ratio: Annotated[float, Uniform(0.0, 0.95, step=0.01)]      # a number in [0, .95], searched in steps of .01
    lambda_: Annotated[float, Log(1e-5, 1e-2, grid=(1e-5, 1e-4, 1e-3, 1e-2))]
    scope: Literal["layer", "global"] = "layer"                 # one of two; with a default it is not searched
    penalty: L1 | Lp | TL1                                      # conditional: each brings knobs of its own
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from analysis.errors import WrongInput, nearest
from analysis.schema import Kind

__all__ = [
    "Choice",
    "Knob",
    "Log",
    "Names",
    "Options",
    "Range",
    "Uniform",
    "Value",
    "Whole",
    "flat",
    "knobs",
    "option_name",
    "parse",
]

Value = float | int | str | bool


@dataclass(frozen=True)
class Uniform:
    """Numbers from ``low`` to ``high``; ``exclusive`` leaves both ends out.

    A search tries multiples of ``step``, or the values of ``grid`` where one is given; any number of the range
    may be written in a spec.
    """

    low: float
    high: float
    step: float | None = None
    grid: tuple[float, ...] = ()
    exclusive: bool = False

    def accept(self, value: object) -> float:
        """Return the value as a float; raises ValueError where it lies outside the range."""
        number = _number(value, self)
        inside = self.low < number < self.high if self.exclusive else self.low <= number <= self.high
        if not inside:
            raise ValueError(f"must lie in {self}, got {value!r}")
        return number

    def __str__(self) -> str:
        ends = "()" if self.exclusive else "[]"
        return f"{ends[0]}{self.low:g}, {self.high:g}{ends[1]}"


@dataclass(frozen=True)
class Log:
    """Positive numbers from ``low`` to ``high``, searched on a logarithmic scale, or on ``grid`` where given."""

    low: float
    high: float
    grid: tuple[float, ...] = ()

    def accept(self, value: object) -> float:
        """Return the value as a float; raises ValueError where it lies outside the range."""
        number = _number(value, self)
        if not self.low <= number <= self.high:
            raise ValueError(f"must lie in {self}, got {value!r}")
        return number

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}] (log)"


@dataclass(frozen=True)
class Whole:
    """Whole numbers from ``low`` to ``high``, both included; a search tries those of ``grid`` where one is given."""

    low: int
    high: int
    grid: tuple[int, ...] = ()

    def accept(self, value: object) -> int:
        """Return the value as an int; raises ValueError where it is not whole or lies outside the range."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and self.low <= _number(value, self) <= self.high and float(str(value)).is_integer()):
            raise ValueError(f"must be a whole number {self}, got {value!r}")
        return int(_number(value, self))

    def __str__(self) -> str:
        return f"from {self.low} to {self.high}"


@dataclass(frozen=True)
class Choice:
    """One of the listed values."""

    values: tuple[Value, ...]

    def accept(self, value: object) -> Value:
        """Return the listed value that equals the given one; raises ValueError, with the nearest, otherwise."""
        for listed in self.values:
            if value == listed and isinstance(value, bool) == isinstance(listed, bool):
                return listed
        raise ValueError(f"got {value!r}: {nearest(str(value), map(str, self.values))}")

    def __str__(self) -> str:
        return " | ".join(map(str, self.values))


@dataclass(frozen=True)
class Names:
    """Names of layers, or patterns such as ``features.*``: a list, held as one text joined by spaces."""

    def accept(self, value: object) -> str:
        """Return the names joined by single spaces; raises ValueError for anything but text or a list of it."""
        given = value.split() if isinstance(value, str) else value
        if not isinstance(given, list | tuple) or not all(isinstance(name, str) and name.split() for name in given):
            raise ValueError(f"must be {self}, got {value!r}")
        return " ".join(part for name in given for part in name.split())

    def __str__(self) -> str:
        return "a list of layer names or patterns such as features.*"


@dataclass(frozen=True)
class Options:
    """One of several dataclasses, each with knobs of its own: the conditional part of a space."""

    types: tuple[type[Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The options' names in YAML and columns: ``TL1`` is tl1, ``OneShot`` is one-shot."""
        return tuple(option_name(option) for option in self.types)

    def type(self, name: object) -> type[Any]:
        """Look an option up by name; raises ValueError, with the nearest, where there is none."""
        for option, listed in zip(self.types, self.names, strict=True):
            if name == listed:
                return option
        raise ValueError(f"got {name!r}: {nearest(str(name), self.names)}")

    def __str__(self) -> str:
        return " | ".join(
            f"{name}({', '.join(knob.name for knob in knobs(option))})" if knobs(option) else name
            for name, option in zip(self.names, self.types, strict=True)
        )


Range = Uniform | Log | Whole | Choice | Names | Options


@dataclass(frozen=True)
class Knob:
    """One knob: its name in YAML and columns, its attribute in Python, its range and its default."""

    name: str
    attribute: str
    range: Range
    default: Any = MISSING

    @property
    def required(self) -> bool:
        """Whether a recipe has to say it."""
        return self.default is MISSING

    @property
    def kind(self) -> Kind:
        """What a column of this knob holds."""
        match self.range:
            case Uniform() | Log():
                return "float"
            case Whole():
                return "int"
            case Choice(values) if all(isinstance(value, bool) for value in values):
                return "bool"
            case _:
                return "string"


def option_name(option: type[Any]) -> str:
    """The name of an option in YAML and columns, from its class's; ``_`` at its end keeps it from being a keyword.

    >>> class OneShot: ...
    >>> class TL1: ...
    >>> class None_: ...
    >>> option_name(OneShot), option_name(TL1), option_name(None_)
    ('one-shot', 'tl1', 'none')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", option.__name__.removesuffix("_")).lower()


def knobs(owner: type[Any]) -> tuple[Knob, ...]:
    """The knobs of a method or of an option such as a penalty: those that must be said, then the others.

    Raises TypeError where a field's type says no range: a mistake of the method's author.
    """
    return _knobs(owner)  # type: ignore[arg-type]  # classes are hashable


@cache  # asked for many times in a trial; type hints take a millisecond
def _knobs(owner: Any) -> tuple[Knob, ...]:
    hints = typing.get_type_hints(owner, include_extras=True)
    found = []
    for field in dataclasses.fields(owner):
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        name = field.name.removesuffix("_")
        found.append(Knob(name, field.name, _range(hints[field.name], f"{owner.__name__}.{field.name}"), default))
    return tuple(sorted(found, key=lambda knob: not knob.required))


def column_kinds(owners: Iterable[type[Any]]) -> dict[str, Kind]:
    """The columns of all knobs of the owners and of their options: name → kind, in order of first appearance.

    Raises TypeError where one name has two kinds: the same name means the same thing everywhere.
    """
    kinds: dict[str, Kind] = {}
    waiting = list(owners)
    while waiting:
        owner = waiting.pop(0)
        for knob in knobs(owner):
            if kinds.setdefault(knob.name, knob.kind) != knob.kind:
                raise TypeError(f"{owner.__name__}.{knob.name} is {knob.kind}, elsewhere {kinds[knob.name]}")
            if isinstance(knob.range, Options):
                waiting.extend(knob.range.types)
    return kinds


def flat(owner: Any) -> dict[str, Value]:
    """The knobs of a method as a row and a recipe hold them, one level deep; an option by its name.

    >>> from methods.core.penalties import Lp
    >>> flat(Lp(lambda_=1e-4, p=0.5))
    {'lambda': 0.0001, 'p': 0.5}
    """
    values: dict[str, Value] = {}
    for knob in knobs(type(owner)):
        value = getattr(owner, knob.attribute)
        if isinstance(knob.range, Options):
            values[knob.name] = option_name(type(value))
            values |= flat(value)
        else:
            values[knob.name] = value
    return values


def parse(owner: type[Any], given: Mapping[str, object], *, what: str, where: str) -> Any:
    """Make a method, or an option, from flat knobs; ``what`` names it and ``where`` its place in messages.

    Raises WrongInput for an unknown or missing knob and for a value outside its range.
    """
    possible = knob_names(owner)
    for name in given:
        if name not in possible:
            raise WrongInput(f"{what} has no knob {name!r}: {nearest(name, possible)} ({where}.{name})")
    made, known = _parse(owner, given, what=what, where=where)
    for name in given:
        if name not in known:
            raise WrongInput(f"{what} has no knob {name!r} here: {nearest(name, known)} ({where}.{name})")
    return made


def knob_names(owner: type[Any]) -> list[str]:
    """The names of all knobs, those of every option included, each once."""
    names = [knob.name for knob in knobs(owner)]
    for knob in knobs(owner):
        if isinstance(knob.range, Options):
            names += [name for option in knob.range.types for name in knob_names(option)]
    return list(dict.fromkeys(names))


def _parse(owner: type[Any], given: Mapping[str, object], *, what: str, where: str) -> tuple[Any, list[str]]:
    values: dict[str, Any] = {}
    known: list[str] = []
    for knob in knobs(owner):
        known.append(knob.name)
        place = f"{where}.{knob.name}"
        if knob.name in given:
            try:
                value = _accept(knob.range, given[knob.name])
            except ValueError as error:
                raise WrongInput(f"{knob.name} {error} ({place})") from None
        elif knob.required:
            raise WrongInput(f"{what} needs {knob.name}: {knob.range} ({place})")
        else:
            value = knob.default
        if isinstance(value, type):
            option = f"{knob.name} {option_name(value)}"
            value, further = _parse(value, given, what=option, where=where)
            known += further
        values[knob.attribute] = value
    return owner(**values), known


def _accept(accepted: Range, value: object) -> Value | type[Any]:
    return accepted.type(value) if isinstance(accepted, Options) else accepted.accept(value)


def _number(value: object, accepted: object) -> float:
    # The comparison is false for NaN too, and exact for whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"must be a number in {accepted}, got {value!r}")
    return float(value)


def _range(hint: Any, field: str) -> Range:
    if get_origin(hint) is Annotated:
        for said in get_args(hint)[1:]:
            if isinstance(said, (Uniform, Log, Whole, Choice, Names)):
                return said
    if get_origin(hint) is Literal:
        return Choice(get_args(hint))
    if hint is bool:
        return Choice((False, True))
    members: Iterable[Any] = get_args(hint) if get_origin(hint) in (types.UnionType, typing.Union) else ()
    if members and all(dataclasses.is_dataclass(member) for member in members):
        return Options(tuple(members))
    raise TypeError(f"{field}: {hint!r} says no range; annotate it with Uniform, Log, Whole, Choice or Names")
