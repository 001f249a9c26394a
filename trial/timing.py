"""Programs timed in turn, and what is said of one program's times: nothing here knows what it times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["ROUNDS", "RUNS", "WARM_UP", "Spread", "in_turn", "spread"]

WARM_UP = 5
"""Runs before the first that counts, in every round: caches and clocks forget a program while another runs."""
RUNS = 100
"""Runs that count, of all rounds together, at least."""
ROUNDS = 10
"""Even, so that every program is as often before the others as behind them (see `in_turn`); many, since what disturbs
a busy machine for a moment would else hit all runs of one small program."""

Program = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """What is said of the times of one program, in the unit of the times."""

    median: float
    p10: float
    """The 10th percentile: what it takes where little else disturbs it."""
    mean: float
    std: float
    """Of the runs, n − 1: not of the mean."""


def spread(times: Sequence[float]) -> Spread:
    """Median, 10th percentile, mean and standard deviation of at least two times.

    With t_1 ≤ … ≤ t_n the q-quantile is t_k + (h − k)(t_{k+1} − t_k), h = 1 + q(n − 1), k = ⌊h⌋ [Hyndman 1996, type 7].

    >>> spread([4.0, 1.0, 3.0, 2.0, 5.0]).p10
    1.4
    """
    import numpy as np

    assert len(times) > 1, "one time has no standard deviation"
    median, p10 = np.quantile(times, [0.5, 0.1])
    return Spread(float(median), float(p10), float(np.mean(times)), float(np.std(times, ddof=1)))


def in_turn(
    programs: Mapping[str, Callable[[], Program]],
    *,
    runs: int = RUNS,
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time programs in rounds, so that whatever drifts meanwhile hits all of them alike.

    Every round opens each program, runs it ``warm_up`` times untimed and then ⌈runs / rounds⌉ times, each for itself,
    and drops it: no two are open at once, and threads of one do not wait beside another. Every second round goes
    backwards: the mean place of all programs is the same, and a steady drift adds the same to each one's mean.

    Args:
        programs: Name → what opens the program, which is not timed: read a file, start its threads.
        runs: Timed runs of each program in all rounds together, ≥ 2.
        rounds: How often each has its turn, even.
        warm_up: Untimed runs at the begin of every turn.
        clock: Seconds, monotonic.

    Returns:
        Name → seconds of each of its runs, in their order.
    """
    assert rounds % 2 == 0, "backwards as often as forwards"
    names = list(programs)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in reversed(names) if number % 2 else names:
            program = programs[name]()
            for _ in range(warm_up):
                program()
            for _ in range(-(-runs // rounds)):
                start = clock()
                program()
                found[name].append(clock() - start)
    return found
