"""One trial's row, as every room reads it from ``rows/TRIAL.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.errors import WrongInput

__all__ = ["read_row"]


def read_row(path: Path) -> dict[str, Any]:
    """Read a row; its trial is the file's name.

    Raises WrongInput for anything that is not the JSON object of a row, and FileNotFoundError where there is none.
    """
    try:
        row = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise WrongInput(f"{path} is not JSON ({error}): delete it and the trial is run again") from error
    if not isinstance(row, dict):
        raise WrongInput(f"{path} must hold one JSON object, got {type(row).__name__}")
    return row | {"trial": path.stem}
