"""What ships: latency and size of the dense network's file against thin and int8 ones, in ONNX Runtime and in torch.

``python -m benchmarks ship`` needs no data: weights are random, which latency and size of the tensors do not mind.
``python -m benchmarks.ship STUDY`` says of the files of a study, which have an accuracy, how much faster they are.
"""

from __future__ import annotations

import gzip
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import nn

import methods
from benchmarks import made_up, ratio
from methods.core.knobs import parse
from methods.core.method import Evidence, Method
from methods.core.removal import remove
from trial import quiet
from trial.augmentation import normalised
from trial.networks import Network, build
from trial.onnx_file import INPUT, exported, session, stored_tensors
from trial.processor import cores, cpu
from trial.quantising import DynamicInt8, StaticInt8, quantised
from trial.timing import ROUNDS, RUNS, WARM_UP, in_turn

NETWORKS = (Network(name="seed-cnn"), Network(name="vgg16-bn"))
SHARE = Fraction(1, 2)
"""Of the channels of every layer that the thin network has lost."""
CALIBRATION = 64
LARGE, LARGE_RUNS, LARGE_ROUNDS = 64, 8, 4
"""Images of a large batch, and its runs: each takes as long as 64 of one image, and differs less from the next."""
FASTER, POINTS = 3.0, 0.01
"""What is aimed at somewhere on a front: so many times as fast as dense, at no more accuracy lost."""

Opening = Callable[[], Callable[[], object]]


def figures(networks: Sequence[Network] = NETWORKS, *, runs: int = RUNS, large_runs: int = LARGE_RUNS) -> Iterator[str]:
    """Sizes, and ratios of latencies taken in turn, on one thread and on all."""
    yield f"on {cpu()}, {cores()} cores, {float(SHARE):.0%} of every layer's channels removed, random weights"
    for network in networks:
        dense, thin = _pair(network)
        files = _files(dense, thin)
        yield from _sizes(network, files)
        for threads in dict.fromkeys((1, cores())):
            for batch, times, rounds, warm_up in ((1, runs, ROUNDS, WARM_UP), (LARGE, large_runs, LARGE_ROUNDS, 1)):
                programs = {
                    f"ONNX Runtime, {name}": _runtime(file, batch=batch, threads=threads)
                    for name, file in files.items()
                }
                for name, module in (("dense float32", dense), ("thin float32", thin)):
                    programs[f"torch, {name}"] = _torch(module, batch=batch, threads=threads)
                with quiet.alone():
                    found = in_turn(programs, runs=times, rounds=rounds, warm_up=warm_up)
                what = f"{_called(network)}, {_counted(batch, 'image')}, {_counted(threads, 'thread')}"
                yield from _ratios(what, found, rounds=rounds)


def of_study(study: Path, *, threads: int) -> Iterator[str]:
    """How much faster the files of a study are than the dense network's, and whether one is as fast as is aimed at."""
    from analysis.table import read
    from trial.study_latency import measured

    rows = {row["trial"]: row for row in read(study).to_pylist() if row["state"] == "complete"}
    lines = measured(study, list(rows), threads=threads, say=lambda line: print(line, file=sys.stderr))
    dense = next((line for line in lines if rows[line["trial"]]["method"] == "dense"), None)
    if dense is None:
        yield f"{study} has no file of its dense network: nothing to compare with"
        return
    accuracy = rows[dense["trial"]]["val_accuracy"]
    reached = 0.0
    for line in sorted(lines, key=lambda line: float(line["latency_ms"])):
        row = rows[line["trial"]]
        faster, lost = dense["latency_ms"] / line["latency_ms"], accuracy - row["val_accuracy"]
        reached = max(reached, faster if lost <= POINTS + 1e-12 else 0.0)
        yield (
            f"{line['trial']} {row['method']} {row['ratio'] or 0:g} {row['quantisation'] or 'none'}: "
            f"{faster:.2f} times as fast as dense ({line['latency_ms']:.3f} ms), {100 * lost:+.1f} points lost, gzip "
            f"{row['gzip_bytes'] / rows[dense['trial']]['gzip_bytes']:.3f} of dense"
        )
    on = _counted(threads, "thread")
    yield f"at most {100 * POINTS:g} point lost: {reached:.2f} times as fast as dense (aim {FASTER:g}), {on}"


