"""Independent streams of random numbers from one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["derived", "generator", "seeded"]


def derived(seed: int, *path: str | int) -> int:
    """Derive a seed in [0, 2⁶³) from another seed and what it is for.

    Hashed, so that ``derived(0, "shuffle", 1)`` and ``derived(1, "shuffle", 0)`` have nothing in common, as sums
    of seed and epoch would.
    """
    digest = hashlib.sha256(repr((seed, *path)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, *path: str | int) -> torch.Generator:
    """Make a CPU generator seeded by ``derived(seed, *path)``: the same stream whatever device trains."""
    return torch.Generator().manual_seed(derived(seed, *path))


@contextmanager
def seeded(seed: int, *path: str | int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators by ``derived(seed, *path)`` in the block, and leave them as they were.

    The CPU's, and that of ``device`` where it is a GPU: what dropout and a network's own noise draw from.
    """
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        # Not torch.manual_seed, which seeds every GPU: fork_rng restores only the one named.
        torch.default_generator.manual_seed(derived(seed, *path))
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(derived(seed, *path))
        yield
