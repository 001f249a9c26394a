"""A training as a chain of links, each stored: what a killed worker had done is not done again.

A training at a constant rate has links at the same marks whatever its length, so that shorter trainings lie on its
way: five of ten epochs are the five of five. What a rate does over other schedules depends on the total.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from trial.training import Training

__all__ = ["Link", "links"]


@dataclass(frozen=True)
class Link:
    """The epochs of a training from ``first``, which was done before, to ``last``."""

    first: int
    last: int
    may_go_on: bool
    """Somebody may train on from here, and needs the optimiser's momentum."""


def links(
    training: Training, *, ends: Collection[int] = (), every: int | None = None, is_shared: bool = True
) -> list[Link]:
    """The links of a training, in order; one at least, even of no epochs.

    Args:
        training: Its epochs and schedule.
        ends: Epochs after which a link is to end; those outside of the training are left out.
        every: No link is longer than so many epochs, counted from the first, None for any length.
        is_shared: Others may ask for more or fewer epochs of the same training at a constant rate.

    >>> from trial.training import Training
    >>> [(link.first, link.last) for link in links(Training(epochs=12, schedule="constant"))]
    [(0, 1), (1, 2), (2, 5), (5, 10), (10, 12)]
    >>> links(Training(epochs=12, schedule="cosine"))
    [Link(first=0, last=12, may_go_on=False)]
    >>> [link.last for link in links(Training(epochs=16, schedule="cosine"), ends=(1, 4, 16), every=10)]
    [1, 4, 10, 16]
    """
    total = training.epochs
    shared = set(_marks(total)) if is_shared and training.schedule == "constant" else set()
    inside = {end for end in (*shared, *ends, *range(every or total, total, every or 1)) if 0 < end < total}
    marks = [0, *sorted(inside), total]
    # A training that ends between two shared marks is on nobody's way.
    return [Link(first, last, may_go_on=last < total or last in shared) for first, last in pairwise(marks)]


def _marks(most: int) -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, 100 … up to ``most``."""
    ten = 1
    while ten <= most:
        yield from (mark for mark in (ten, 2 * ten, 5 * ten) if mark <= most)
        ten *= 10
