"""What a search tries for one knob: listed values, steps, whole numbers or a stretch of the number line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from methods.core.knobs import Value

__all__ = ["Among", "AmongNames", "Searched", "Steps", "Stretch", "Wholes", "tidy"]


class Searched(Protocol):
    """The values that a search tries for one knob."""

    @property
    def size(self) -> int | None:
        """How many values there are, None where they cannot be counted."""
        ...

    def at(self, index: int) -> Value:
        """The value at a place from 0 to size - 1; where they cannot be counted there is place 0, a low one."""
        ...

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        """Ask Optuna for a value under ``name``."""
        ...

    def distribution(self) -> BaseDistribution:
        """The same values as Optuna knows them."""
        ...

    def parameter(self, value: Any) -> Any:
        """The value as Optuna's distribution holds it."""
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

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        """One of the values."""
        value = trial.suggest_categorical(name, self.values)
        assert value is not None, "None is no knob's value"
        return value

    def distribution(self) -> BaseDistribution:
        """A categorical distribution."""
        return CategoricalDistribution(self.values)

    def parameter(self, value: Any) -> Any:
        """The value as it is listed."""
        return next(listed for listed in self.values if value == listed)

    def holds(self, value: object) -> bool:
        """Whether it is listed; True is not 1."""
        return any(value == listed and isinstance(value, bool) == isinstance(listed, bool) for listed in self.values)

    def written(self) -> Any:
        """The value, or the list."""
        return self.values[0] if len(self.values) == 1 else list(self.values)


@dataclass(frozen=True)
class AmongNames(Among):
    """Listed values each of which is several names in one text, as a spec writes them: lists."""

    def written(self) -> Any:
        """The names, or a list of lists of them."""
        lists = [str(value).split() for value in self.values]
        return lists[0] if len(lists) == 1 else lists


@dataclass(frozen=True)
class Steps:
    """``low``, ``low + step``, and so on as long as ``high`` is not passed.

    Counted in the decimals that were written: from 0 to 0.95 there are nineteen steps of 0.05, in floats there are
    not. Optuna is asked for the number of steps, since its own stepped floats count in floats.
    """

    low: float
    high: float
    step: float

    @property
    def size(self) -> int:
        """How many steps fit, the first value included."""
        low, high, step = (Fraction(str(number)) for number in (self.low, self.high, self.step))
        return int((high - low) // step) + 1

    def at(self, index: int) -> Value:
        """``low`` and ``index`` steps."""
        return tidy(self.low + index * self.step)

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        """One of the steps."""
        return self.at(trial.suggest_int(name, 0, self.size - 1))

    def distribution(self) -> BaseDistribution:
        """The number of steps, as an integer distribution."""
        return IntDistribution(0, self.size - 1)

    def parameter(self, value: Any) -> Any:
        """How many steps the value is above ``low``."""
        return round((value - self.low) / self.step)

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

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        """One of them."""
        return trial.suggest_int(name, self.low, self.high)

    def distribution(self) -> BaseDistribution:
        """An integer distribution."""
        return IntDistribution(self.low, self.high)

    def parameter(self, value: Any) -> Any:
        """The number itself."""
        return value

    def holds(self, value: object) -> bool:
        """Whether it is whole and between the ends."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def written(self) -> Any:
        """The ends."""
        return {"uniform": [self.low, self.high]}


@dataclass(frozen=True)
class Stretch:
    """All numbers from ``low`` to ``high``, both included, evenly or by their logarithms."""

    low: float
    high: float
    log: bool = False

    @property
    def size(self) -> None:
        """Numbers cannot be counted."""
        return

    def at(self, index: int) -> Value:
        """The low end; no other number has a place."""
        assert index == 0, "a stretch cannot be counted"
        return self.low

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        """A number of the stretch, to 12 digits."""
        return min(max(tidy(trial.suggest_float(name, self.low, self.high, log=self.log)), self.low), self.high)

    def distribution(self) -> BaseDistribution:
        """A float distribution."""
        return FloatDistribution(self.low, self.high, log=self.log)

    def parameter(self, value: Any) -> Any:
        """The number itself."""
        return value

    def holds(self, value: object) -> bool:
        """Whether it lies between the ends."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def written(self) -> Any:
        """The ends."""
        return {"log" if self.log else "uniform": [self.low, self.high]}
