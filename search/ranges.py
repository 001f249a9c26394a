"""What a search tries for one knob: listed values, steps, whole numbers or a stretch of the number line.

Written in a spec as one value, a list, ``{uniform: [low, high]}``, ``{log: [low, high]}`` or ``any``, which is the
range that the knob's own type declares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from analysis.errors import WrongInput, nearest
from methods.core.knobs import Choice, Knob, Log, Options, Uniform, Value, Whole

__all__ = ["Among", "Searched", "Steps", "Stretch", "Wholes", "declared", "parse", "tidy"]

ANY = "any"


class Searched(Protocol):
    """The values that a search tries for one knob."""

    @property
    def size(self) -> int | None:
        """How many values there are, None where they cannot be counted."""
        ...

    def at(self, index: int) -> Value:
        """The value at a place from 0 to size - 1; where they cannot be counted there is place 0, a low one."""
        ...

    def suggest(self, trial: Trial, name: str) -> Value:
        """Ask Optuna for a value under ``name``."""
        ...

    def distribution(self) -> BaseDistribution:
        """The same values as Optuna knows them."""
        ...

    def holds(self, value: object) -> bool:
        """Whether the value is one of them."""
        ...

    def written(self) -> Any:
        """The values as a spec says them; reading that back gives an equal object."""
        ...


def tidy(number: float) -> float:
    """Round to 12 significant digits, so that three steps of .1 are .3.

    >>> 0.1 + 0.1 + 0.1, tidy(0.1 + 0.1 + 0.1)
    (0.30000000000000004, 0.3)
    """
    return float(f"{number:.12g}")


@dataclass(frozen=True)
class Among:
    """Listed values; a single one is a knob that is fixed."""

    values: tuple[Value, ...]

    @property
    def size(self) -> int:
        """How many values are listed."""
        return len(self.values)

    def at(self, index: int) -> Value:
        """The value in this place of the list."""
        return self.values[index]

    def suggest(self, trial: Trial, name: str) -> Value:
        """One of the values."""
        value = trial.suggest_categorical(name, self.values)
        assert value is not None, "None is no knob's value"
        return value

    def distribution(self) -> BaseDistribution:
        """A categorical distribution."""
        return CategoricalDistribution(self.values)

    def holds(self, value: object) -> bool:
        """Whether it is listed; True is not 1."""
        return any(value == listed and isinstance(value, bool) == isinstance(listed, bool) for listed in self.values)

    def written(self) -> Any:
        """The value, or the list."""
        return self.values[0] if len(self.values) == 1 else list(self.values)


@dataclass(frozen=True)
class Steps:
    """``low``, ``low + step``, … ``high``; ``high`` is reached."""

    low: float
    high: float
    step: float

    @property
    def size(self) -> int:
        """How many steps fit, the first value included."""
        return round((self.high - self.low) / self.step) + 1

    def at(self, index: int) -> Value:
        """``low`` and ``index`` steps."""
        return tidy(self.low + index * self.step)

    def suggest(self, trial: Trial, name: str) -> Value:
        """One of the steps."""
        return tidy(trial.suggest_float(name, self.low, self.high, step=self.step))

    def distribution(self) -> BaseDistribution:
        """A stepped float distribution."""
        return FloatDistribution(self.low, self.high, step=self.step)

    def holds(self, value: object) -> bool:
        """Whether it is one of the steps."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        index = round((value - self.low) / self.step)
        return 0 <= index < self.size and self.at(index) == tidy(value)

    def written(self) -> Any:
        """The ends and the step."""
        return {"uniform": [self.low, self.high], "step": self.step}


@dataclass(frozen=True)
class Wholes:
    """Whole numbers from ``low`` to ``high``, both included."""

    low: int
    high: int

    @property
    def size(self) -> int:
        """How many there are."""
        return self.high - self.low + 1

    def at(self, index: int) -> Value:
        """``low`` and ``index`` more."""
        return self.low + index

    def suggest(self, trial: Trial, name: str) -> Value:
        """One of them."""
        return trial.suggest_int(name, self.low, self.high)

    def distribution(self) -> BaseDistribution:
        """An integer distribution."""
        return IntDistribution(self.low, self.high)

    def holds(self, value: object) -> bool:
        """Whether it is whole and between the ends."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def written(self) -> Any:
        """The ends."""
        return {"uniform": [self.low, self.high]}


@dataclass(frozen=True)
class Stretch:
    """All numbers from ``low`` to ``high``, evenly or by their logarithms; ``is_open`` leaves both ends out."""

    low: float
    high: float
    log: bool = False
    is_open: bool = False

    @property
    def size(self) -> None:
        """Numbers cannot be counted."""
        return

    def at(self, index: int) -> Value:
        """The low end; no other number has a place."""
        assert index == 0, "a stretch cannot be counted"
        return self._ends()[0]

    def suggest(self, trial: Trial, name: str) -> Value:
        """A number of the stretch, to 12 digits."""
        value = tidy(trial.suggest_float(name, *self._ends(), log=self.log))
        low, high = self._ends()
        return min(max(value, low), high)

    def distribution(self) -> BaseDistribution:
        """A float distribution."""
        return FloatDistribution(*self._ends(), log=self.log)

    def holds(self, value: object) -> bool:
        """Whether it lies between the ends."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self._ends()[0] <= float(str(value)) <= self._ends()[1]

    def written(self) -> Any:
        """The ends."""
        return {"log" if self.log else "uniform": [self.low, self.high]}

    def _ends(self) -> tuple[float, float]:
        # Optuna's ends belong to the range: an open one ends a millionth inside, where a recipe still validates.
        margin = (self.high - self.low) * 1e-6 if self.is_open else 0.0
        return self.low + margin, self.high - margin


