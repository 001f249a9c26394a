"""What a few repeats allow to say: bootstrap intervals of a mean, and whether one group beats another.

Repeats are resampled whole and with replacement, each group by itself; 95 % intervals are percentile intervals [Efron &
Tibshirani 1993, §13.3]. Of few repeats they are too narrow, and two groups of two that do not overlap would always seem
to differ; so nothing is called better unless an exact test of the labels agrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Interval", "Superiority", "interval", "smallest_p", "superiority"]

DRAWS = 10_000
LABELS = 20_000
"""Ways to label the repeats up to which all are looked at; where there are more, so many are drawn."""
LEVEL = 0.05
ENDS = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A mean over repeats and its 95 % bootstrap interval, which one repeat does not have."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Superiority:
    """How one group of repeats does against another."""

    probability: float
    """That a repeat of the first, drawn at random, is better than one of the second, equal ones counting half."""
    low: float | None
    high: float | None
    """The 95 % bootstrap interval; None where either group has one repeat."""
    p: float
    """Two-sided, of the permutation test: how often labels at random are as far from ½ as these."""
    labels_drawn: int = 0
    """How many labels were drawn for it; 0 where all were looked at, which makes the test exact."""

    @property
    def is_exact(self) -> bool:
        """Whether all labels were looked at."""
        return self.labels_drawn == 0

    def verdict(self, *, pairs: int = 1) -> int:
        """1 where the first is better, −1 where the second is, 0 where nothing can be said.

        Better is what the interval, without ½ in it, and the test at the level .05 / ``pairs`` [Bonferroni] both say.
        """
        if self.low is None or self.high is None or self.p > LEVEL / pairs:
            return 0
        return 1 if self.low > 0.5 else -1 if self.high < 0.5 else 0


def interval(values: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The mean of one number per repeat, at least one, and its bootstrap interval."""
    import numpy as np

    numbers = np.asarray(values, dtype=np.float64)
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return Interval(mean, None, None)
    drawn = _weights(len(numbers), draws, np.random.default_rng(seed)) @ numbers
    low, high = np.percentile(drawn, ENDS, method="inverted_cdf")
    return Interval(mean, float(low), float(high))


def superiority(first: Sequence[float], second: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> Superiority:
    """How likely a repeat of ``first`` is better than one of ``second``; larger numbers are better.

    The probability is the share of pairs, one of each, that the first wins: Â of [Vargha & Delaney 2000], or the
    Mann-Whitney statistic by the number of pairs.
    """
    import numpy as np

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    chance = np.random.default_rng(seed)
    wins = _wins(a, b)
    low = high = None
    if len(a) > 1 and len(b) > 1:
        drawn = ((_weights(len(a), draws, chance) @ wins) * _weights(len(b), draws, chance)).sum(axis=1)
        low, high = (float(end) for end in np.percentile(drawn, ENDS, method="inverted_cdf"))
    labels_drawn = LABELS if math.comb(len(a) + len(b), len(a)) > LABELS else 0
    return Superiority(float(wins.mean()), low, high, _p(a, b, chance, labels_drawn=labels_drawn), labels_drawn)


def smallest_p(first: int, second: int) -> float:
    """The least that the test can give for so many repeats: that of groups without any overlap.

    >>> round(smallest_p(3, 3), 3), round(smallest_p(4, 4), 3)
    (0.1, 0.029)
    """
    return min(1.0, 2 / math.comb(first + second, first))


def _wins(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each pair 1 where the first wins, ½ where they are equal."""
    import numpy as np

    return np.heaviside(a[:, None] - b[None, :], 0.5)


def _weights(repeats: int, draws: int, chance: np.random.Generator) -> NDArray[np.float64]:
    """Shape (draws, repeats): which share of a resample each repeat is."""
    import numpy as np

    shares: NDArray[np.float64] = chance.multinomial(repeats, np.full(repeats, 1 / repeats), size=draws) / repeats
    return shares


def _p(a: NDArray[np.float64], b: NDArray[np.float64], chance: np.random.Generator, *, labels_drawn: int) -> float:
    import numpy as np

    together = np.concatenate([a, b])
    wins = _wins(together, together)
    found = abs(float(_wins(a, b).mean()) - 0.5)

    def is_as_far(labelled: Sequence[int]) -> bool:
        of_first = np.zeros(len(together), dtype=np.bool_)
        of_first[list(labelled)] = True
        return abs(float(wins[of_first][:, ~of_first].mean()) - 0.5) >= found - 1e-12

    if labels_drawn == 0:
        every = [is_as_far(labelled) for labelled in combinations(range(len(together)), len(a))]
        return sum(every) / len(every)
    drawn = [is_as_far(chance.permutation(len(together))[: len(a)].tolist()) for _ in range(labels_drawn)]
    return (1 + sum(drawn)) / (1 + labels_drawn)  # the labels as they are count too, so that no p is 0
