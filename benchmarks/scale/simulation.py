"""What measured costs come to on more machines than there are here: a simulation, pure of Ray, torch and clocks.

Workers go round a ring: the driver deals with a trial's end and proposes the next one, the head's processes pass it
on, the worker works, the store takes what it writes. Driver, head and store serve one at a time, in order of arrival;
workers work side by side. What a station takes may depend on how many trials are behind it.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Carried", "Costs", "Pauses", "Ran", "carried", "ring"]

Service = Callable[[int], float]
"""Seconds that a station takes for a trial before which so many were served there."""


@dataclass(frozen=True)
class Pauses:
    """The first station also does other work: after ``every`` seconds, and for a ``share`` of its time at most.

    ``seconds`` is what it takes once so many trials are behind.
    """

    seconds: Service
    every: float
    share: float = 1.0


@dataclass(frozen=True)
class Ran:
    """How so many trials ran: until when, and how busy each station was, as shares of that time."""

    seconds: float
    busy: tuple[float, ...]
    paused: float


def ring(
    workers: int,
    trials: int,
    *,
    work: Service,
    stations: Sequence[Service],
    pauses: Pauses | None = None,
    unseen: int = 0,
    is_spread: bool = False,
) -> Ran:
    """Send ``workers`` round the ring until ``trials`` have ended, after ``unseen`` ones that are not counted.

    A round is every station in turn, the first one first, and then the work, which nobody waits for. Where the workers
    begin spread, it is one after another over the time of one work, as in the middle of a search, else all at once.
    """
    assert workers >= 1
    assert trials >= 1
    gap = work(0) / workers if is_spread else 0.0
    # Time, a number that keeps the order of equals, and the station that is come to; the last is the work's end.
    numbers = itertools.count()
    events = [(worker * gap, next(numbers), 0) for worker in range(workers)]
    free, busy, served = [0.0] * len(stations), [0.0] * len(stations), [0] * len(stations)
    due, paused, ended, now, since = (pauses.every if pauses else math.inf), 0.0, 0, 0.0, 0.0
    while ended < trials + unseen:
        now, _, place = heapq.heappop(events)
        if place > len(stations):
            ended += 1
            place = 0
            if ended == unseen:
                since, paused, busy = now, 0.0, [0.0] * len(stations)
        if place == 0 and pauses is not None and max(free[0], now) >= due:
            took = pauses.seconds(served[0])
            free[0] = max(free[0], now) + took
            paused += took
            due = free[0] + max(pauses.every, took / pauses.share - took)
        if place == len(stations):
            heapq.heappush(events, (now + work(ended), next(numbers), place + 1))
            continue
        took = stations[place](served[place])
        free[place] = max(free[place], now) + took
        busy[place] += took
        served[place] += 1
        heapq.heappush(events, (free[place], next(numbers), place + 1))
    return Ran(now - since, tuple(each / (now - since) for each in busy), paused / (now - since))


@dataclass(frozen=True)
class Costs:
    """What one trial costs each part, in seconds, requests and bytes, as measured."""

    driver: float
    """Of the driver's thread, where a few run at once and none are behind."""
    driver_beside: float
    """More of it for each trial that runs at once."""
    driver_behind: float
    """More of it for each trial that has ended."""
    head: float
    """Of a core, of Ray's processes on the head."""
    head_idle: float
    """Of a core in each second, of the same, whoever is there."""
    head_worker: float
    """Of a core in each second, of the same, for each worker there is."""
    compact: float
    """Of the driver's thread, to compact the rows, whatever their number."""
    compact_row: float
    """More of it for each row."""
    gap: float
    """Between two trials of a worker where nobody else wants anything."""
    reads: float
    writes: float
    """Requests to the store."""
    head_bytes: float
    head_worker_bytes: float
    """Over the head's network, for each trial, and for each worker in each second."""
    store_bytes: float
    """Between a worker and the store."""
    memory: float
    memory_row: float
    """Bytes of the driver: at the start, and for each trial that has ended."""


COMPACT_EVERY, COMPACT_SHARE = 10.0, 0.02
"""As `search.rest` has them."""
REQUEST_SECONDS = 0.03
"""An object store answers a small request so late; a trial's come one after another."""
READS, WRITES = 5_500, 3_500
"""Requests a second that S3 takes for a prefix, says its manual; it spreads one that gets more, after minutes."""
NETWORK = 1.25e9
"""Bytes a second of the head: ten gigabits."""
HEAD_CORES = 4
STRETCHES, SAMPLE = 10, 4_000


def constant(seconds: float) -> Service:
    """A service that takes the same for every trial."""
    return lambda _: seconds


@dataclass(frozen=True)
class Carried:
    """A search at a scale: its trials' share of the workers' time, and how much of each part it takes at its end."""

    hours: float
    efficiency: float
    driver: float
    head: float
    store: float
    network: float
    memory: float


def carried(costs: Costs, *, workers: int, trials: int, seconds: float) -> Carried:
    """What the costs come to where so many workers run ``trials`` of ``seconds`` each.

    Ten samples along the search stand for all of it, since what the driver takes grows with what is behind it.
    """
    requests = REQUEST_SECONDS * (costs.reads + costs.writes)
    # Looks and beats come whether or not trials end; the head's cores serve trials in what they leave.
    background = (costs.head_idle + costs.head_worker * workers) / HEAD_CORES
    left = max(1e-3, 1 - background)
    store = max(costs.reads / READS, costs.writes / WRITES)
    stretch = trials / STRETCHES
    sample = max(SAMPLE, 4 * workers)
    took, busiest, ran = 0.0, 0.0, Ran(1.0, (), 0.0)
    for number in range(STRETCHES):
        behind = (number + 0.5) * stretch
        driver = costs.driver + costs.driver_beside * workers + costs.driver_behind * behind
        pause = costs.compact + costs.compact_row * behind
        ran = ring(
            workers,
            sample,
            work=constant(costs.gap + requests + seconds),
            stations=(constant(driver), constant(costs.head / HEAD_CORES / left), constant(store)),
            unseen=2 * workers,
            is_spread=True,
        )
        # A pause is rarer than a sample is long. As if nobody worked meanwhile: a fiftieth of the time at most.
        lost = pause / max(COMPACT_EVERY, pause / COMPACT_SHARE)
        took += ran.seconds * stretch / sample / (1 - lost)
        busiest = max(busiest, ran.busy[0] * (1 - lost) + lost)
    rate = sample / ran.seconds
    return Carried(
        hours=took / 3600,
        efficiency=trials * seconds / workers / took,
        driver=busiest,
        head=costs.head * rate / HEAD_CORES + background,
        store=store * rate,
        network=(costs.head_bytes * rate + costs.head_worker_bytes * workers) / NETWORK,
        memory=costs.memory + costs.memory_row * trials,
    )
