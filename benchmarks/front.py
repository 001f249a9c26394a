"""From Parquet through a filter to the front of three objectives and its hypervolume, cold, and what else people run.

Each figure is a process of its own on one core, imports included: the median of its wall-clock seconds, its processor
seconds, which a busy machine stretches less, and the most memory it held.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

ROWS = 1_000_000
COMPARED = 100_000
"""Rows that the others are shown: of a million they take minutes."""
SMALL = 10_000
RUNS = 3
MEGABYTE = 1e6 / 1024
"""In the kilobytes that the system counts memory in."""
COUNTED = """
import atexit, sys
def peak():
    try:
        with open("/proc/self/status") as said:  # of this program alone: rusage counts what it was forked from
            held = next(line.split()[1] for line in said if line.startswith("VmHWM"))
    except OSError:
        import resource
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(held, file=sys.stderr)
atexit.register(peak)
"""

FILTER = "ratio >= 0.1 and method != 'lamp'"
OURS = f"""
import sys
from analysis import front, hypervolume, read, where
names = ["val_accuracy", "sparsity", "macs"]
rows = read(sys.argv[1], columns=["trial", "method", "state", "classes", "ratio", *names])
best = front(where(rows, "{FILTER}"), names)
print(len(best), round(hypervolume(best, names, scale_of=rows), 6))
"""
PANDAS = """
import sys
import pandas as pd
names = ["val_accuracy", "sparsity", "macs"]
rows = pd.read_parquet(sys.argv[1] + "/trials.parquet", columns=["method", "state", "classes", "ratio", *names])
dense = rows[rows.method == "dense"].iloc[0]
kept = rows[(rows.state == "complete") & (rows.ratio >= 0.1) & (rows.method != "lamp")].dropna(subset=names)
guess = 1 / dense.classes
lacking = pd.DataFrame({
    "a": ((1 - kept.val_accuracy) / (1 - guess)).clip(0, 1),
    "s": (1 - kept.sparsity).clip(0, 1),
    "m": (kept.macs / dense.macs).clip(0, 1),
})
"""
PYTHON = (
    PANDAS
    + """
best = []
for a, s, m in sorted(lacking.itertuples(index=False, name=None)):
    if not any(t <= s and n <= m for _, t, n in best):
        best.append((a, s, m))
def area(stairs):
    found, low = 0.0, 1.0
    for s, m in sorted(stairs):
        if m < low:
            found += (1 - s) * (low - m)
            low = m
    return found
volume = sum(
    (following[0] - point[0]) * area([(s, m) for _, s, m in best[: at + 1]])
    for at, (point, following) in enumerate(zip(best, [*best[1:], (1, 1, 1)]))
)
print(len(best), round(volume, 6))
"""
)
OPTUNA = (
    PANDAS
    + """
