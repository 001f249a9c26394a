"""What prunefront measures about itself: each module prints one line per figure, and nothing here is a test.

Machines are noisy, so a figure is a ratio of programs that run in turn, the median over several rounds.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping

import torch

from trial.data import ImageSet, Splits

__all__ = ["cores", "in_turn", "made_up", "ratio"]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_turn(programs: Mapping[str, Callable[[], object]], *, rounds: int = 3) -> dict[str, list[float]]:
    """Wall-clock seconds of each program in each round, after one round that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            if number:
                found[name].append(time.perf_counter() - start)
    return found


def ratio(over: list[float], under: list[float]) -> str:
    """The median of the rounds' ratios, with the smallest and the largest."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} rounds)"


def made_up(train: int, *, validation: int = 2, classes: int = 10, device: str = "cpu") -> Splits:
    """Noise that is mirrored and shifted like CIFAR-10: what is in an image changes no timing."""

    def images(count: int) -> ImageSet:
        pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=drawn, dtype=torch.uint8)
        return ImageSet(pixels.to(device), torch.randint(0, classes, (count,), generator=drawn).to(device))

    drawn = torch.Generator().manual_seed(0)
    return Splits(
        train=images(train),
        validation=images(validation),
        classes=tuple(map(str, range(classes))),
        mean=torch.full((3,), 0.5, device=device),
        std=torch.full((3,), 0.29, device=device),
        augment=("flip", "shift"),
        fingerprint="0" * 32,
    )
