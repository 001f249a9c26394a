"""What distribution costs, measured on four machines that are namespaces of this one, and carried to a thousand GPUs.

``python -m benchmarks scale`` takes some five minutes of a quiet machine with two cores; Linux, as root, with sshd and
iproute2, since it makes network namespaces. Trials sleep, so that efficiency is not that of two cores.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

from benchmarks.scale.cluster import NODES, Machines, Taken, machines
from benchmarks.scale.page import costs_told, moves, scales
from benchmarks.scale.simulation import Costs
from tests.search.hosts import SHARED, why_not

SECONDS, LONG_SECONDS = 2.0, 8.0
TRIALS = 11
"""For each worker."""
LONG_TRIALS = 4
REAL = 20
IDLE_SECONDS = 8.0
TARGET = 0.95
LIMIT = 400.0
OF_TRIALS = ("/rows/", "/curves/", "/stages/", "/epochs/")
REAL_SPEC = {
    "network": {"name": "seed-cnn", "width": 0.0625},
    "data": {"name": "digits", "images": 200, "validation": 40},
    "dense": {"epochs": 1},
    "recovery": {"epochs": 1},
    "numerics": {"precision": "float32", "layout": "contiguous", "threads": 1, "dense_threads": 1},
    "search": {
        "methods": {"filter-l1": {"ratio": "any"}, "fpgm": {"ratio": "any"}, "magnitude-global": {"ratio": "any"}},
        "objectives": ["val_accuracy", "macs"],
        "trials": REAL,
    },
    "workers": len(NODES),
}


def figures() -> Iterator[str]:
    """Efficiency, network, storage and head at four nodes; then what the simulation makes of them."""
    reason = why_not()
    if reason:
        yield f"not measured here: {reason}"
        return
    with machines() as found:
        idle = _idle(found)
        searches: dict[int, Searched] = {}
        for workers in (1, 2, 4):
            searches[workers] = each = _searched(found, workers, SECONDS, TRIALS)
            yield (
                f"{workers} workers, trials of {SECONDS:g} s: efficiency {each.steady:.3f} once all work (target "
                f"{TARGET}), {each.first_to_last:.3f} from the first trial's start to the last one's end, "
                f"{each.whole:.3f} with the start of driver and workers ({each.started:.0f} s); "
                f"{1000 * each.gap:.0f} ms between two trials of a worker"
            )
        long = _searched(found, 4, LONG_SECONDS, LONG_TRIALS)
        real = _real(found)
    loop = _loop()
    per_trial, per_second = split(searches[4], long)
    yield _network(per_trial, per_second, idle)
    yield _head(per_trial, per_second, searches[4], idle)
    yield real.told
    yield loop.told
    costs = _costs(per_trial, per_second, idle, searches[4], real, loop)
    yield "costs: " + costs_told(costs)
    for title, *rows in (scales(costs), moves(costs)):
        for row in rows:
            yield "simulated: " + ", ".join(f"{name} {said}" for name, said in zip(title, row, strict=True))


@dataclass(frozen=True)
class Searched:
    """One search of sleeping trials."""

    steady: float
    first_to_last: float
    whole: float
    started: float
    """Seconds from the program's first line to the first trial's start."""
    gap: float
    rate: float
    """Trials a second while network and processors were looked at."""
    network: dict[str, float]
    """Bytes a second, by machine."""
    cpu: dict[str, float]
    """Cores, by kind of the head's process."""
    memory: Counter[str]
    """Megabytes of the same at the end."""


def _idle(found: Machines) -> Searched:
    """The cluster while nobody searches."""
    before = found.taken()
    time.sleep(IDLE_SECONDS)
    network, cpu = _rates(before, found.taken(), IDLE_SECONDS)
    return Searched(0, 0, 0, 0, 0, 0, network, cpu, found.memory())


def _searched(found: Machines, workers: int, seconds: float, each: int) -> Searched:
    """Run a search on so many workers, and look at it from when all work until the first has nothing left."""
    name = f"{SHARED}/sleeping-{workers}-{seconds:g}"
    study, trials = found.here(name), workers * each
    options = {"address": found.address, "workers": workers, "trials": trials, "seconds": seconds}
    words = [f"--{key}={value}" for key, value in options.items()]
    process = Popen(found.command("head", "python", "-m", "benchmarks.scale.sleeping", name, *words), stdout=DEVNULL)
    # The dense network has a row too.
    _wait(lambda: _count(study) > 1 + workers, process)
    before, since, first = found.taken(), time.monotonic(), _count(study)
    _wait(lambda: _count(study) > trials - workers, process)
    after, took, last = found.taken(), time.monotonic() - since, _count(study)
    memory = found.memory()
    if process.wait(LIMIT):
        raise RuntimeError("a search failed: see above")
    network, cpu = _rates(before, after, took)
    said = json.loads((study / "took.json").read_text())
    spans = _spans(study)
    starts = [start for worker in spans.values() for start, _ in worker]
    ends = [end for worker in spans.values() for _, end in worker]
    assert len(spans) == workers, f"{len(spans)} workers ran trials, and {workers} were asked for"
    gaps = [start - end for worker in spans.values() for (_, end), (start, _) in pairwise(worker)]
    return Searched(
        steady=steady(list(spans.values()), seconds=seconds),
        first_to_last=trials * seconds / workers / (max(ends) - min(starts)),
        whole=trials * seconds / workers / (said["ended"] - said["began"]),
        started=min(starts) - said["began"],
        gap=sum(gaps) / len(gaps),
        rate=(last - first) / took,
        network=network,
        cpu=cpu,
        memory=memory,
    )


