"""One writer at a time in a folder: a lock that the system takes back from the dead."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.object_path import ObjectPath

__all__ = ["locked"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait for the folder's lock, and hold it inside the block; on an object store there are no locks to wait for."""
    if isinstance(folder, ObjectPath):
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
