"""Early stopping judged on recorded curves: how much of the front it keeps, and for how many epochs of recovery.

Curves of trials that ran to their end are played again in shuffled orders of arrival. What is reported at a rung
is what the trial had there; a trial that is stopped costs the epochs until then and is not on the front.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.indicators import Scale, hypervolume
from search.rungs import Rungs
from search.waiting import Verdict, Waiting

RECORDED = Path(__file__).parents[1] / "tests" / "search" / "curves.parquet"
OBJECTIVES = ("val_accuracy", "macs")
EPOCHS = (1, 4, 16)
FACTORS = (4, 8)
HIGHEST_RATES = (0.01, math.inf)
"""Curves at constant rates above a hundredth swing from epoch to epoch, so that their rungs say less of their ends."""
SHUFFLES = 40
WORKERS = (1, 4, 16)

RIVALS = {
    "random": "stopping at random",
    "fewer": "on fewer trials, drawn by lot, each run to its end",
    "macs": "ranking by MACs alone",
    "accuracy": "ranking by accuracy alone",
}


class Judge(Protocol):
    """What becomes of trials at their rungs, as `search.waiting.Waiting` has it."""

    def report(self, trial: str, epoch: int, values: Mapping[str, float | None]) -> Verdict:
        """What becomes of a trial that has reached a rung."""
        ...

    def next(self, *, is_idle: bool) -> tuple[str, Verdict] | None:
        """What becomes of one that waits."""
        ...


def figures() -> Iterator[str]:
    """What rungs keep and cost, on one worker and on several, beside rivals that take as many epochs."""
    if not RECORDED.exists():
        yield f"no curves at {RECORDED.name}: `python -m tests.search.record_curves STUDY {RECORDED.name}` makes them"
        return
    rungs = ", ".join(map(str, EPOCHS))
    for rate in HIGHEST_RATES:
        curves = Curves.read(highest_rate=rate)
        whose = f"{len(curves)} curves{f' at rates to {rate:g}' if rate < math.inf else ''}"
        yield f"{whose}: {EPOCHS[-1]} epochs, rungs {rungs}, {SHUFFLES} shuffles"
        for factor in FACTORS:
            halving = (
                sum((end - begin) / factor**n for n, (begin, end) in enumerate(pairwise((0, *EPOCHS)))) / EPOCHS[-1]
            )
            for workers in WORKERS:
                found = judge(curves, factor=factor, workers=workers)
                said = f"{whose}, factor {factor}, {workers} workers"
                yield (
                    f"{said}: {_spread(found.rungs)} of the full hypervolume (target .995) "
                    f"with {_spread(found.epochs)} of the epochs (target .2; halving alone {halving:.3f})"
                )
                for name, shares in found.rivals.items():
                    yield f"{said}, as many epochs {RIVALS[name]}: {_spread(shares)}"


def _spread(shares: Sequence[float]) -> str:
    return f"{statistics.mean(shares):.4f} ± {statistics.stdev(shares):.4f} ({min(shares):.4f} to {max(shares):.4f})"


@dataclass(frozen=True)
class Curves:
    """Trials that ran to the end: ``accuracy`` has shape (trials, epochs + 1), epoch 0 first; ``macs`` (trials,)."""

    accuracy: NDArray[np.float64]
    macs: NDArray[np.float64]
    dense_macs: float
    classes: int

    @classmethod
    def read(cls, path: Path = RECORDED, *, highest_rate: float = math.inf) -> Curves:
        """The recorded curves of recoveries at rates to the highest, trials in the order of their names."""
        import pyarrow.parquet as pq

        table = pq.read_table(path).sort_by([("trial", "ascending"), ("epoch", "ascending")])
        if highest_rate < math.inf:
            rates = [json.loads(knobs)["recovery_rate"] for knobs in table["knobs"].to_pylist()]
            table = table.filter([rate <= highest_rate for rate in rates])
        epochs = max(table["epoch"].to_pylist()) + 1
        accuracy = np.array(table["val_accuracy"].to_pylist(), dtype=np.float64).reshape(-1, epochs)
        macs = np.array(table["macs"].to_pylist(), dtype=np.float64).reshape(-1, epochs)[:, 0]
        told = table.schema.metadata
        return cls(accuracy, macs, dense_macs=float(told[b"dense_macs"]), classes=int(told[b"classes"]))

    def __len__(self) -> int:
        return len(self.macs)

    def hypervolume(self, trials: Sequence[int]) -> float:
        """Of the trials' networks at their end."""
        chosen = list(trials)
        values = np.column_stack([self.accuracy[chosen, -1], self.macs[chosen]])
        return hypervolume(values, [Scale(1 / self.classes, 1.0), Scale(self.dense_macs, 0.0)])


@dataclass(frozen=True)
class Played:
    """What one search left: trials that reached the end, how many reached each rung, epochs of recovery in all."""

    finished: tuple[int, ...]
    reached: tuple[int, ...]
    epochs: int


