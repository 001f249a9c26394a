"""One trial's row, as every room reads it from ``rows/TRIAL.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from analysis.errors import WrongInput

__all__ = ["parse_row", "read_row"]


def parse_row(text: str | bytes) -> Any:
    """The JSON of a row, read so that ten thousand rows share the names of their columns, half of their memory."""
    return json.loads(text, object_pairs_hook=_shared)


def _shared(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(name): value for name, value in pairs}


def read_row(path: Path) -> dict[str, Any]:
    """Read a row; its trial is the file's name.

    Raises WrongInput for anything that is not the JSON object of a row, and FileNotFoundError where there is none.
    """
    try:
        row = parse_row(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise WrongInput(f"{path} is not JSON ({error}): delete it and the trial is run again") from error
    if not isinstance(row, dict):
        raise WrongInput(f"{path} must hold one JSON object, got {type(row).__name__}")
    return row | {"trial": path.stem}
