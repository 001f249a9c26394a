"""A report on 10,000 rows with their learning curves: how long writing it takes, and opening it in a browser."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROWS = 10_000
EPOCHS = 16
RUNS = 3
COMMAND = "import prunefront; prunefront.main()"


def figures() -> Iterator[str]:
    """Median wall-clock seconds, and those of processors, which other programs disturb less."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        _write(study)
        page = study / "report.html"
        spent = [_written(study) for _ in range(RUNS + 1)][1:]
        yield f"{ROWS:,} rows, page written from the shell: {_spread([wall for wall, _ in spent])} (target 5 s)"
        yield f"of which on processors: {_spread([busy for _, busy in spent])}"
        yield f"size of the page: {page.stat().st_size / 1e6:.1f} MB"
        yield from _opened(page)


def _written(study: Path) -> tuple[float, float]:
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", COMMAND, "report", str(study)], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, busy


def _opened(page: Path) -> Iterator[str]:
    from tests.browser import browser
    from tests.components import COMPONENTS

    if not COMPONENTS["chromium"]():
        yield "opened in a browser: not measured, chromium and chromedriver are not installed"
        return
    with browser() as found:
        walls = []
        for _ in range(RUNS + 1):
            found.open(page)
            walls.append(int(found.run("return document.documentElement.dataset.ready")) / 1000)
    yield f"opened, until the front is drawn: {_spread(walls[1:])} (target 2 s)"


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} runs)"


def _write(study: Path) -> None:
    """A compacted study of three objectives and four methods, a few of its trials stopped or failed."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from analysis.schema import CURVE, arrow_schema, parquet_schema

    chance = np.random.default_rng(0)
    ratio = chance.uniform(0, 0.95, ROWS).round(3)
    kept = (1 - ratio) ** chance.uniform(1, 2, ROWS)
    trials = [f"{i:016x}" for i in range(ROWS)]
    accuracy = np.maximum(0.1, 0.94 - 0.8 * ratio**6 - chance.exponential(0.02, ROWS))
    state = np.where(chance.random(ROWS) < 0.05, "failed", np.where(chance.random(ROWS) < 0.5, "complete", "stopped"))
    columns = {
        "trial": trials,
        "network": ["vgg16-bn"] * ROWS,
        "method": np.array(["slimming", "filter-l1", "lamp", "random-channels"])[chance.integers(0, 4, ROWS)].tolist(),
        "state": state.tolist(),
        "error": np.where(state == "failed", "NotFinite: the loss is NaN", None).tolist(),
        "ratio": ratio,
        "recovery_epochs": chance.integers(1, EPOCHS + 1, ROWS),
        "val_accuracy": accuracy,
        "val_loss": 1 - accuracy,
        "sparsity": 1 - kept,
        "params": (1.5e7 * kept).astype(np.int64),
        "macs": (3e8 * kept).astype(np.int64),
        "bytes": (6e7 * kept).astype(np.int64),
        "classes": np.full(ROWS, 10),
        "epochs": np.full(ROWS, EPOCHS + 8),
        "epochs_reused": np.full(ROWS, 8),
        "seconds": chance.uniform(10, 60, ROWS),
        "started": [f"2026-11-{1 + i // 1000:02d}T{i // 60 % 24:02d}:{i % 60:02d}:00.000+00:00" for i in range(ROWS)],
        "worker": [f"host{i % 8}:1" for i in range(ROWS)],
    }
    columns["method"][0], columns["state"][0], columns["macs"][0] = "dense", "complete", 300_000_000
    schema = arrow_schema()
    filled = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(ROWS, field.type)
        for field in schema
    ]
    study.mkdir()
    pq.write_table(pa.table(filled, schema=schema), study / "trials.parquet")
    epochs = np.tile(np.arange(EPOCHS + 1), ROWS)
    reached = np.repeat(accuracy, EPOCHS + 1) * (1 - 0.5 / (1 + epochs))
    curve = {
        "trial": np.repeat(trials, EPOCHS + 1).tolist(),
        "stage": np.where(epochs == 0, "cut", "recovery").tolist(),
        "round": np.ones(len(epochs), dtype=np.int64),
        "epoch": epochs,
        **dict.fromkeys(("val_accuracy", "train_accuracy", "val_loss", "train_loss"), reached),
    }
    held = parquet_schema(CURVE)
    lines = [
        pa.array(curve[field.name], field.type) if field.name in curve else pa.nulls(len(epochs), field.type)
        for field in held
    ]
    pq.write_table(pa.table(lines, schema=held), study / "curves.parquet")
