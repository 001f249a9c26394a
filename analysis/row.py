"""One trial's row, as every room reads it from ``rows/TRIAL.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.errors import WrongInput
from analysis.migration import migrated_row
from analysis.schema import readable

__all__ = ["VERSION", "read_row"]

VERSION = "schema"
"""What a row's file says beside its columns: the schema version that it was written with; 1 said nothing."""


def read_row(path: Path) -> dict[str, Any]:
    """Read a row, as this version would have written it; its trial is the file's name.

    Raises WrongInput for anything that is not the JSON object of a row, and for a row of a newer prunefront;
    FileNotFoundError where there is none.
    """
    try:
        row = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise WrongInput(f"{path} is not JSON ({error}): delete it and the trial is run again") from error
    if not isinstance(row, dict):
        raise WrongInput(f"{path} must hold one JSON object, got {type(row).__name__}")
    version = readable(row.pop(VERSION, 1), where=str(path))
    return migrated_row(row, version) | {"trial": path.stem}
