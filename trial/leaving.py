"""A trial that leaves its machine, which is about to be taken away: after the epoch that runs, and with nothing lost.

What the training has learned by then is stored as any link of it is (`trial.links`). Another machine takes the trial up
and is told where it left: one link ends there, and is found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trial.store import Product

__all__ = ["NO_MARKS", "EndedEarly", "Leaves", "Left", "Marks", "stays"]

Leaves = Callable[[], bool]
"""Asked at the end of each epoch whether the machine is about to be taken away."""

Marks = Mapping[str, Collection[int]]
"""Epochs after which a training, named by its key, was left."""

NO_MARKS: Marks = MappingProxyType({})


def stays() -> bool:
    """Nobody takes this machine away."""
    return False


class EndedEarly(Exception):
    """A part of a training was left after ``epoch`` with what it had learned."""

    def __init__(self, product: Product, epoch: int) -> None:
        super().__init__(epoch)
        self.product = product
        self.epoch = epoch


class Left(Exception):
    """A trial was left: ``epoch`` of the training with this key is stored, and is no failure of the trial's."""

    def __init__(self, training: str, epoch: int) -> None:
        super().__init__(training, epoch)
        self.training = training
        self.epoch = epoch
