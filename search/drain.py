"""Is this worker to leave its trial: its machine is about to be taken away, or its search was asked to end.

Ray is told so of spot machines, a minute or two before.

A machine that drains gets no new workers from Ray. Those that it has would go on to its end, and lose what they do.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import ray

from search.halt import is_asked
from search.machines import leaving

__all__ = ["Drain"]

LOOK_SECONDS = 2.0
"""Spot machines are told of their end 30 s (Google, Azure) or 120 s (AWS) before; a look is two small calls to the
head, and a thousand workers make a thousand a second, which is a fraction of what it answers."""


class Drain:
    """Looks on a thread of its own whether this worker is to leave; once it is, it stays so."""

    def __init__(self) -> None:
        self.is_on = False
        self._node = ray.get_runtime_context().get_node_id()
        self._look()  # a worker that comes late begins nothing
        threading.Thread(target=self._watch, name="drain", daemon=True).start()

    def _watch(self) -> None:
        while not self.is_on:
            time.sleep(LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
        with suppress(Exception):  # of a head that is being lost: the search has other ways to know
            self.is_on = self._node in leaving() or is_asked()