def declared(knob: Knob) -> Searched:
    """The whole range that the knob's type declares, as it is searched: on its grid or in its steps."""
    match knob.range:
        case Choice(values):
            return Among(values)
        case Whole(low, high):
            return Wholes(low, high)
        case Uniform(grid=grid) | Log(grid=grid) if grid:
            return Among(grid)
        case Log(low, high):
            return Stretch(low, high, log=True)
        case Uniform(low, high, step, _, exclusive) if step is not None:
            if exclusive:
                low, high = tidy(low + step), tidy(high - step)
            return _steps(low, high, step)
        case Uniform(low, high, _, _, exclusive):
            return Stretch(low, high, is_open=exclusive)
        case Options():
            raise TypeError(f"{knob.name} has options: it is a branch of the space, not a range")
    raise TypeError(f"{knob.name}: no search is known for {knob.range!r}")


def parse(knob: Knob, given: object, *, where: str) -> Searched:
    """Read what a spec says of a knob; raises WrongInput for what lies outside the knob's declared range."""
    if given == ANY:
        return declared(knob)
    if isinstance(given, dict):
        return _between(knob, given, where=where)
    values = given if isinstance(given, list) else [given]
    if not values:
        raise WrongInput(f"{knob.name} needs at least one value of {knob.range}, got an empty list ({where})")
    accepted = [_accepted(knob, value, where=where) for value in values]
    distinct = [value for place, value in enumerate(accepted) if value not in accepted[:place]]
    is_numeric = all(isinstance(value, int | float) for value in distinct)
    return Among(tuple(sorted(distinct)) if is_numeric else tuple(distinct))


def _accepted(knob: Knob, value: object, *, where: str) -> Value:
    if value is None:
        raise WrongInput(f"{knob.name} has no value: {knob.range}, or any for the whole range ({where})")
    assert not isinstance(knob.range, Options), "a branch of the space is read as one"
    try:
        return knob.range.accept(value)
    except ValueError as error:
        raise WrongInput(f"{knob.name} {error} ({where})") from None


def _between(knob: Knob, given: dict[Any, Any], *, where: str) -> Searched:
    """``{uniform: [low, high]}``, perhaps with a step, or ``{log: [low, high]}``."""
    if isinstance(knob.range, Choice):
        raise WrongInput(f"{knob.name} is one of {knob.range}, got {given!r} ({where})")
    for key in given:
        if key not in ("uniform", "log", "step"):
            raise WrongInput(f"{key!r} is not a range: {nearest(str(key), ['uniform', 'log', 'step'])} ({where}.{key})")
    scales = [key for key in given if key != "step"]
    if len(scales) != 1:
        raise WrongInput(f"{knob.name} needs one of uniform and log, got {', '.join(scales) or 'neither'} ({where})")
    scale = scales[0]
    place = f"{where}.{scale}"
    ends = given[scale]
    if not isinstance(ends, list) or len(ends) != 2:
        raise WrongInput(f"{scale} takes two ends, [low, high], got {ends!r} ({place})")
    low, high = (_end(knob, end, where=place) for end in ends)
    if low >= high:
        raise WrongInput(f"{scale} goes from a lower to a higher end, got {ends!r} ({place})")
    if scale == "log" and low <= 0:
        raise WrongInput(f"a log range starts above 0, got {ends!r} ({place})")
    step = given.get("step")
    if isinstance(knob.range, Whole):
        if scale == "log" or step is not None:
            raise WrongInput(f"{knob.name} is a whole number: accepted is {{uniform: [low, high]}} ({where})")
        return Wholes(int(low), int(high))
    if scale == "log":
        if step is not None:
            raise WrongInput(f"step belongs to uniform: a log range has none, got {step!r} ({where}.step)")
        return Stretch(low, high, log=True)
    is_open = False
    if isinstance(knob.range, Uniform):
        step = knob.range.step if step is None else step
        is_open = knob.range.exclusive and (low, high) == (knob.range.low, knob.range.high)
    if step is None:
        return Stretch(low, high, is_open=is_open)
    if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step <= high - low:
        raise WrongInput(f"step must lie in (0, {high - low:g}], got {step!r} ({where}.step)")
    return _steps(low, high, float(step))


def _end(knob: Knob, end: object, *, where: str) -> float:
    # The ends of an open range are not in it, and still say where it ends.
    if isinstance(knob.range, Uniform) and end in (knob.range.low, knob.range.high) and not isinstance(end, bool):
        return float(str(end))
    return float(_accepted(knob, end, where=where))


def _steps(low: float, high: float, step: float) -> Steps:
    """Steps as the decimals that were written: 0.95 is nineteen steps of 0.05, in floats it is not."""
    exact_low, exact_step = Fraction(str(low)), Fraction(str(step))
    count = (Fraction(str(high)) - exact_low) // exact_step
    return Steps(float(low), float(exact_low + count * exact_step), float(step))
