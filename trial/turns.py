"""Turns on a device that several workers share: many at once, or one alone, who ran out of its memory beside others."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

__all__ = ["Turns"]


class Turns:
    """Whose turn it is on one device of this machine, among all processes of this user; a killed one's turn ends.

    ``name`` tells devices apart. Whoever asks to be alone waits for those who are there, and whoever comes later waits
    behind him, so that he is not kept waiting for ever.
    """

    def __init__(self, name: str) -> None:
        folder = Path(tempfile.gettempdir()) / f"prunefront-turns-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._gate, self._room = folder / f"{name}.gate", folder / f"{name}.room"

    @classmethod
    def on(cls, device: torch.device) -> Turns:
        """Those of a GPU, by its own number wherever a process sees it, or of the CPU."""
        is_gpu = device.type == "cuda"
        return cls(str(torch.cuda.get_device_properties(device).uuid) if is_gpu else "cpu")

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Be there with others while the block lasts."""
        with self._admitted(fcntl.LOCK_SH):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be there alone while the block lasts."""
        with self._admitted(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _admitted(self, how: int) -> Iterator[None]:
        # Locks are given back by name: a process that was forked meanwhile holds the open files too.
        with self._room.open("w") as room:
            with self._gate.open("w") as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(room, how)
                fcntl.flock(gate, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(room, fcntl.LOCK_UN)
