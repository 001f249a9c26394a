"""How long ONNX files take under ONNX Runtime, several of them timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trial.onnx_file import INPUT, session
from trial.processor import cpu
from trial.timing import RUNS, in_turn, spread

__all__ = ["BATCHES", "OF_BATCH", "Latencies", "latencies", "taken"]

BATCHES = (1, 64)
"""How many images at a time: one as it comes, and enough of them to fill the machine."""

OF_BATCH = {1: ("latency_ms", "latency_ms_p10", "latency_ms_mean", "latency_ms_std"), 64: ("latency_ms_64",)}
"""Images at a time → the measures that come of them."""

Latencies = dict[str, float]
"""Measure → milliseconds > 0: ``latency_ms`` and its like for one image at a time, ``latency_ms_64`` for 64."""


def latencies(
    files: Mapping[str, Callable[[], bytes]],
    *,
    threads: int,
    batches: Sequence[int] = BATCHES,
    runs: int = RUNS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Latencies]:
    """Wall-clock milliseconds of some ONNX files, median, 10th percentile, mean and standard deviation.

    Timed is a run from images in memory to logits in memory, on the CPU, after a warm-up; the files have their turns as
    `trial.timing.in_turn` says, all of them first with one image, then with 64. Does not see to it that nobody else is
    on the machine: see `trial.quiet`.

    Args:
        files: Name → what gives the bytes of a file of `trial.onnx_file.exported`, or of one quantised; read anew at
            every turn.
        threads: CPU threads of an operator, ≥ 1.
        batches: What is timed, 1 or 64 images or both.
        runs: Timed runs of each file and each of ``batches``, ≥ 2.
        clock: Seconds, monotonic.

    Raises:
        WrongInput: A file is damaged, foreign, or cannot be run.
    """
    found: dict[str, Latencies] = {name: {} for name in files}
    for batch in batches:
        programs = {name: _opening(name, read, batch=batch, threads=threads) for name, read in files.items()}
        for name, seconds in in_turn(programs, runs=runs, clock=clock).items():
            found[name] |= _columns([1000 * each for each in seconds], batch=batch)
    return found


def taken(threads: int) -> dict[str, Any]:
    """Where latencies are taken: the columns that name the CPU and the threads."""
    return {"latency_machine": cpu(), "latency_threads": threads}


def _columns(milliseconds: Sequence[float], *, batch: int) -> Latencies:
    found = spread(milliseconds)
    return dict(zip(OF_BATCH[batch], (found.median, found.p10, found.mean, found.std), strict=False))


def _opening(name: str, read: Callable[[], bytes], *, batch: int, threads: int) -> Callable[[], Callable[[], object]]:
    """What opens a file for a turn: its session, and images of the shape that it takes."""

    def opened() -> Callable[[], object]:
        running = session(read(), threads=threads, where=name)
        shape = [batch, *running.get_inputs()[0].shape[1:]]
        # Noise as normalised images are: zeros would spare a file that skips them.
        images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        return lambda: running.run(None, {INPUT: images})

    return opened
