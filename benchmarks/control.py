"""What proposing, scheduling and noting trials costs: trials that train nothing, through everything else that is ours.

``python -m benchmarks.control ours --trials 10000`` is the large one; ``--profile FILE`` writes where the driver's time
went.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

from analysis import table
from analysis import timeline as timelines
from analysis.schema import DENSE
from benchmarks import cores
from search.progress import Drawn, Lines
from search.sampler import SAMPLERS
from search.spec import Spec
from trial import data
from trial.plan import Step, ended
from trial.recipe import Recipe, columns, trial_id
from trial.rows import Row
from trial.workbench import Workbench

TRIALS = 1_000
BESIDE = 100
REAL = 16
PER_SECOND = 40
TIMES = 20
MEGABYTES = 1_000
ADDED_SECONDS = 0.6
"""2% of a trial of 30 s."""
START_SECONDS = 120.0
"""So long a worker waits for the others before its first trial."""
WORKERS = cores()
RESULT = "result: "
METHODS = ("filter-l1", "fpgm", "lamp", "magnitude-global", "random-channels", "slimming")
SPEC: dict[str, Any] = {
    "network": {"name": "seed-cnn", "width": 0.0625},
    "data": {"name": "digits", "images": 200, "validation": 40},
    "dense": {"epochs": 1},
    "recovery": {"epochs": 1},
    "numerics": {"precision": "float32", "layout": "contiguous", "threads": 1, "dense_threads": 1},
}


def figures() -> Iterator[str]:
    """Rate and memory of a thousand trials; a hundred of ours beside a hundred of the tutorials'; real trials' gaps."""
    yield _told(_alone("ours", "--trials", str(TRIALS)))
    plain, ours = _alone("plain", "--trials", str(BESIDE)), _alone("ours", "--trials", str(BESIDE))
    yield (
        f"{BESIDE} trials: fresh actors that import torch, with Tune's default loggers, take "
        f"{plain['seconds'] / ours['seconds']:.1f} times as long as ours from start to end "
        f"({plain['seconds']:.1f} s, {ours['seconds']:.1f} s), "
        f"{ours['steady'] / plain['steady']:.1f} times from the first trial's end on (target {TIMES})"
    )
    real = _alone("real", "--trials", str(REAL))
    yield (
        f"{REAL} real trials on {cores()} workers: {real['gap']:.3f} s of a worker's time between two trials (target "
        f"{ADDED_SECONDS}: 2% of 30 s)"
    )


def _told(found: dict[str, Any]) -> str:
    return (
        f"{found['trials']:,} trials that train nothing, sampler {found['sampler']}: {found['rate']:.1f} a second "
        f"(target {PER_SECOND}), the driver's memory {found['megabytes']:.0f} MB at most (target {MEGABYTES:,}); "
        f"by tenths {', '.join(f'{rate:.0f}' for rate in found['tenths'])} a second"
    )


def _alone(*words: str) -> dict[str, Any]:
    """One measurement in a process of its own, whose memory is that of nothing else."""
    command = [sys.executable, "-m", "benchmarks.control", *words]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    said = next(line for line in reversed(printed.splitlines()) if line.startswith(RESULT))
    found: dict[str, Any] = json.loads(said.removeprefix(RESULT))
    return found


class Idle(Workbench):
    """Runs trials without a stage: what comes out is made up, what is written is a trial's curve and row."""

    workers = 1
    _met = False

    def dense(self, **said: Any) -> Row:  # noqa: ARG002
        """Write the row of a dense network that nobody trained."""
        trial = trial_id(None, self.experiment, fingerprint=self.fingerprint)
        return ended(self._row(trial, {"method": DENSE}, lambda tally: _steps(trial)))  # noqa: ARG005

    def steps(self, recipe: Recipe, **said: Any) -> Generator[Step, None, Row]:  # noqa: ARG002
        """Write the row of a trial that took no time."""
        self._meet()
        trial = trial_id(recipe, self.experiment, fingerprint=self.fingerprint)
        return self._row(trial, recipe.columns(), lambda tally: _steps(trial))  # noqa: ARG005

    def _meet(self) -> None:
        """Wait before the first trial until every worker is there.

        A worker that is faster than another's start takes over what that one was started for, and the other is ended
        and started anew, for ever: one worker would be measured.
        """
        if self._met:
            return
        self._met = True
        there = self._study / "there"
        there.mkdir(exist_ok=True)
        (there / self._worker).touch()
        limit = time.monotonic() + START_SECONDS
        while len(list(there.iterdir())) < self.workers and time.monotonic() < limit:
            time.sleep(0.02)


