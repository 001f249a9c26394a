"""How the C library hands memory to torch on a CPU."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for the next ones, where glibc is the allocator.

    By default glibc gives large blocks back to the system at once, and training asks for the same blocks again at
    every step: a third of a step's time went into the system's clearing of fresh pages.
    """
    if not sys.platform.startswith("linux"):
        return
    allocator = getattr(ctypes.CDLL(None), "mallopt", None)
    if allocator is None:
        return
    allocator(M_MMAP_MAX, 0)
    allocator(M_TRIM_THRESHOLD, 2**31 - 1)
    allocator(M_TOP_PAD, 64 * 2**20)
