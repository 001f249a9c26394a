"""Who makes a stage, and who uses a store: settled by claims, which end when their holder dies."""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from analysis.object_path import ObjectPath

__all__ = ["CLAIMS", "Claims", "FileClaims", "InUse", "claims_at", "let_go"]

CLAIMS = "claims"
"""The folder of a study's file claims, beside its stages."""
IN_USE = "in-use"
"""The claim on the store as a whole: shared by all who use it, exclusive to whoever removes stages."""


class InUse(RuntimeError):
    """Somebody has the store open."""


class Claims(Protocol):
    """Settles who makes a stage: whoever holds a key's claim; a claim ends when its holder dies."""

    def claim(self, key: str) -> AbstractContextManager[None]:
        """Wait for the key's claim and hold it inside the block."""
        ...

    def use(self) -> object:
        """Hold a share of the store for as long as what is returned lives: nobody removes stages meanwhile."""
        ...


class FileClaims:
    """Claims of the processes of one machine: file locks, which the system takes back from the dead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Wait for the key's lock and hold it inside the block."""
        descriptor = self._opened(key)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            let_go(descriptor)

    def use(self) -> object:
        """Hold a share of the store's lock until what is returned is gone; waits while stages are removed."""
        descriptor = self._opened(IN_USE)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return _Share(descriptor)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the store to oneself inside the block; raises InUse where anybody else uses it."""
        descriptor = self._opened(IN_USE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InUse(str(self._folder.parent)) from error
            yield
        finally:
            let_go(descriptor)

    def forget(self) -> None:
        """Remove the locks of all keys; inside `alone`, where nobody can hold one."""
        for lock in self._folder.iterdir():
            if lock.name != IN_USE:
                lock.unlink()

    def _opened(self, name: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


class OwnClaims:
    """Claims of the threads of this process: an object store has no locks that others would see.

    Two processes may make a stage twice, which is harmless: each puts the same, and what is put is whole.
    """

    def __init__(self) -> None:
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Wait for the key's lock and hold it inside the block."""
        with self._locks[key]:
            yield

    def use(self) -> object:
        """Keep nobody from anything."""
        return None


def claims_at(folder: Path) -> Claims:
    """Claims of the processes of this machine on the stages beside a folder, where there are locks to be had."""
    return OwnClaims() if isinstance(folder, ObjectPath) else FileClaims(folder)


def let_go(descriptor: int) -> None:
    """Give a file lock back and close its file."""
    # A process that was forked off meanwhile has the file open too, and closing ours would leave it locked.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


class _Share:
    """An open lock file, closed with the last reference to this."""

    def __init__(self, descriptor: int) -> None:
        self._close = weakref.finalize(self, os.close, descriptor)
