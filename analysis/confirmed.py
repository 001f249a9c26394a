"""Test results of chosen trials over seeds: ``STUDY/confirmed.parquet``, written by ``prunefront confirm``."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import parquet
from analysis.errors import WrongInput
from analysis.folder_lock import locked
from analysis.schema import CONFIRMED, parquet_schema

__all__ = ["PARQUET", "add", "read"]

PARQUET = "confirmed.parquet"

Line = dict[str, Any]


def read(study: Path) -> list[Line]:
    """Every confirmed result of a study as columns by name: trial by trial in the order of the first confirmation.

    Raises WrongInput where there is none, or a file that cannot be read.
    """
    try:
        return list(parquet.read(study / PARQUET).to_pylist())
    except FileNotFoundError:
        raise WrongInput(f"{study} has no {PARQUET}: `prunefront confirm` writes it") from None


def add(study: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add results, whole or not at all; one of the same trial, seed and ``as_trained`` is replaced.

    Means and standard deviations are taken anew over all that is there. Two processes may add at once: the folder's
    lock lets one in after the other. Raises WrongInput, and leaves the file, where it cannot be read.
    """
    import pyarrow as pa

    with locked(study):
        path = study / PARQUET
        known = parquet.read(path).to_pylist() if path.exists() else []
        kept = {_key(line): dict(line) for line in (*known, *lines)}
        schema = parquet_schema(CONFIRMED)
        parquet.write(pa.Table.from_pylist(_with_means(list(kept.values())), schema=schema), path)


def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["trial"], line["seed"], line["as_trained"]


def _with_means(lines: Sequence[Line]) -> list[Line]:
    """The lines, each with mean and standard deviation (n − 1) of its trial's complete ones on the same images."""
    accuracies: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for line in lines:
        if line["state"] == "complete":
            accuracies[_group(line)].append(line["test_accuracy"])
    return [line | _moments(accuracies[_group(line)]) for line in lines]


def _group(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["trial"], line["as_trained"], line["test_data"]


def _moments(accuracies: Sequence[float]) -> Line:
    return {
        "test_accuracy_mean": statistics.fmean(accuracies) if accuracies else None,
        "test_accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "seeds": len(accuracies),
    }