def steady(workers: list[list[tuple[float, float]]], *, seconds: float) -> float:
    """The share of the workers' time that went into trials, from when all have begun until one has ended its last.

    ``workers`` are each worker's trials from start to end; a trial is worth its ``seconds`` and not what it took.
    """
    since = max(worker[0][0] for worker in workers)
    until = min(worker[-1][1] for worker in workers)
    worth = sum(
        max(0.0, min(end, until) - max(start, since)) / (end - start) * seconds
        for worker in workers
        for start, end in worker
    )
    return worth / len(workers) / (until - since)


def _spans(study: Path) -> dict[str, list[tuple[float, float]]]:
    """Start and end of each worker's trials, in order."""
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for path in (study / "rows").glob("[!.]*.json"):
        row = json.loads(path.read_text())
        if row["method"] != "dense":
            start = datetime.fromisoformat(row["started"]).timestamp()
            found[row["worker"]].append((start, start + row["seconds"]))
    return {worker: sorted(trials) for worker, trials in found.items()}


def _count(study: Path) -> int:
    return len(list((study / "rows").glob("[!.]*.json")))


def _wait(claim: Callable[[], bool], process: Popen[bytes]) -> None:
    until = time.monotonic() + LIMIT
    while not claim():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"a search ended early, with code {process.poll()}: see above")
        time.sleep(0.05)


