"""A network's chance of being on the front, given how much its results vary with the seed.

**The law**: what a network would measure if it were trained once more is normally distributed in every objective, with
the mean and the standard deviation (n − 1) of its confirmed seeds, independently of all other networks and of its own
other objectives. The chance is the share of draws in which no other network beats it (Monte Carlo).

Two simplifications are in it. Seeds that networks share make their results vary together, which makes differences safer
than is said here. And a deviation that is known from a few seeds may be well off: with three it is between .52 and 6.3
times what was found, in 95 % of cases.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.pareto import Direction, directions
from analysis.schema import CONFIRMED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LAW", "Result", "chances", "results"]

LAW = (
    "chance of being on the front if all were trained once more: each objective normal with the mean and deviation of "
    "its seeds, networks independent"
)
DRAWS = 10_000
"""The standard error of a chance is at most .005."""
AT_ONCE = 4_000_000
"""So many comparisons are held in memory at once."""
TESTED = {"val_accuracy": "test_accuracy", "val_loss": "test_loss"}
"""What stands for a measure that was selected for."""


@dataclass(frozen=True)
class Result:
    """The confirmed results of a trial: over seeds, on the test images."""

    trial: str
    method: str
    ratio: float | None
    seeds: int
    measures: tuple[str, ...]
    """The objectives as they are confirmed: test_accuracy for val_accuracy."""
    means: tuple[float, ...]
    stds: tuple[float, ...] | None
    """None where there is one seed only."""
    chance: float | None = None
    """Of being on the front of all tested trials; None where this, or no other trial, has a deviation."""


def results(lines: Sequence[Mapping[str, Any]], objectives: Sequence[str], *, seed: int = 0) -> list[Result]:
    """What is known of each trial that was confirmed by training it anew, in the order of the lines.

    Only complete lines count that were tested on the images that most lines were tested on. A trial with one seed has
    no chance, since it has no deviation, and takes no part in those of the others.

    Args:
        lines: Those of one study's ``confirmed.parquet``.
        objectives: Measures; the test images' accuracy and loss stand for those of the validation images, and what is
            not measured of every trained network is left out.
        seed: Of the draws.
    """
    import numpy as np

    columns = {column.name for column in CONFIRMED}
    named = [name for name in objectives if TESTED.get(name, name) in columns]
    measures = tuple(TESTED.get(name, name) for name in named)
    better = directions(named)
    usable = [
        line
        for line in lines
        if line["state"] == "complete" and not line["as_trained"] and all(line[name] is not None for name in measures)
    ]
    if not usable or not measures:
        return []
    images = Counter(line["test_data"] for line in usable).most_common(1)[0][0]
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for line in usable:
        if line["test_data"] == images:
            runs.setdefault(line["trial"], []).append(line)
    spread = [trial for trial, own in runs.items() if len(own) > 1]
    values = {trial: [[float(line[name]) for line in own] for name in measures] for trial, own in runs.items()}
    means = {trial: tuple(map(statistics.fmean, own)) for trial, own in values.items()}
    stds = {trial: tuple(map(statistics.stdev, values[trial])) for trial in spread}
    known: dict[str, float] = {}
    if len(spread) > 1:
        among = np.array([means[trial] for trial in spread]), np.array([stds[trial] for trial in spread])
        known = dict(zip(spread, chances(*among, better, seed=seed).tolist(), strict=True))
    return [
        Result(
            trial=trial,
            method=own[0]["method"],
            ratio=own[0]["ratio"],
            seeds=len(own),
            measures=measures,
            means=means[trial],
            stds=stds.get(trial),
            chance=known.get(trial),
        )
        for trial, own in runs.items()
    ]


def chances(
    means: NDArray[np.float64],
    stds: NDArray[np.float64],
    better: Sequence[Direction],
    /,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """For each network the chance that no other one beats it, under the law of this module.

    Of two networks, the second the dearer one for sure, the first is always on the front, and the second with the
    chance Φ((μ₂ − μ₁) / √(σ₁² + σ₂²)), Φ the normal distribution.

    Args:
        means: Shape (networks, objectives), each column in its measure's own unit, finite.
        stds: The same shape, ≥ 0; 0 is a constant.
        better: For each objective which way is better.
        draws: How often all networks are drawn, ≥ 1.
        seed: Of the draws.
    """
    import numpy as np

    assert means.shape == stds.shape, "each mean has a deviation"
    assert means.shape[1] == len(better), "each objective has a direction"
    signs = np.array([1.0 if direction == "higher" else -1.0 for direction in better])
    chance = np.random.default_rng(seed)
    together = max(1, AT_ONCE // max(1, len(means) ** 2))
    kept = np.zeros(len(means), dtype=np.int64)
    for start in range(0, draws, together):
        size = (min(together, draws - start), *means.shape)
        drawn = signs * chance.normal(means, stds, size)
        first, second = drawn[:, :, None, :], drawn[:, None, :, :]
        beats = np.logical_and(np.all(second >= first, axis=3), np.any(second > first, axis=3))
        kept += np.sum(~np.any(beats, axis=2), axis=0)
    found: NDArray[np.float64] = kept / draws
    return found
