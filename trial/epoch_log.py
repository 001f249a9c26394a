"""Every epoch that was trained in a study, in the order in which it ended: `analysis.epochs` sees what was done twice.

One text file per process, ``STUDY/epochs/HOST-PID.txt``, one line per epoch: the training's key and the epoch's number.
Lines are not synced to the disk: a killed process loses none, and after a power cut a count that is short does no harm.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["EpochLog"]

EPOCHS = "epochs"


class EpochLog:
    """The file of this process."""

    def __init__(self, study: Path) -> None:
        self._folder = study / EPOCHS

    def note(self, training: str, epoch: int) -> None:
        """Note that an epoch of a training, named by its key, was run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{socket.gethostname()}-{os.getpid()}.txt").open("a") as file:
            file.write(f"{training[:16]} {epoch}\n")
