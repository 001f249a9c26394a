"""``prunefront latency`` without the timing: what is printed of the files that were timed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.errors import WrongInput
from analysis.front_table import Cells, aligned, drawn, human
from analysis.latency import PARQUET, add
from analysis.schema import DENSE, LATENCY
from analysis.selection import chosen

__all__ = ["add", "check_threads", "chosen", "print_latencies"]

TIMES = tuple(column.name for column in LATENCY if column.group == "measure")
COLUMNS = ("trial", "method", "ratio", "quantisation", "val_accuracy", "gzip_bytes", *TIMES)
FASTER = "faster"
MOST_THREADS = 1024

Line = Mapping[str, Any]


def check_threads(threads: int | None, *, cores: int) -> int:
    """How many threads: as many as typed, else all cores that this process may use."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise WrongInput(f"--threads must lie in [1, {MOST_THREADS}], got {threads}")
    return cores if threads is None else threads


def print_latencies(study: Path, rows: Sequence[Line], lines: Sequence[Line], *, as_json: bool) -> None:
    """Print what was measured, the fastest first: on a terminal, plainly in a pipe, or as one JSON document.

    ``rows`` are the study's, ``lines`` the latencies of some of them, at least one, all taken in turn. How many times
    as fast as the dense network each is, is the ratio of their medians.
    """
    by_trial = {row["trial"]: row for row in rows}
    dense = next((line["latency_ms"] for line in lines if by_trial[line["trial"]]["method"] == DENSE), None)
    found = [
        {
            **{name: {**by_trial[line["trial"]], **line}.get(name) for name in COLUMNS},
            FASTER: None if dense is None else dense / line["latency_ms"],
        }
        for line in sorted(lines, key=lambda line: float(line["latency_ms"]))
    ]
    shared = {name: value for name, value in lines[0].items() if name not in {"trial", *TIMES}}
    if as_json:
        sys.stdout.write(json.dumps({"study": str(study), **shared, "trials": found}, allow_nan=False) + "\n")
        return
    headers = [*COLUMNS, *([FASTER] if dense is not None else [])]
    content = Cells(
        headers=headers,
        rows=[[_said(name, row[name]) for name in headers] for row in found],
        numeric=[name not in {"trial", "method", "quantisation"} for name in headers],
    )
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(drawn(content, bold={"latency_ms"}))
    else:
        sys.stdout.write(aligned(content) + "\n\n")
    against = f"{FASTER} is against the dense network's median; " if dense is not None else ""
    threads = "1 thread" if shared["latency_threads"] == 1 else f"{shared['latency_threads']} threads"
    sys.stdout.write(
        f"{against}{shared['runs']} runs each of one image and of 64, in turn, on {threads} of "
        f"{shared['latency_machine']}, ONNX Runtime {shared['onnxruntime']}\nkept in {study / PARQUET}\n"
    )


def _said(name: str, value: Any) -> str:
    if name == FASTER:
        return f"{value:.2f}×"
    return human(name, value)
