"""Early stopping of a study's trials: what `search.rungs` decides on, taken from rows and curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis import curves
from search.rungs import Rungs
from search.waiting import Verdict, Waiting
from trial.rows import Row

__all__ = ["Stopping"]


class Stopping:
    """Decides what becomes of a trial at each rung.

    ``rungs`` are epochs of recovery, ``end`` is the longest recovery's last; see `Rungs` for the rest.
    """

    def __init__(self, objectives: Sequence[str], *, rungs: Sequence[int], end: int, factor: int) -> None:
        self._epochs = tuple(rung for rung in rungs if rung < end)
        # Rungs take the last one for the end, which stops nobody.
        self._rungs = Rungs(objectives, epochs=(*self._epochs, end), factor=factor)
        self._waiting = Waiting(self._rungs)

    def remember(self, study: Path, rows: Sequence[Row]) -> None:
        """Take note of what the rows' trials had reached at each rung, as their curves have it."""
        for row in rows if self._epochs else ():
            reached = _reached(curves.of_trial(study, row["trial"])["epochs"])
            for epoch in reached.keys() & self._epochs:
                self._rungs.report(row["trial"], epoch, {**row, **reached[epoch]})

    def reached(self, row: Row, epoch: int) -> Verdict:
        """What becomes of a trial at a rung, with what its row would say there."""
        return self._waiting.report(row["trial"], epoch, row)

    def next(self, *, is_idle: bool) -> tuple[str, Verdict] | None:
        """A trial that need not wait any longer, and what becomes of it; see `Waiting.next`."""
        return self._waiting.next(is_idle=is_idle)


def _reached(curve: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Accuracy and loss by the epoch of the last recovery; 0 is the cut network, with new statistics if it got any."""
    last = max((epoch["round"] for epoch in curve), default=0)
    return {
        epoch["epoch"]: {name: epoch[name] for name in ("val_loss", "val_accuracy")}
        for epoch in curve
        if epoch["round"] == last and epoch["stage"] in {"cut", "recalibration", "recovery"}
    }