import numpy as np
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _is_pareto_front
points = lacking.to_numpy()
best = points[_is_pareto_front(points, assume_unique_lexsorted=False)]
print(len(best), round(compute_hypervolume(best, np.ones(3)), 6))
"""
)
COMMAND = "import prunefront; prunefront.main()"


@dataclass(frozen=True)
class Run:
    """What a process took."""

    seconds: float
    processor: float
    memory: float
    """Megabytes at most."""
    said: str


def figures() -> Iterator[str]:
    """Ours at a million rows, then ours beside the others at fewer, then what a shell waits for."""
    with tempfile.TemporaryDirectory() as folder:
        million = _written(Path(folder) / "million", ROWS)
        ours = _runs(OURS, str(million))
        yield f"{ROWS:,} rows, filter, front of three and hypervolume: {_spread(ours)} (targets 1 s, 1,000 MB)"
        words = ("front", str(million), "--where", FILTER)
        yield f"the same by `prunefront front`: {_spread(_runs(COMMAND, *words))} (targets 1.3 s, 500 MB)"
        yield f"with all columns of the front's networks, as JSON: {_spread(_runs(COMMAND, *words, '--json'))}"

        fewer = _written(Path(folder) / "fewer", COMPARED)
        ours = _runs(OURS, str(fewer))
        yield f"{COMPARED:,} rows, ours: {_spread(ours)}"
        for name, program in (("Optuna's own functions", OPTUNA), ("a pure-Python front", PYTHON)):
            other = _runs(program, str(fewer), runs=1)
            # On as many networks and as much volume, or it is no comparison: ours keeps equal networks, too.
            yield f"{COMPARED:,} rows, pandas and {name}: {_spread(other)}, {_ratio(other, ours)}"
            yield f"front and hypervolume of that: {other[0].said}, of ours: {ours[0].said}"

        small = _written(Path(folder) / "small", SMALL, files=True)
        shell = _runs(COMMAND, "front", str(small))
        yield f"`prunefront front` on {SMALL:,} rows, each with its file in rows/: {_spread(shell)} (target 1 s)"
        yield f"`prunefront status` of them: {_spread(_runs(COMMAND, 'status', str(small)))}"
        yield f"`prunefront --help`: {_spread(_runs(COMMAND, '--help'))} (target .3 s)"


def _spread(runs: list[Run]) -> str:
    seconds = [run.seconds for run in runs]
    processor = statistics.median(run.processor for run in runs)
    memory = max(run.memory for run in runs)
    ends = f"{min(seconds):.2f} to {max(seconds):.2f}, {len(runs)} runs" if len(runs) > 1 else "1 run"
    return f"{statistics.median(seconds):.2f} s ({ends}; {processor:.2f} s of the core, {memory:.0f} MB)"


def _ratio(others: list[Run], ours: list[Run]) -> str:
    wall = statistics.median(run.seconds for run in others) / statistics.median(run.seconds for run in ours)
    core = statistics.median(run.processor for run in others) / statistics.median(run.processor for run in ours)
    return f"{wall:.1f} times ours ({core:.1f} of the core)"


def _runs(program: str, *words: str, runs: int = RUNS) -> list[Run]:
    """So many runs of a program; where there are several, one that warms the disk's cache goes before them."""
    found = [_run(program, *words) for _ in range(runs + (runs > 1))]
    return found[-runs:]


def _run(program: str, *words: str) -> Run:
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as counted:
        start = time.perf_counter()
        command = [sys.executable, "-c", COUNTED + program, *words]
        process = subprocess.Popen(command, stdout=said, stderr=counted, preexec_fn=_one_core)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (said, counted):
            file.seek(0)
        memory = counted.read()
        assert process.returncode == 0, memory
        return Run(seconds, used.ru_utime + used.ru_stime, int(memory.split()[-1]) / MEGABYTE, said.read(200).strip())


def _one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _written(study: Path, count: int, *, files: bool = False) -> Path:
    """Write a study in a process of its own: what this one holds would count for those that it starts."""
    writer = get_context("spawn").Process(target=_write, args=(study, count), kwargs={"files": files})
    writer.start()
    writer.join()
    assert writer.exitcode == 0, "the study could not be written"
    return study


def _write(study: Path, count: int, *, files: bool = False) -> None:
    """A compacted study, with its rows' files where they are wanted.

    Accuracies fall with the ratio, noisily: of a million networks some thousand are on the front.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from analysis.schema import SCHEMA_VERSION, arrow_schema

    chance = np.random.default_rng(0)
    ratio = chance.uniform(0, 0.95, count)
    sparsity = np.clip(1 - (1 - ratio) ** chance.uniform(1, 2, count), 0, 1)
    macs = (3e8 * (1 - ratio) ** chance.uniform(0.5, 2, count)).astype(np.int64)
    made = {
        "trial": [f"{i:016x}" for i in range(count)],
        "method": np.array(["slimming", "filter-l1", "lamp", "random-channels"])[chance.integers(0, 4, count)],
        "state": np.where(chance.random(count) < 0.05, "failed", "complete"),
        "ratio": ratio,
        "val_accuracy": 0.94 - 0.8 * ratio**6 - chance.exponential(0.02, count),
        "sparsity": sparsity,
        "macs": macs,
        "classes": np.full(count, 10),
    }
    made["method"][0], made["state"][0], made["macs"][0] = "dense", "complete", 300_000_000
    schema = arrow_schema()
    columns = [
        pa.array(made[field.name], field.type) if field.name in made else pa.nulls(count, field.type)
        for field in schema
    ]
    whole = pa.table(columns, schema=schema)
    (study / "rows").mkdir(parents=True)
    for row in whole.to_pylist() if files else ():
        (study / "rows" / f"{row['trial']}.json").write_text(json.dumps({"schema": SCHEMA_VERSION, **row}))
    pq.write_table(whole, study / "trials.parquet")
