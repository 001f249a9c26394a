"""A trial that leaves its machine, which is about to be taken away: after the epoch that runs, and with nothing lost.

What the training has learned by then is stored as any link of it is (`trial.links`). Another machine takes the trial up
and is told where it left: one link ends there, and is found. Whoever opens the study later finds that in its folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from analysis.durable import write_durably
from analysis.object_path import scan
from trial.manifest import KEY, MANIFEST, STAGES

if TYPE_CHECKING:
    from trial.store import Product

__all__ = ["NO_MARKS", "EndedEarly", "Leaves", "Left", "Marks", "forget", "note", "noted", "stays"]

Leaves = Callable[[], bool]
"""Asked at the end of each epoch whether the machine is about to be taken away."""

Marks = Mapping[str, Collection[int]]
"""Epochs after which a training, named by its key, was left."""

NO_MARKS: Marks = MappingProxyType({})
LEFT = "left"
"""The folder of the study in which a file TRAINING-EPOCH says where a training was left, and in it the stage's key."""


def stays() -> bool:
    """Nobody takes this machine away."""
    return False


def note(study: Path, left: Left) -> None:
    """Note in the study where a training was left."""
    folder = study / LEFT
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / f"{left.training}-{left.epoch}", left.stage.encode())


def noted(study: Path) -> Marks:
    """Where trainings of the study were left."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for name in _names(study):
        training, _, epoch = name.rpartition("-")
        found[training].append(int(epoch))
    return found


def forget(study: Path) -> None:
    """Remove the notes whose stage is not stored any more: nobody can go on from there. What is no note stays."""
    for name in _names(study):
        path = study / LEFT / name
        with suppress(OSError):
            stage = path.read_bytes().decode(errors="replace")
            if KEY.fullmatch(stage) and not (study / STAGES / stage / MANIFEST).exists():
                path.unlink()


def _names(study: Path) -> list[str]:
    try:
        names = [entry.name for entry in scan(study / LEFT)]
    except FileNotFoundError:
        return []
    return [name for name in names if name.rpartition("-")[2].isdecimal()]


class EndedEarly(Exception):
    """A part of a training was left after ``epoch`` with what it had learned."""

    def __init__(self, product: Product, epoch: int) -> None:
        super().__init__(epoch)
        self.product = product
        self.epoch = epoch


class Left(Exception):
    """A trial was left, which is no failure of it: ``epoch`` of the training with this key is stored as ``stage``."""

    def __init__(self, training: str, epoch: int, stage: str) -> None:
        super().__init__(training, epoch, stage)
        self.training = training
        self.epoch = epoch
        self.stage = stage
