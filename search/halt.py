"""A search on a cluster that is asked to end lets the epochs that run end, and what they learned is stored.

The driver is asked by SIGTERM, as by `prunefront stop`. It says so in Ray's own store of keys and values, where workers
look as they look whether their machine is about to be taken away (`search.drain`), and leave their trials alike.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from search.restarts import RayLost
from search.space import Flat
from trial.store import write_durably

__all__ = ["Halt", "gently", "is_asked", "keep", "kept"]

TRIES = 60
LEFT = "left.json"
"""The recipes of trials that were left when the search was ended, in the study's folder."""


class Halt:
    """Whether the search was asked to end."""

    def __init__(self) -> None:
        self.is_asked = False

    def ask(self) -> None:
        """Have every worker leave its trial after the epoch that runs."""
        self.is_asked = True
        # On a thread: a signal comes in the middle of anything, another call to Ray included.
        threading.Thread(target=_tell, daemon=True).start()


@contextmanager
def gently(*, is_here: bool) -> Iterator[Halt]:
    """Have SIGTERM ask for the end inside the block, the second one as before; on this machine alone it stays as it is.

    There workers end with the driver, and whoever sends SIGTERM sends SIGKILL soon after.
    """
    halt = Halt()
    if is_here or threading.current_thread() is not threading.main_thread():
        yield halt
        return

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        signal.signal(signal.SIGTERM, before)
        halt.ask()

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield halt
    except RayLost:
        if halt.is_asked:  # it is not to begin again
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if halt.is_asked:
            with suppress(Exception):  # of a head that is being lost: its keys go with it
                import ray
                from ray.experimental import internal_kv

                if ray.is_initialized():  # else asking for the key's name would start one
                    internal_kv._internal_kv_del(_key())


def is_asked() -> bool:
    """Whether this worker's search was asked to end."""
    from ray.experimental import internal_kv

    return bool(internal_kv._internal_kv_exists(_key()))


def keep(study: Path, recipes: Iterable[Flat]) -> None:
    """Note recipes that the next search of the study is to take up first."""
    write_durably(study / LEFT, json.dumps(list(recipes)).encode())


def kept(study: Path) -> list[Flat]:
    """The recipes that were noted; none where the note cannot be read: they are begun anew, if they come again."""
    try:
        found = json.loads((study / LEFT).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return [recipe for recipe in found if isinstance(recipe, dict)] if isinstance(found, list) else []


def _tell() -> None:
    from ray.experimental import internal_kv

    for _ in range(TRIES):
        with suppress(Exception):  # of a head that is busy
            internal_kv._internal_kv_put(_key(), b"1")
            return
        time.sleep(1.0)


def _key() -> bytes:
    """One of this search's own: driver and workers are one job of Ray's."""
    import ray

    return f"prunefront-halt-{ray.get_runtime_context().get_job_id()}".encode()
