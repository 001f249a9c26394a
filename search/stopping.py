"""Early stopping of a study's trials: what `search.rungs` decides on, taken from rows and curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.rungs import Rungs
from trial import curves
from trial.rows import Row

__all__ = ["Stopping"]


class Stopping:
    """Decides at each rung whether a trial goes on; without ``rungs`` all do."""

    def __init__(self, objectives: Sequence[str], *, rungs: Sequence[int], factor: int) -> None:
        self._objectives = tuple(objectives)
        self._epochs = tuple(rungs)
        self._rungs = Rungs(objectives, epochs=rungs, factor=factor) if rungs else None

    def remember(self, study: Path, rows: Sequence[Row]) -> None:
        """Report what the rows' trials had reached at each rung, as their curves have it."""
        for row in rows:
            if row["state"] == "failed":
                continue
            reached = _reached(curves.read(study, row["trial"]))
            for epoch in self._epochs:
                if epoch in reached:
                    self.goes_on({**row, **reached[epoch]}, epoch)

    def goes_on(self, row: Row, epoch: int) -> bool:
        """Whether a trial goes on past a rung, with what its row would say there."""
        if self._rungs is None:
            return True
        return self._rungs.report(row["trial"], epoch, {name: row[name] for name in self._objectives})

    def ended(self, row: Row) -> None:
        """Report a trial that has come to its end, where that is a rung."""
        if row["state"] == "complete" and row["recovery_epochs"] in self._epochs:
            self.goes_on(row, row["recovery_epochs"])


def _reached(curve: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Accuracy and loss by the epoch of the last recovery; 0 is the cut network, with new statistics if it got any."""
    last = max((epoch["round"] for epoch in curve), default=0)
    return {
        epoch["epoch"]: {name: epoch[name] for name in ("val_loss", "val_accuracy")}
        for epoch in curve
        if epoch["round"] == last and epoch["stage"] in {"cut", "recalibration", "recovery"}
    }
