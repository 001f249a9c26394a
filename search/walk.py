"""Every recipe of a space that can be counted, once: the order of the grid sampler."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from analysis.errors import WrongInput
from search.space import Branch, Flat, Space

__all__ = ["check_countable", "walk"]

_GOLDEN = (math.sqrt(5) - 1) / 2


def walk(space: Space, *, seed: int) -> Iterator[Flat]:
    """Every recipe once; wherever it is interrupted, what it has visited lies evenly over the methods and their knobs.

    From a place that the seed decides on in steps of about .618 of the space's size, a number that shares no factor
    with the size: no order has to be kept in memory, however large the space is.
    """
    size = space.size
    assert size is not None, "a continuous space has no order"
    start = random.Random(seed).randrange(size)
    stride = max(1, round(_GOLDEN * size))
    while math.gcd(stride, size) != 1:
        stride += 1
    return (space.at((start + place * stride) % size) for place in range(size))


def check_countable(space: Space, *, where: str) -> None:
    """Raise WrongInput that names the continuous knobs: a grid has none. ``where`` is the place of the methods."""
    continuous = list(_continuous(space.methods))
    if continuous:
        named = ", ".join(continuous[:4]) + (f" and {len(continuous) - 4} more" if len(continuous) > 4 else "")
        verb = "is" if len(continuous) == 1 else "are"
        knob = continuous[0].rpartition(".")[2]
        raise WrongInput(
            f"the grid sampler tries every recipe, and {named} {verb} continuous: give a list such as "
            f"{knob}: [.001, .01, .1], or {{uniform: [low, high], step: …}} ({where}.{continuous[0]})"
        )


def _continuous(branch: Branch) -> Iterator[str]:
    """The continuous knobs, each by its path in a spec."""
    for option, group in branch.options.items():
        for name, searched in group.knobs.items():
            if isinstance(searched, Branch):
                yield from (f"{option}.{name}.{path}" for path in _continuous(searched))
            elif searched.size is None:
                yield f"{option}.{name}"
