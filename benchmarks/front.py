"""A million rows: from Parquet through a filter to the front of three objectives and its hypervolume, cold."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROWS = 1_000_000
RUNS = 5

LIBRARY = """
import sys
from pathlib import Path
from analysis import table
from analysis.summary import summarise
names = ["val_accuracy", "sparsity", "macs"]
rows = table.read(Path(sys.argv[1]), columns=["trial", "method", "state", "classes", "ratio", *names])
found = summarise(table.where(rows, "ratio >= 0.1 and method != 'lamp'"), names, reference=rows)
print(len(found.front), round(found.hypervolume, 4))
"""
COMMAND = "import prunefront; prunefront.main()"


def figures() -> Iterator[str]:
    """Median seconds of a cold process on one core, imports included, by library and by command line."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        _write(study)
        read = _seconds("-c", LIBRARY, str(study))
        yield f"{ROWS:,} rows, filter, front and hypervolume: {_spread(read)} (target 1 s)"
        words = ("front", str(study), "--where", "ratio >= 0.1 and method != 'lamp'", "--json")
        yield f"the same by `prunefront front`, all columns: {_spread(_seconds('-c', COMMAND, *words))}"


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} runs)"


def _seconds(*arguments: str) -> list[float]:
    """Wall-clock seconds of each run; the first, which warms the disk's cache, is not counted."""
    found = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, preexec_fn=_one_core)
        found.append(time.perf_counter() - start)
    return found[1:]


def _one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _write(study: Path) -> None:
    """A compacted study whose accuracies fall with the ratio, noisily: a front of a few thousand networks."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from analysis.schema import arrow_schema

    chance = np.random.default_rng(0)
    ratio = chance.uniform(0, 0.95, ROWS)
    sparsity = np.clip(1 - (1 - ratio) ** chance.uniform(1, 2, ROWS), 0, 1)
    macs = (3e8 * (1 - ratio) ** chance.uniform(0.5, 2, ROWS)).astype(np.int64)
    made = {
        "trial": [f"{i:016x}" for i in range(ROWS)],
        "method": np.array(["slimming", "filter-l1", "lamp", "random-channels"])[chance.integers(0, 4, ROWS)],
        "state": np.where(chance.random(ROWS) < 0.05, "failed", "complete"),
        "ratio": ratio,
        "val_accuracy": 0.94 - 0.8 * ratio**6 - chance.exponential(0.02, ROWS),
        "sparsity": sparsity,
        "macs": macs,
        "classes": np.full(ROWS, 10),
    }
    made["method"][0], made["state"][0], made["macs"][0] = "dense", "complete", 300_000_000
    schema = arrow_schema()
    columns = [
        pa.array(made[field.name], field.type) if field.name in made else pa.nulls(ROWS, field.type) for field in schema
    ]
    study.mkdir()
    pq.write_table(pa.table(columns, schema=schema), study / "trials.parquet")
