"""Precision and memory layout: an epoch in each, against float32 as torch lays images out by itself."""

from collections.abc import Callable, Iterator

import torch

from benchmarks import cores, in_turn, made_up, ratio
from trial.memory import keep_freed_memory
from trial.networks import Network, build
from trial.numerics import Numerics, computing, device_here
from trial.probe import CANDIDATES, Candidate
from trial.training import Training, train

NETWORK = Network(name="vgg16-bn", width=0.25)
IMAGES = 256
PLAIN: Candidate = ("float32", "contiguous")


def figures() -> Iterator[str]:
    """How many times as fast as plain float32 an epoch is; below 1 it is slower."""
    keep_freed_memory()
    device = device_here()
    found = in_turn({" and ".join(candidate): _epoch(candidate, device) for candidate in CANDIDATES})
    plain = " and ".join(PLAIN)
    for name, seconds in found.items():
        if name != plain:
            yield f"vgg16-bn × {NETWORK.width:g} in {name}: {ratio(found[plain], seconds)} times as fast as {plain}"


def _epoch(candidate: Candidate, device: torch.device) -> Callable[[], None]:
    precision, layout = candidate
    numerics = Numerics(precision=precision, layout=layout, threads=cores())
    network = build(NETWORK, classes=10, seed=0)
    numerics.lay_out(network, device)
    splits = made_up(IMAGES, device=device.type)

    def epoch() -> None:
        with computing(precision, threads=numerics.threads):
            train(network, splits, Training(epochs=1, rate=1e-3), seed=0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return epoch
