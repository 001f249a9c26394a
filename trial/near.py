"""What all workers begin with comes from an object store once for each machine: the first to ask keeps it on its disk.

Copies are named by their content's checksum, so that none is ever out of date. On a file system that machines share
the system does this itself: what one process has read others find in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from analysis.durable import sweep, write_durably
from trial.data.cache import alone, cache_folder

__all__ = ["read_once"]

MOST_BYTES = 4 * 2**30
"""Of all copies; those that were not read for the longest go first. VGG-16 with its momentum is 120 MB."""
LOCK_DIGITS = 2
"""Copies whose names begin alike share a lock, whose file stays."""


def read_once(checksum: str, *, fetch: Callable[[], bytes], is_whole: Callable[[bytes], bool]) -> bytes:
    """The bytes with this checksum: this machine's copy where ``is_whole`` accepts it, else fetched, and kept.

    Whoever asks while another process fetches waits for it. A copy that cannot be written is never an error, and
    what was fetched and is not whole is not kept. Raises WrongInput where there is no folder for caches.
    """
    assert checksum.isalnum(), "a name, and not a path"
    copy = cache_folder() / "stages" / checksum
    with alone(copy.with_name(checksum[:LOCK_DIGITS])):
        with suppress(OSError):
            data = copy.read_bytes()
            if is_whole(data):
                with suppress(OSError):  # another user's
                    os.utime(copy)
                return data
        data = fetch()
        if is_whole(data):
            with suppress(OSError):
                sweep(copy)
                _make_room(copy.parent, len(data))
                write_durably(copy, data)
    return data


def _make_room(folder: Path, needed: int) -> None:
    copies = sorted(
        (path for path in folder.iterdir() if path.suffix != ".lock"), key=lambda path: path.stat().st_mtime
    )
    held = needed + sum(path.stat().st_size for path in copies)
    for path in copies:
        if held <= MOST_BYTES:
            return
        held -= path.stat().st_size
        path.unlink()
