"""One durable row per trial: a flat JSON object in ``STUDY/rows/TRIAL.json``, the source of truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.schema import COLUMNS
from methods import columns
from trial.store import write_durably

__all__ = ["Row", "blank", "read", "read_all", "write"]

Row = dict[str, Any]


def blank() -> Row:
    """A row with every column of the schema and every knob of the catalogue, all None: not applicable."""
    return dict.fromkeys((*(column.name for column in COLUMNS), *columns()))


def write(study: Path, row: Row) -> None:
    """Write the row, complete and on the disk before it has its name; it replaces an earlier row of its trial."""
    folder = study / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / f"{row['trial']}.json", json.dumps(row, allow_nan=False).encode())


def read(study: Path, trial: str) -> Row | None:
    """Read a trial's row, None where it has none."""
    try:
        return dict(json.loads((study / "rows" / f"{trial}.json").read_bytes()))
    except FileNotFoundError:
        return None


def read_all(study: Path) -> list[Row]:
    """Read every row of a study, in the order in which the trials started."""
    rows = [json.loads(path.read_bytes()) for path in (study / "rows").glob("[!.]*.json")]
    return sorted(rows, key=lambda row: (row["started"], row["trial"]))