def _rates(before: Taken, after: Taken, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    network = {name: (count - before.network[name]) / seconds for name, count in after.network.items()}
    return network, {name: max(0.0, count - before.cpu[name]) / seconds for name, count in after.cpu.items()}


def split(short: Searched, long: Searched) -> tuple[Searched, Searched]:
    """What a trial costs, and what a second costs with four workers: the line through two rates of trials."""
    apart = short.rate - long.rate

    def both(of: Callable[[Searched], dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
        a, b = of(short), of(long)
        each = {name: max(0.0, (a[name] - b.get(name, 0.0)) / apart) for name in a}
        return each, {name: max(0.0, a[name] - short.rate * each[name]) for name in a}

    network, cpu = both(lambda of: of.network), both(lambda of: of.cpu)
    return tuple(  # type: ignore[return-value]
        Searched(0, 0, 0, 0, 0, 0, network[place], cpu[place], short.memory) for place in (0, 1)
    )


def _nodes(network: dict[str, float]) -> float:
    return sum(network[name] for name in NODES) / len(NODES)


def _network(trial: Searched, second: Searched, idle: Searched) -> str:
    return (
        f"network at {len(NODES)} nodes: {trial.network['head'] / 1e3:.1f} kB through the head for each trial, and "
        f"{second.network['head'] / len(NODES) / 1e3:.1f} kB for each node in each second, of which "
        f"{idle.network['head'] / len(NODES) / 1e3:.1f} kB while nobody searches; a node's own: "
        f"{_nodes(trial.network) * len(NODES) / 1e3:.1f} kB for each trial of its and "
        f"{_nodes(second.network) / 1e3:.1f} kB in each second (veth counters, headers included, both directions)"
    )


def _head(trial: Searched, second: Searched, busy: Searched, idle: Searched) -> str:
    cpu = ", ".join(f"{kind} {1000 * trial.cpu[kind]:.0f}" for kind in sorted(trial.cpu))
    background = ", ".join(f"{kind} {second.cpu[kind]:.3f}" for kind in sorted(second.cpu))
    memory = ", ".join(f"{kind} {busy.memory[kind]:.0f}" for kind in sorted(busy.memory))
    return (
        f"head: core milliseconds for each trial: {cpu}; cores with four nodes whatever the trials: {background} "
        f"({sum(idle.cpu.values()):.3f} while nobody searches); megabytes: {memory}"
    )


@dataclass(frozen=True)
class Real:
    """What real trials asked of an object store."""

    reads: float
    writes: float
    kilobytes: float
    head_kilobytes: float
    """With claims on stages, and with what the search's start sends to the nodes."""
    told: str


def _real(found: Machines) -> Real:
    """Run a search of real, tiny trials whose study is on the object store, and count."""
    spec = f"{SHARED}/real.yaml"
    found.here(spec).write_text(json.dumps(REAL_SPEC))
    found.run("head", "python", "-c", MADE)
    counts: list[list[tuple[str, str]]] = []
    network: list[dict[str, int]] = []
    for trials in (len(NODES), REAL):
        before, since = found.requests(), found.taken()
        words = ["run", spec, "--study", "s3://bucket/real", "--address", found.address, "--trials", str(trials)]
        found.run("head", "python", "-m", "prunefront", *words)
        counts.append(found.requests()[len(before) :])
        network.append({name: count - since.network[name] for name, count in found.taken().network.items()})
    # The first search has the dense network and what a search costs at its start; the second reads the first's rows.
    more = REAL - len(NODES)
    own = Counter(
        method for method, path in counts[1] if any(part in path for part in OF_TRIALS) and "list" not in path
    )
    each = {method: count / more for method, count in sorted(own.items())}
    others = len(counts[1]) - sum(own.values())
    writes = sum(each.get(method, 0.0) for method in ("PUT", "POST", "DELETE"))
    store = network[1]["store"] / more
    told = ", ".join(f"{count:.1f} {method}" for method, count in each.items())
    return Real(
        reads=sum(each.values()) - writes,
        writes=writes,
        kilobytes=store / 1e3,
        head_kilobytes=network[1]["head"] / more / 1e3,
        told=f"storage: a trial asks for {told} of rows, curves, stages and epochs ({more} real trials of one epoch on "
        f"{len(NODES)} nodes), their search for {others} more in all; {store / 1e3:.0f} kB a trial to and from the "
        f"store, of a network of 9,000 weights; {network[1]['head'] / more / 1e3:.0f} kB through the head, with the "
        f"search's start; the first {len(NODES)} trials with the dense network {len(counts[0])} requests in all",
    )


MADE = """
from pyarrow import fs
import os
address = os.environ["AWS_ENDPOINT_URL"].partition("://")[2]
fs.S3FileSystem(scheme="http", endpoint_override=address, allow_bucket_creation=True).create_dir("bucket")
"""


@dataclass(frozen=True)
class Loop:
    """What the driver takes of its one thread."""

    trial: float
    megabytes: float
    kilobytes: float
    compact: float
    compact_row: float
    told: str


def _loop() -> Loop:
    from benchmarks.control import _alone
    from benchmarks.scale.rows import compacting

    trials = 600
    found: dict[str, Any] = _alone("ours", "--trials", str(trials), "--sampler", "tpe")
    cpu = found["driver_cpu"][1:]  # by tenths; the first one has the workers' start
    early = sum(cpu) / len(cpu)
    few, many = compacting(1_000), compacting(10_000)
    row = (many - few) / 9_000
    return Loop(
        trial=early,
        megabytes=found["megabytes"],
        kilobytes=MEMORY_ROW / 1e3,
        compact=max(0.0, few - 1_000 * row),
        compact_row=row,
        told=f"driver: {1000 * early:.1f} ms of its thread for a trial (tpe, {trials} trials, no other worker waits), "
        f"{found['rate']:.0f} trials a second at most; to compact 10,000 rows {many:.2f} s, 1,000 {few:.2f} s; "
        f"{found['megabytes']:.0f} MB",
    )


MEMORY_ROW = 14e3
"""Bytes of the driver for each trial that has ended: benchmarks/results/search.txt, from 1,000 to 10,000 trials."""


def _costs(trial: Searched, second: Searched, idle: Searched, busy: Searched, real: Real, loop: Loop) -> Costs:
    """What was measured, by the simulation's names."""
    own = {"driver"}
    return Costs(
        driver=loop.trial,
        driver_beside=0.0,
        driver_behind=0.0,  # ten thousand trials showed none: benchmarks/results/search.txt
        head=sum(taken for kind, taken in trial.cpu.items() if kind not in own),
        head_idle=sum(idle.cpu.values()),
        head_worker=max(
            0.0, sum(taken for kind, taken in second.cpu.items() if kind not in own) - sum(idle.cpu.values())
        )
        / len(NODES),
        compact=loop.compact,
        compact_row=loop.compact_row,
        gap=busy.gap,
        reads=real.reads,
        writes=real.writes,
        head_bytes=max(trial.network["head"], 1e3 * real.head_kilobytes),
        head_worker_bytes=second.network["head"] / len(NODES),
        store_bytes=1e3 * real.kilobytes,
        memory=1e6 * loop.megabytes,
        memory_row=1e3 * loop.kilobytes,
    )
