"""The epochs that were trained in a study, from the lines that its workers left: what was done twice is seen here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.object_path import each

__all__ = ["Epochs", "counted"]

EPOCHS = "epochs"


@dataclass(frozen=True)
class Epochs:
    """Epochs of training that were run, and those that had to be: each of every training once.

    More were run than had to be where a worker died between two checkpoints, or a stage was lost.
    """

    executed: int
    needed: int

    @property
    def ratio(self) -> float | None:
        """1 where nothing was trained twice; None where nothing was trained."""
        return self.executed / self.needed if self.needed else None

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f" = {self.ratio:.3f}"
        return f"epochs executed / distinct epochs needed: {self.executed:,} / {self.needed:,}{ratio}"


def counted(study: Path) -> Epochs:
    """Count the lines of ``STUDY/epochs/*.txt``, one per epoch that ended: a training's name and the epoch's number."""
    lines = [
        line
        for text in each(lambda path: path.read_text(), (study / EPOCHS).glob("*.txt"), at=study)
        for line in text.splitlines(keepends=True)
        if line.endswith("\n")  # a line that is being written is no epoch yet
    ]
    return Epochs(len(lines), len(set(lines)))
