"""What a trial did on the way: its epochs and what its worker was at, in one file, ``STUDY/curves/TRIAL.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.schema import CURVE
from trial.store import write_durably

__all__ = ["write"]


def write(study: Path, trial: str, curve: Sequence[dict[str, Any]], spans: Sequence[dict[str, Any]]) -> None:
    """Write a trial's epochs, in the order in which they were run; a file of the same trial is replaced.

    Each has every column of ``curves.parquet``, None where it does not apply. ``spans`` are those of `trial.spans`:
    they travel in the same file, since one more for each trial would be one more write that a trial waits for.
    """
    folder = study / "curves"
    folder.mkdir(parents=True, exist_ok=True)
    blank = dict.fromkeys(column.name for column in CURVE)
    entries = [{**blank, "trial": trial, **epoch} for epoch in curve]
    write_durably(
        folder / f"{trial}.json", json.dumps({"epochs": entries, "spans": list(spans)}, allow_nan=False).encode()
    )
