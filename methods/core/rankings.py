"""Orders of channels over all layers, and lists made of two of them.

An order names channels by their position among all ranked channels (group, then index), least important first.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction

import torch
from torch import Tensor

__all__ = ["interleaved", "mixed", "order", "places"]


def order(scores: Mapping[str, Tensor]) -> list[int]:
    """Channels by score, the lowest first, equal scores in order of position.

    ``scores`` maps a group to one score per channel, shape (size,). Raises ValueError for a NaN score, naming
    the group.

    >>> order({"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([1.0, 2.0])})
    [1, 2, 3, 0]
    """
    for group, each in scores.items():
        if each.isnan().any():
            raise ValueError(f"the scores of layer {group} hold NaN: are there NaN in its weights?")
    everything = [score for each in scores.values() for score in each.tolist()]
    return sorted(range(len(everything)), key=everything.__getitem__)


def places(merged: Sequence[int], sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Each channel's place in an order of all channels as its score, float64, by group; shape (size,) each.

    >>> places([1, 2, 0], {"a": 1, "b": 2})
    {'a': tensor([2.], dtype=torch.float64), 'b': tensor([0., 1.], dtype=torch.float64)}
    """
    place = torch.empty(len(merged), dtype=torch.float64)
    place[torch.tensor(merged, dtype=torch.int64)] = torch.arange(len(merged), dtype=torch.float64)
    return dict(zip(sizes, torch.split(place, list(sizes.values())), strict=True)) if sizes else {}


def interleaved(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """first₀ second₀ first₁ second₁ …, first occurrences kept: an order again.

    >>> interleaved([2, 0, 1], [2, 1, 0])
    [2, 0, 1]
    """
    return list(dict.fromkeys(itertools.chain.from_iterable(zip(first, second, strict=True))))


def mixed(parameter: Sequence[int], relevance: Sequence[int], *, delta: float | Fraction) -> list[int]:
    """Take a share δ from the relevance order and 1 − δ from the parameter order, first occurrences kept.

    Two accounts start at 0. Each turn the first gains 1 − δ and, once it holds 1, pays for the next of
    ``parameter``; then the second gains δ and pays for the next of ``relevance``. δ in [0, 1] is the decimal that
    was written, and the accounts are exact: floating point gives other lists at .4 and .8. An entry that is in the
    list already is paid for too. The orders hold the same channels, so that the list is complete, an order again,
    when either ends: 0 gives ``parameter``, 1 ``relevance``.

    >>> mixed([0, 1, 2, 3], [3, 2, 1, 0], delta=0.4)
    [0, 3, 1, 2]
    """
    share = delta if isinstance(delta, Fraction) else Fraction(str(delta))
    a = b = Fraction(0)
    taken: list[int] = []
    of_parameter, of_relevance = 0, 0
    while max(of_parameter, of_relevance) < len(parameter):
        a += 1 - share
        if a >= 1:
            taken.append(parameter[of_parameter])
            of_parameter, a = of_parameter + 1, a - 1
        b += share
        if b >= 1:
            taken.append(relevance[of_relevance])
            of_relevance, b = of_relevance + 1, b - 1
    return list(dict.fromkeys(taken))
