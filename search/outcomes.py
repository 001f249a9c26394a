"""What became of trials, counted and in words: for the live table, the lines and ``status``; loads no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis import front_table

__all__ = ["counted", "measures_told", "most_frequent", "recipe_told"]

STATES = ("complete", "stopped", "failed")


def counted(states: Iterable[str | None]) -> dict[str, int]:
    """How many trials ended in each state, those that none did at zero; other states are not counted.

    >>> counted(["complete", "failed", "complete"])
    {'complete': 2, 'stopped': 0, 'failed': 1}
    """
    found = Counter(states)
    return {state: found[state] for state in STATES}


def most_frequent(rows: Sequence[Mapping[str, Any]]) -> str:
    """The most frequent error of failed rows, and how often it came; empty where none failed."""
    errors = Counter(str(row["error"]) for row in rows if row["state"] == "failed")
    if not errors:
        return ""
    error, times = errors.most_common(1)[0]
    return f"{error} ({times}×)"


def recipe_told(recipe: Mapping[str, object]) -> str:
    """A recipe in a line: the method, then the knobs that are set.

    >>> recipe_told({"method": "filter-l1", "ratio": 0.25, "scope": "layer", "lambda": None})
    'filter-l1 ratio=0.25 scope=layer'
    """
    words = (
        _brief(value) if knob == "method" else f"{knob}={_brief(value)}"
        for knob, value in recipe.items()
        if value is not None
    )
    return " ".join(words)


def measures_told(row: Mapping[str, object], names: Sequence[str]) -> str:
    """Measures in a line; those that the row lacks are left out.

    >>> measures_told({"val_accuracy": 0.875, "macs": 1_000_000, "latency_ms": None}, ["val_accuracy", "macs"])
    'val_accuracy=0.8750 macs=1M'
    """
    return " ".join(
        f"{name}={front_table.human(name, row[name]).replace(' ', '')}" for name in names if row.get(name) is not None
    )


def _brief(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
