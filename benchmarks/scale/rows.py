"""What it takes to compact a study of many rows, as the driver does while it searches."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from analysis import table
from analysis.row import VERSION
from analysis.schema import SCHEMA_VERSION
from trial.recipe import columns
from trial.rows import blank

__all__ = ["compacting"]

NEWER = 100
ROUNDS = 3


def compacting(rows: int) -> float:
    """Seconds of one compaction of so many rows on this machine's disk, a hundred of them newer than the last one."""
    with tempfile.TemporaryDirectory() as folder:
        study, took = Path(folder), []
        (study / "rows").mkdir()
        _write(study, range(rows))
        table.compact(study, columns())
        for number in range(ROUNDS):
            _write(study, range(rows + number * NEWER, rows + (number + 1) * NEWER))
            start = time.perf_counter()
            table.compact(study, columns())
            took.append(time.perf_counter() - start)
        return statistics.median(took)


def _write(study: Path, numbers: range) -> None:
    for number in numbers:
        known = {"study": "study", "trial": f"{number:016x}", "network": "seed-cnn", "width": 1.0, "data": "digits"}
        came = {"method": "filter-l1", "ratio": 0.5, "state": "complete", "val_accuracy": 0.5, "params": number}
        row = blank() | known | came | {"seed": 0, "started": "2026-01-01T00:00:00.000+00:00", "seconds": 1.0}
        path = study / "rows" / f"{row['trial']}.json"
        path.write_text(json.dumps({VERSION: SCHEMA_VERSION, **row}))
