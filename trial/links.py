"""A training at a constant rate as a chain of links, each stored, so that shorter trainings lie on the way.

Whatever number of epochs is asked for first, five of them are on the way to ten: links end at the same marks in every
chain, and nothing in a link's key says where its chain ends. What a rate does over other schedules depends on the
total, and such a training is one link.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trial.training import Training

__all__ = ["Link", "links"]


@dataclass(frozen=True)
class Link:
    """The epochs of a training from ``first``, which was done before, to ``last``."""

    first: int
    last: int
    may_go_on: bool
    """Longer trainings go on from here, and need the optimiser's momentum."""


def links(training: Training) -> list[Link]:
    """The links of a training, in order; one at least, even of no epochs.

    >>> from trial.training import Training
    >>> [(link.first, link.last) for link in links(Training(epochs=12, schedule="constant"))]
    [(0, 1), (1, 2), (2, 5), (5, 10), (10, 12)]
    >>> links(Training(epochs=12, schedule="cosine"))
    [Link(first=0, last=12, may_go_on=False)]
    """
    if training.schedule != "constant" or training.epochs == 0:
        return [Link(0, training.epochs, may_go_on=False)]
    chain, first = [], 0
    for mark in _marks():
        last = min(mark, training.epochs)
        # A training that ends between two marks is on nobody's way.
        chain.append(Link(first, last, may_go_on=last == mark))
        if last == training.epochs:
            return chain
        first = last
    raise AssertionError("marks never end")


def _marks() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, 100 …"""
    ten = 1
    while True:
        yield from (ten, 2 * ten, 5 * ten)
        ten *= 10
