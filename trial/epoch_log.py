"""Every epoch that was trained in a study, in the order in which it ended: `analysis.epochs` sees what was done twice.

One text file per process, ``STUDY/epochs/HOST-PID.txt``, one line per epoch: the training's key and the epoch's number.
Lines are not synced to the disk: a killed process loses none, and after a power cut a count that is short does no harm.
To an object nothing can be added: the process puts its whole file anew now and then, and killed loses a few seconds.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from pathlib import Path

from analysis.object_path import ObjectPath

__all__ = ["EpochLog"]

EPOCHS = "epochs"
PUT_SECONDS = 10.0
"""Between two puts of one training."""


class EpochLog:
    """The file of this process."""

    def __init__(self, study: Path) -> None:
        self._folder = study / EPOCHS
        # The number of a process is given away again, and an object of that name replaced.
        self._object = self._folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.txt"
        self._lines: list[str] = []
        self._put = (0, 0.0)

    def note(self, training: str, epoch: int) -> None:
        """Note that an epoch of a training, named by its key, was run."""
        line = f"{training[:16]} {epoch}\n"
        if isinstance(self._folder, ObjectPath):
            self._lines.append(line)
            if time.monotonic() - self._put[1] > PUT_SECONDS:
                self.keep()
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{socket.gethostname()}-{os.getpid()}.txt").open("a") as file:
            file.write(line)

    def keep(self) -> None:
        """Put what was noted and is on no disk yet; called when a training has ended."""
        if len(self._lines) > self._put[0]:
            self._put = (len(self._lines), time.monotonic())
            self._object.write_text("".join(self._lines))
