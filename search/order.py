"""Which of the proposed recipes is run next: nobody waits for a network that somebody else is making.

Recipes with the same penalty start from the same network, trained with it, and whoever is first trains it. Another
worker would wait for it; so those recipes are held back, and others are asked for, until it is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Order", "Proposal"]


@dataclass(frozen=True)
class Proposal:
    """A recipe that is to be run, by the number that the sampler knows it by."""

    number: int
    recipe: dict[str, Any]
    parent: str | None
    """Names the network that it shares with other recipes, None where it starts from the dense one."""
    past: int = -1
    """The rung that it has been let past already, in epochs of recovery."""


class Order:
    """The proposals that wait. ``made`` are the parents that are there already; pure, and the same calls give the same.

    >>> order = Order()
    >>> for number, parent in enumerate(["l1", "l1", "tl1", None]):
    ...     order.add(Proposal(number, {}, parent))
    >>> [order.take().number for _ in range(3)]  # the parent that most wait for, then whatever waits for nobody
    [0, 2, 3]
    >>> order.take() is None, len(order)
    (True, 1)
    >>> order.made("l1")
    >>> order.take().number
    1
    """

    def __init__(self, made: Iterable[str] = ()) -> None:
        self._made = set(made)
        self._making: set[str] = set()
        self._waiting: list[Proposal] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, proposal: Proposal) -> None:
        """Let a proposal wait for its turn."""
        self._waiting.append(proposal)

    def take(self) -> Proposal | None:
        """Take the next one away; None where all that wait, if any do, wait for a network that is being made.

        Parents come first, the one with the most children before the others: the sooner it is there, the more there
        is to do for everyone. Else the first that came.
        """
        children = Counter(each.parent for each in self._waiting if self._is_unmade(each.parent))
        several = [parent for parent, count in children.most_common() if count > 1]
        for parent in (*several, None):
            for each in self._waiting:
                if each.parent == parent if parent is not None else each.parent not in self._making:
                    self._waiting.remove(each)
                    if self._is_unmade(each.parent):
                        self._making.add(str(each.parent))
                    return each
        return None

    def made(self, parent: str) -> None:
        """Note that a parent is there."""
        self._making.discard(parent)
        self._made.add(parent)

    def ended(self, proposal: Proposal) -> None:
        """Note that a proposal is no longer run: whoever comes next makes its parent, if it did not."""
        if proposal.parent is not None:
            self._making.discard(proposal.parent)

    def _is_unmade(self, parent: str | None) -> bool:
        return parent is not None and parent not in self._made and parent not in self._making
