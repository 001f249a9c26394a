"""Independent streams of random numbers from one seed."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["derived", "generator"]


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
