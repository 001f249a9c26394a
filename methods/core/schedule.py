"""The ratio at each round: at once, in equal steps, or along a cubic that slows down."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from methods.core.knobs import Uniform, Whole

__all__ = ["OneShot", "Polynomial", "Schedule", "Stepwise"]

_ROUNDS = Whole(1, 100, grid=(2, 3, 5, 10))


def _exact(number: float) -> Fraction:
    """The decimal that was written."""
    return Fraction(str(number))


@dataclass(frozen=True, kw_only=True)
class OneShot:
    """One cut at the ratio itself."""

    def ratios(self, ratio: float) -> tuple[Fraction, ...]:
        """The ratio."""
        return (_exact(ratio),)


@dataclass(frozen=True, kw_only=True)
class Stepwise:
    """Rounds t = 1 … n at r·t/n, recovery after each [Han 2015, §3.3; Li 2017, §3.4]."""

    rounds: Annotated[int, _ROUNDS]

    def ratios(self, ratio: float) -> tuple[Fraction, ...]:
        """r·t/n for t = 1 … n, exactly."""
        return tuple(_exact(ratio) * t / self.rounds for t in range(1, self.rounds + 1))


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """Rounds t = 0 … n at s_t = s_f + (s_i − s_f)(1 − t/n)³, recovery after each [Zhu 2018, eq. 1].

    s_f is the ratio and s_i is ``initial``, or the ratio where that is smaller. A first cut of nothing is left out,
    so that from 0 there are ``rounds`` cuts, and from .5 one more.
    """

    rounds: Annotated[int, _ROUNDS]
    initial: Annotated[float, Uniform(0.0, 0.9, grid=(0.0, 0.5))] = 0.0

    def ratios(self, ratio: float) -> tuple[Fraction, ...]:
        """s_t for t = 0 … n, exactly, and never falling."""
        final = _exact(ratio)
        initial = min(_exact(self.initial), final)
        first = 0 if initial else 1
        return tuple(
            final + (initial - final) * (1 - Fraction(t, self.rounds)) ** 3 for t in range(first, self.rounds + 1)
        )


Schedule = OneShot | Stepwise | Polynomial
