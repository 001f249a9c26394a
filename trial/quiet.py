"""Quiet on the machine: a network is timed alone, while nobody trains.

Whoever works holds the machine's lock together with everybody else who does; whoever times holds it alone. Both pass a
turnstile first, in which one who wants to be alone stays until those at work are done: nobody new goes past, so he
does not wait for ever; and he holds it no longer than his timing, so the others do not either. They are file locks in
the cache folder, one pair for each host: the system takes them back from the dead. Studies of one user see one
another; other programs and other users' are not held back.

A claim of a stage is taken before these locks and nobody asks for a claim while he holds them, so that no two wait for
one another.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from analysis.errors import WorkFailed
from trial.claims import let_go
from trial.data.cache import cache_folder

__all__ = ["alone", "at_work"]


@contextmanager
def at_work() -> Iterator[None]:
    """Work beside others inside the block: waits only for those who time, or are waiting to.

    Where the locks cannot be made there is nobody who times either (see `alone`), and nothing is waited for.
    """
    with ExitStack() as held:
        with suppress(_NoLock), _locked("turnstile", fcntl.LOCK_EX):
            held.enter_context(_locked("machine", fcntl.LOCK_SH))
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Be alone on the machine inside the block: waits for everybody at work, and nobody starts meanwhile.

    Raises WorkFailed where the locks cannot be made.
    """
    try:
        with _locked("turnstile", fcntl.LOCK_EX), _locked("machine", fcntl.LOCK_EX):
            yield
    except _NoLock as error:
        raise WorkFailed(f"nothing can be timed alone: {error}; set XDG_CACHE_HOME to a folder that can") from error


class _NoLock(Exception):
    """A lock's file cannot be made."""


@contextmanager
def _locked(name: str, kind: int) -> Iterator[None]:
    # Each entry opens the file anew: the lock belongs to that, so threads of one process hold each other back too.
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _NoLock(f"{folder} cannot hold its locks ({error.strerror})") from error
    try:
        fcntl.flock(lock, kind)
        yield
    finally:
        let_go(lock)


def _folder() -> Path:
    return cache_folder() / "quiet" / socket.gethostname()