def _pair(network: Network) -> tuple[nn.Module, nn.Module]:
    """The dense network and the one without the same share of every layer's channels."""
    splits = made_up(4)
    images = normalised(splits.train.images[:2], splits)
    owner = methods.method("filter-l1", where="benchmark")
    method: Method = parse(owner, {"ratio": float(SHARE)}, what="filter-l1", where="benchmark")
    dense = build(network, classes=10, seed=0).eval()
    cut = method.cut(dense, Evidence(images, splits.train.labels[:2], 0), ratio=SHARE)
    thin, _ = remove(build(network, classes=10, seed=0).eval(), cut, images)
    return dense, thin.eval()


def _files(dense: nn.Module, thin: nn.Module) -> dict[str, bytes]:
    """The ONNX files, the dense one in float32 first."""
    images = np.random.default_rng(0).standard_normal((CALIBRATION, 3, 32, 32), dtype=np.float32)
    files = {}
    for name, network in (("dense", dense), ("thin", thin)):
        file = exported(network, image=(3, 32, 32))
        files[f"{name} float32"] = file
        files[f"{name} static int8"] = quantised(file, StaticInt8(), images=images)
        files[f"{name} dynamic int8"] = quantised(file, DynamicInt8())
    return files


def _sizes(network: Network, files: Mapping[str, bytes]) -> Iterator[str]:
    stored = {name: stored_tensors(file) for name, file in files.items()}
    zipped = {name: len(gzip.compress(tensors, 6, mtime=0)) for name, tensors in stored.items()}
    first = next(iter(files))
    for name, tensors in stored.items():
        share = len(tensors) / len(stored[first])
        yield (
            f"{_called(network)}, {name}: {len(tensors) / 1e6:.2f} MB, {share:.3f} of {first}; "
            f"gzipped {zipped[name] / 1e6:.2f} MB, {zipped[name] / zipped[first]:.3f}"
        )


def _ratios(what: str, found: Mapping[str, Sequence[float]], *, rounds: int) -> Iterator[str]:
    """Each program's median against that of the dense file, round by round."""
    medians = {name: _medians(seconds, rounds=rounds) for name, seconds in found.items()}
    first = next(iter(medians))
    for name, own in medians.items():
        median = 1000 * statistics.median(found[name])
        against = "" if name == first else f", {ratio(own, medians[first])} of {first}"
        yield f"{what}: {name} {median:.3f} ms{against}"


def _medians(seconds: Sequence[float], *, rounds: int) -> list[float]:
    each = len(seconds) // rounds
    return [statistics.median(seconds[at : at + each]) for at in range(0, len(seconds), each)]


def _runtime(file: bytes, *, batch: int, threads: int) -> Opening:
    def opened() -> Callable[[], object]:
        running = session(file, threads=threads)
        images = np.random.default_rng(0).standard_normal((batch, 3, 32, 32), dtype=np.float32)
        return lambda: running.run(None, {INPUT: images})

    return opened


def _torch(network: nn.Module, *, batch: int, threads: int) -> Opening:
    placed = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form

    def opened() -> Callable[[], object]:
        torch.set_num_threads(threads)
        images = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        images = images.to(memory_format=torch.channels_last)

        def run() -> object:
            with torch.inference_mode():
                return placed(images)

        return run

    return opened


def _called(network: Network) -> str:
    return f"{network.called} × {network.width:g}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


if __name__ == "__main__":
    for said in of_study(Path(sys.argv[1]), threads=int(sys.argv[2]) if len(sys.argv) > 2 else cores()):
        print(said, flush=True)
