"""Work that a search does not wait for, and does not fail by: what others are told of its trials."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from trial.rows import Row

__all__ = ["Aside"]

LINGER_SECONDS = 5.0
"""So long an interrupted search waits for what is still to be told."""


class Aside:
    """Tells finished trials, one after another, on a thread of its own.

    ``begin`` is called first, then ``tell`` with each row. When either raises, ``say`` gets one line that begins with
    ``what`` and nothing more is told: the study's rows are what counts, and the search goes on.
    """

    def __init__(
        self, what: str, *, begin: Callable[[], None], tell: Callable[[Row], None], say: Callable[[str], None]
    ) -> None:
        self._what = what
        self._begin = begin
        self._tell = tell
        self._say = say
        self._rows: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        # A daemon: an interrupted search does not wait for a server that does not answer.
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, row: Row) -> None:
        """Have a row told, some time soon."""
        self._rows.put(row)

    def close(self, *, wait: bool) -> None:
        """Tell what is left and end; without ``wait`` only as much as a few seconds allow."""
        self._rows.put(None)
        self._thread.join(None if wait else LINGER_SECONDS)

    def _work(self) -> None:
        try:
            self._begin()
            while (row := self._rows.get()) is not None:
                self._tell(row)
        except Exception as error:  # whatever a database or a server can think of
            self._say(f"{self._what}: {error}; the search goes on without it")
