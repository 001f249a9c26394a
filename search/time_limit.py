"""A limit on the time that a trial may take, held by a thread of its own: what hangs cannot look at a clock."""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

__all__ = ["TimeLimit"]

GRACE_SECONDS = 60.0
"""So much later a process ends whose interpreter is held, so that no thread of it can write a row."""


class TimeLimit:
    """Ends the process when a trial has spent too long inside the block, which may be entered again and again.

    ``give_up`` is called first, with the error and ``seconds``. ``limit`` is in seconds, None for no limit.
    """

    def __init__(self, limit: float | None, give_up: Callable[..., None]) -> None:
        self._limit = limit
        self._give_up = give_up
        self._spent = 0.0
        self._entered = 0.0
        self._inside = threading.Lock()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        if self._limit is None:
            return
        self._entered = time.monotonic()
        left = max(0.0, self._limit - self._spent)
        self._timer = threading.Timer(left, self._end)
        self._timer.daemon = True
        self._timer.start()
        faulthandler.dump_traceback_later(left + GRACE_SECONDS, exit=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._timer is None:
            return
        # A limit that is reached just now has the lock, and does not give it back.
        with self._inside:
            self._timer.cancel()
            self._timer = None
        faulthandler.cancel_dump_traceback_later()
        self._spent += time.monotonic() - self._entered

    def _end(self) -> None:
        with self._inside:
            if self._timer is None:
                return
            seconds = self._spent + time.monotonic() - self._entered
            try:
                self._give_up(f"TimeLimit: the trial took longer than {self._limit:g} s", seconds=seconds)
            finally:
                # Not sys.exit: whatever hangs would not let go.
                os._exit(1)
