"""Learning rates over a training."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["Schedule", "rate_at"]

Schedule = Literal["one-cycle", "cosine", "step", "constant"]

WARM_UP = 0.3
"""Share of the steps in which one-cycle rises."""
FIRST = 1 / 25
"""One-cycle's first rate, of the highest."""
LAST = FIRST / 1e4
"""One-cycle's last rate, of the highest."""


def rate_at(schedule: Schedule, step: int, *, steps: int, rate: float) -> float:
    """The learning rate of a step.

    one-cycle   cosine from rate/25 up to rate at step .3·n − 1, cosine down to rate/250,000 at the last
                                                            [Smith 2019; as torch's OneCycleLR]
    cosine      rate·(1 + cos(π·t/n))/2                     [Loshchilov 2017, eq. 5]
    step        rate, a tenth of it from n/2 on, a hundredth from 3n/4 on
    constant    rate

    Args:
        schedule: Its shape.
        step: t, from 0 to n − 1.
        steps: n ≥ 1.
        rate: The highest rate.
    """
    assert 0 <= step < steps
    match schedule:
        case "one-cycle":
            return rate * _one_cycle(step, steps=steps)
        case "cosine":
            return rate * (1 + math.cos(math.pi * step / steps)) / 2
        case "step":
            return rate / (100 if 4 * step >= 3 * steps else 10 if 2 * step >= steps else 1)
        case "constant":
            return rate


def _one_cycle(step: int, *, steps: int) -> float:
    top = WARM_UP * steps - 1
    if step <= top:
        return _cosine(FIRST, 1.0, step / top if top > 0 else 1.0)
    # Where there are fewer than four steps nothing rises, and the fall begins at the first.
    top = max(top, 0.0)
    return _cosine(1.0, LAST, (step - top) / (steps - 1 - top) if steps > 1 else 0.0)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
