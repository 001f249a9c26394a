"""What each method's cut costs on a full-width VGG16: data-free ones, those that read images, and the selection."""

import os
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

import methods
from methods.core.cut import select
from methods.core.knobs import knobs, parse
from methods.core.method import Evidence, Method
from trial.memory import keep_freed_memory
from trial.networks import Network, build

IMAGES = 256
TARGETS = {"relevance": 60.0, "combined": 60.0, "mixed": 60.0, "taylor": 60.0, "snip": 60.0}
TARGETS |= {"thinet": 120.0, "channel-lasso": 120.0}
DATA_FREE = 2.0
"""Seconds that a method may take: as named, and for all others."""
KNOBS = {"ratio": 0.5, "q": 0.8, "delta": 0.5, "penalty": "l1", "lambda": 1e-4, "statistic": "abs-mean"}


def figures() -> Iterator[str]:
    """Seconds of one cut at ratio .5 of vgg16-bn at width 1, scores included, on all cores of this machine."""
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    # As in a trial.
    keep_freed_memory()
    network = build(Network(name="vgg16-bn"), classes=10, seed=0).eval()
    network.to(memory_format=torch.channels_last)
    drawn = torch.Generator().manual_seed(0)
    seen = Evidence(torch.randn(IMAGES, 3, 32, 32, generator=drawn), torch.randint(10, (IMAGES,), generator=drawn), 0)
    for name, owner in methods.catalogue().items():
        made = _made(owner)
        target = TARGETS.get(name, DATA_FREE)
        seconds = _seconds(lambda: _cut(made, network, seen), runs=1 if target > DATA_FREE else 5)  # noqa: B023
        read = f" on {IMAGES} images" if made.images_read else ""
        yield f"{name}{read}: {seconds:.2f} s (target {target:g} s)"
    scores = {f"layer {i}": torch.rand(2_500_000, generator=drawn) for i in range(8)}
    chosen = _seconds(lambda: select(scores, 0.9, scope="global", keep_min=1), runs=5)
    yield f"the lowest 90% of 20 M weights, exactly: {chosen:.3f} s (target 0.3 s)"


def _made(owner: type[Method]) -> Method:
    given = {knob.name: KNOBS[knob.name] for knob in knobs(owner) if knob.name in KNOBS}
    given |= {"lambda": KNOBS["lambda"]} if "penalty" in given else {}
    made: Method = parse(owner, given, what=owner.name(), where="benchmark")
    return made


def _cut(method: Method, network: nn.Module, seen: Evidence) -> None:
    method.cut(network, seen, ratio=method.target or 0.0)


def _seconds(work: Callable[[], object], *, runs: int) -> float:
    """The median of several runs after one that is not counted; a single run is counted as it is."""
    found = []
    for _ in range(runs + (runs > 1)):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found[runs > 1 :])