def play(
    curves: Curves,
    judge: Judge,
    *,
    order: Sequence[int],
    workers: int = 1,
    epochs: Sequence[int] = EPOCHS,
    paces: Sequence[float] | None = None,
) -> Played:
    """Run all trials in ``order`` on so many workers, an epoch of trial i taking ``paces[i]`` (1 without paces)."""
    new = list(reversed(order))
    at_rungs: dict[str, tuple[int, int]] = {}
    under_way: list[tuple[float, int, int]] = []  # when it reaches its next rung, trial, which rung
    reached, finished = [0] * len(epochs), []

    def take_up_one(now: float) -> None:
        if not go_on(now, is_idle=False):
            if new:
                go_to_rung(new.pop(), 0, now)
            else:
                go_on(now, is_idle=True)

    def go_on(now: float, *, is_idle: bool) -> bool:
        while (settled := judge.next(is_idle=is_idle)) is not None:
            trial, rung = at_rungs.pop(settled[0])
            if settled[1] == "goes on":
                go_to_rung(trial, rung + 1, now)
                return True
        return False

    def go_to_rung(trial: int, rung: int, now: float) -> None:
        done = epochs[rung - 1] if rung else 0
        seconds = (epochs[rung] - done) * (paces[trial] if paces is not None else 1.0)
        heapq.heappush(under_way, (now + seconds, trial, rung))

    for _ in range(workers):
        take_up_one(0.0)
    while under_way:
        now, trial, rung = heapq.heappop(under_way)
        reached[rung] += 1
        name = f"{trial:016x}"
        values = {"val_accuracy": float(curves.accuracy[trial, epochs[rung]]), "macs": float(curves.macs[trial])}
        verdict = judge.report(name, epochs[rung], values)
        if rung + 1 == len(epochs):
            finished.append(trial)
        elif verdict == "goes on":
            go_to_rung(trial, rung + 1, now)
            continue
        elif verdict == "waits":
            at_rungs[name] = trial, rung
        # Whoever is idle may be wanted by what has been reported now.
        for _ in range(workers - len(under_way)):
            take_up_one(now)
    spent = sum(count * (end - begin) for count, end, begin in zip(reached, epochs, (0, *epochs[:-1]), strict=True))
    return Played(tuple(finished), tuple(reached), spent)


def at_random(curves: Curves, reached: Sequence[int], *, chance: random.Random) -> list[int]:
    """Who is left where as many go on at each rung, drawn by lot."""
    left = list(range(len(curves)))
    for count in reached[1:]:
        left = chance.sample(left, count)
    return left


def by_macs(curves: Curves, reached: Sequence[int]) -> list[int]:
    """Who is left where as many go on at each rung, always the cheapest."""
    return [int(trial) for trial in np.argsort(curves.macs, kind="stable")[: reached[-1]]]


def by_accuracy(curves: Curves, reached: Sequence[int], *, epochs: Sequence[int] = EPOCHS) -> list[int]:
    """Who is left where as many go on at each rung, always the most accurate there."""
    left = list(range(len(curves)))
    for epoch, count in zip(epochs, reached[1:], strict=False):
        left = sorted(left, key=lambda trial: -curves.accuracy[trial, epoch])[:count]
    return left


@dataclass(frozen=True)
class Judged:
    """Per shuffle: the share of the full hypervolume that rungs and rivals keep, and of all epochs that they take."""

    rungs: list[float]
    epochs: list[float]
    rivals: dict[str, list[float]]


def judge(curves: Curves, *, factor: float, shuffles: int = SHUFFLES, workers: int = 1) -> Judged:
    """Play the curves in shuffled orders, and rivals that let as many trials past each rung, so take as many epochs.

    With several workers an epoch's pace is drawn for each trial between half and three halves.
    """
    full = curves.hypervolume(range(len(curves)))
    found = Judged([], [], {name: [] for name in RIVALS})
    for seed in range(shuffles):
        chance = random.Random(seed)
        order = chance.sample(range(len(curves)), len(curves))
        paces = [chance.uniform(0.5, 1.5) for _ in order] if workers > 1 else None
        judge = Waiting(Rungs(OBJECTIVES, EPOCHS, factor))
        played = play(curves, judge, order=order, workers=workers, paces=paces)
        found.rungs.append(curves.hypervolume(played.finished) / full)
        found.epochs.append(played.epochs / (len(curves) * EPOCHS[-1]))
        rivals = {
            "random": at_random(curves, played.reached, chance=chance),
            "fewer": chance.sample(order, round(played.epochs / EPOCHS[-1])),
            "macs": by_macs(curves, played.reached),
            "accuracy": by_accuracy(curves, played.reached),
        }
        for name, left in rivals.items():
            found.rivals[name].append(curves.hypervolume(left) / full)
    return found