def _steps(trial: str) -> Generator[Step, None, dict[str, Any]]:
    yield from ()
    return _outcome(trial)


def _outcome(trial: str) -> dict[str, Any]:
    """Measures that differ from trial to trial and are the same for the same one."""
    drawn = hashlib.sha256(trial.encode()).digest()
    shares = [int.from_bytes(drawn[place : place + 4]) / 2**32 for place in range(0, 32, 4)]
    names = ("val_accuracy", "val_loss", "train_accuracy", "sparsity", "ratio_achieved")
    counts = {name: int(1e6 * share) for name, share in zip(("params", "macs", "bytes"), shares[5:], strict=True)}
    return {**dict(zip(names, shares, strict=False)), **counts}


def ours(trials: int, *, sampler: str, live: bool, profile: Path | None) -> dict[str, Any]:
    """As `search.launch` runs a search, on workers that do not train; rows are where the temporary folder is."""
    spec = _spec(trials, sampler=sampler)
    with tempfile.TemporaryDirectory() as folder:
        ends, cpu, seconds, ending, resident = _searched(spec, Path(folder), idle=True, live=live, profile=profile)
        table.compact(Path(folder), columns())
        written = table.read(Path(folder), columns=["state", "worker"]).to_pylist()
        assert [row["state"] for row in written] == ["complete"] * (trials + 1), f"{len(written)} rows"
        gap = _gap(Path(folder))
    return {
        "trials": trials,
        "sampler": sampler,
        "seconds": seconds,
        "ending": ending,
        "rate": trials / seconds,
        "steady": _steady(ends),
        "tenths": _tenths(ends),
        "driver_cpu": [(after - before) / (len(cpu) // 10) for before, after in pairwise(cpu[:: len(cpu) // 10])],
        "megabytes": _megabytes("VmHWM"),
        "resident": resident,
        "gap": gap,
        "workers": len({row["worker"] for row in written}) - 1,
        "load": os.getloadavg()[0],
    }


def real(trials: int) -> dict[str, Any]:
    """The same with workers that train, for what passes between two trials of a worker."""
    with tempfile.TemporaryDirectory() as folder:
        _searched(_spec(trials, sampler="random"), Path(folder), idle=False, live=False, profile=None)
        return {"trials": trials, "gap": _gap(Path(folder)), "load": os.getloadavg()[0]}


def _spec(trials: int, *, sampler: str) -> Spec:
    search = {
        "methods": dict.fromkeys(METHODS, "any"),
        "recipe": {"recovery_epochs": [1, 2, 3, 4, 5]},  # for more recipes than any benchmark runs
        "objectives": ["val_accuracy", "sparsity", "macs"],
        "sampler": sampler,
        "trials": trials,
    }
    spec: Spec = Spec.parse({**SPEC, "search": search, "workers": cores()}, where="benchmark")
    return spec


def _searched(
    spec: Spec, study: Path, *, idle: bool, live: bool, profile: Path | None
) -> tuple[list[float], list[float], float, float, dict[int, float]]:
    """Search: when each trial ended, the driver's processor seconds by then, and how long all trials and the end took.

    Trials are counted from when Ray and the dense network are there; the end is from the last trial's on. Last, the
    driver's megabytes by how many trials had ended, at the start and after each thousand.
    """
    from search import worker
    from search.rest import run_rest

    splits = data.load(spec.data)
    ends: list[float] = []
    cpu: list[float] = []
    began = 0.0
    resident: dict[int, float] = {}

    class Timed(Drawn if live else Lines):  # type: ignore[misc]
        def begin(self) -> None:
            nonlocal began
            super().begin()
            began = time.perf_counter()
            resident[0] = _megabytes("VmRSS")

        def finished(self, row: Row) -> None:
            super().finished(row)
            ends.append(time.perf_counter())
            cpu.append(time.process_time())
            if len(ends) % 1000 == 0:
                resident[len(ends)] = _megabytes("VmRSS")

    said: dict[str, Any] = {"space": spec.space, "trials": spec.budget, "objectives": spec.search.objectives}
    if live:
        from rich.console import Console

        said["console"] = Console(file=sys.stderr, force_terminal=True, width=120, height=40)
    progress = Timed(**said, rows=[])
    (study / "rows").mkdir()
    with mock.patch.object(worker, "Place", _idle_place(worker.Place) if idle else worker.Place):
        _profiled(
            lambda: run_rest(spec, study, progress, warm_start=(), fingerprint=splits.fingerprint, address=None),
            profile,
        )
    progress.close()
    return ends, cpu, ends[-1] - began, time.perf_counter() - ends[-1], resident


def _idle_place(place: type[Any]) -> type[Any]:
    """A place whose workbench is idle; by value, since workers cannot import what lies outside our packages."""
    from ray import cloudpickle

    class IdlePlace(place):  # type: ignore[misc]
        def workbench(self, **said: Any) -> Workbench:
            real = super().workbench(**said)
            made = Idle(self.experiment, self.study, study_name=self.name, worker=real._worker)
            made.workers = WORKERS
            return made

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return IdlePlace


def plain(trials: int) -> dict[str, Any]:
    """A search as Ray Tune's tutorials write it: a function that is trained in an actor of its own for each trial."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def objective(config: dict[str, Any]) -> None:
        import torch

        torch.manual_seed(0)
        tune.report({"val_accuracy": config["ratio"], "sparsity": config["ratio"], "macs": 1 - config["ratio"]})

    ends: list[float] = []

    class Ends(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        ray.init(num_cpus=cores(), include_dashboard=False, log_to_driver=False)
        tuner = tune.Tuner(
            objective,
            param_space={"method": tune.choice(METHODS), "ratio": tune.uniform(0, 0.95)},
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(metric=["val_accuracy", "sparsity", "macs"], mode=["max", "max", "min"]),
                num_samples=trials,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Ends()]),
        )
        start = time.perf_counter()
        found = tuner.fit()
        seconds = time.perf_counter() - start
        assert len(found) == len(ends) == trials
        ray.shutdown()
    return {"trials": trials, "seconds": seconds, "steady": _steady(ends)}


def _profiled(program: Callable[[], None], profile: Path | None) -> None:
    if profile is None:
        program()
        return
    profiler = cProfile.Profile()
    profiler.runcall(program)
    with profile.open("w") as file:
        stats = pstats.Stats(profiler, stream=file)
        stats.sort_stats("cumulative").print_stats(120)
        stats.sort_stats("tottime").print_stats(60)


def _steady(ends: list[float]) -> float:
    """Trials a second once the first has ended."""
    return (len(ends) - 1) / (ends[-1] - ends[0])


def _tenths(ends: list[float]) -> list[float]:
    """The rate in each tenth of the trials."""
    size = len(ends) // 10
    marks = [ends[place * size] for place in range(10)] + [ends[-1]]
    return [size / (after - before) for before, after in pairwise(marks)] if size > 1 else []


def _gap(study: Path) -> float:
    """Seconds between two trials of a worker, the mean: from the end of one's work to the start of the next one's."""
    workers = timelines.read(study).workers
    return sum(worker.between for worker in workers) / sum(len(worker.trials) - 1 for worker in workers)


def _megabytes(what: str) -> float:
    """Of this process, resident now (VmRSS) or at most (VmHWM); what getrusage says may be its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError("Linux counts it")


def main() -> None:
    """One measurement, its result as the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control")
    parser.add_argument("what", choices=("ours", "plain", "real"))
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--sampler", choices=sorted(SAMPLERS), default="random")
    parser.add_argument("--live", action="store_true", help="draw the live table, to stderr")
    parser.add_argument("--profile", type=Path, help="where to write what the driver's time went into")
    given = parser.parse_args()
    if given.what == "ours":
        found = ours(given.trials, sampler=given.sampler, live=given.live, profile=given.profile)
    else:
        found = {"plain": plain, "real": real}[given.what](given.trials)
    print(RESULT + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
