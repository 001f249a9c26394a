"""Real searches through the command line, each in processes of its own."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

SPEC: dict[str, Any] = {
    "network": {"name": "seed-cnn", "width": 0.125},
    "data": {"name": "digits", "images": 200},
    "dense": {"epochs": 1},
    "sparsity": {"epochs": 1},
    "recovery": {"epochs": 1},
    "numerics": {"precision": "float32", "layout": "channels-last", "threads": 1, "dense_threads": 1},
    "search": {"methods": {"filter-l1": {"ratio": "any", "scope": "any"}, "magnitude-global": "any"}, "trials": 4},
    "workers": 2,
    "artefacts": "none",
}
LIMIT = 240


def command(folder: Path, *options: str, spec: dict[str, Any] = SPEC) -> list[str]:
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    program = "import sys; sys.path.pop(0); from prunefront import main; main()"
    return [sys.executable, "-c", program, "run", "spec.yaml", "--study", "study", *options]


def environment(**further: str) -> dict[str, str]:
    # Where the package is not installed, it is found here; never in the folder that the user works in.
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": paths.rstrip(os.pathsep)} | further


def run(folder: Path, *options: str, spec: dict[str, Any] = SPEC, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *options, spec=spec),
        cwd=folder,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def run_on_a_terminal(folder: Path, *options: str) -> tuple[int, str]:
    """Run where the output is a terminal; the exit code and everything that was drawn."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        command(folder, *options),
        cwd=folder,
        env=environment(TERM="xterm", COLUMNS="120", LINES="40"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        drawn = b""
        # Reading a terminal that nobody writes to any more is an error, not an end.
        with contextlib.suppress(OSError):
            while piece := os.read(master, 65536):
                drawn += piece
        os.close(master)
        return process.wait(LIMIT), drawn.decode()


@contextmanager
def started(folder: Path, *options: str, spec: dict[str, Any] = SPEC) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(folder, *options, spec=spec),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    found = (json.loads(path.read_text()) for path in (folder / "study" / "rows").glob("[!.]*.json"))
    return {row["trial"]: row for row in found if row["method"] != "dense"}


def wait_for_rows(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + LIMIT
    while len(rows(folder)) < count:
        assert process.poll() is None, f"the search ended early: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def forget_nothing(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> None:
    """No row of before is lost or was run again."""
    assert {trial: after[trial] for trial in before} == before


def test_a_search_runs_ends_and_goes_on_with_a_larger_budget(shadowed: Path) -> None:
    first = run(shadowed)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    done = rows(shadowed)
    assert len(done) == 4
    assert all(row["state"] == "complete" and row["study"] == "study" for row in done.values())
    assert "4/4" in first.stdout
    assert " = 1.000\n" in first.stdout, "every epoch was run once"
    assert "normalised hypervolume" in first.stdout
    assert (shadowed / "study" / "figures" / "front.png").is_file()
    assert "figure: study/figures/front.png" in first.stdout
    assert (shadowed / "study" / "trials.parquet").is_file()
    assert sorted(path.name for path in (shadowed / "study").iterdir()) == [
        "curves", "curves.parquet", "epochs", "figures", "rows", "spec.yaml", "stages", "trials.parquet",
    ]  # fmt: skip
    # Two workers ran the four trials: they were kept from trial to trial.
    assert len({row["worker"] for row in done.values()}) <= 2

    again = run(shadowed)
    assert again.returncode == 0, again.stderr
    assert rows(shadowed) == done
    assert "1/4" not in again.stdout
    assert "dense network" not in again.stdout

    code, seen = run_on_a_terminal(shadowed, "--trials", "6")
    assert code == 0, seen
    assert "6/6 trials" in seen
    assert "front so far" in seen
    forget_nothing(done, rows(shadowed))
    assert len(rows(shadowed)) == 6


def test_a_killed_driver_loses_no_row_and_repeats_none(tmp_path: Path) -> None:
    with started(tmp_path, "--trials", "8") as process:
        wait_for_rows(tmp_path, process, 3)
        process.kill()
    time.sleep(2)
    before = rows(tmp_path)
    after = run(tmp_path, "--trials", "8")
    assert after.returncode == 0, after.stderr
    forget_nothing(before, rows(tmp_path))
    assert len(rows(tmp_path)) == 8


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_ends_in_seconds_and_says_how_to_go_on(tmp_path: Path, sent: signal.Signals) -> None:
    with started(tmp_path, "--trials", "500") as process:
        wait_for_rows(tmp_path, process, 2)
        other = run(tmp_path, "--trials", "500")
        assert other.returncode == 2
        assert f"is being written by process {process.pid}" in other.stderr
        began = time.monotonic()
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
        assert time.monotonic() - began < 20
        assert process.returncode == 130
    done = len(rows(tmp_path))
    line = said.strip().splitlines()[-1]
    assert line.startswith("prunefront: interrupted: ")
    assert line.endswith("of 392 trials are safe in study; run the same command to continue")
    assert abs(int(line.split()[2]) - done) <= 2
    assert not (tmp_path / "study" / "driver.json").exists()
    assert "Traceback" not in said


@pytest.mark.slow
def test_an_interrupted_dense_training_leaves_no_process_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker trained on for minutes: Python waits at its end for a thread that is no daemon."""
    monkeypatch.setenv("PRUNEFRONT_TEST", str(tmp_path))

    def left() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"PRUNEFRONT_TEST={tmp_path}\0".encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().decode())
        return found

    def waited(until: Callable[[], bool], *, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            time.sleep(0.5)
        return until()

    with started(tmp_path, spec={**SPEC, "dense": {"epochs": 10_000}}) as process:
        assert waited(lambda: any("_dense" in command for command in left()), seconds=LIMIT)
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 130
    assert waited(lambda: not left(), seconds=30), left()


def test_a_full_disk_ends_the_search_and_says_what_is_kept(tmp_path: Path) -> None:
    patch = tmp_path / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import errno, os, pathlib
            whole = os.fsync
            def fsync(file):
                if len(list(pathlib.Path(os.environ["STUDY"]).glob("rows/[!.]*.json"))) >= 3:
                    raise OSError(errno.ENOSPC, "No space left on device")
                whole(file)
            os.fsync = fsync
        """)
    )
    repository = str(Path(__file__).parents[2])
    full = run(tmp_path, STUDY=str(tmp_path / "study"), PYTHONPATH=f"{patch}{os.pathsep}{repository}")
    assert full.returncode == 1, full.stderr
    assert full.stderr.strip() == (
        "prunefront: No space left on device while writing study: 3 finished rows are kept there"
    )


@pytest.mark.slow
def test_a_users_own_network_and_a_space_that_is_used_up(shadowed: Path) -> None:
    (shadowed / "mine.py").write_text(
        textwrap.dedent("""
            from torch import nn
            def small(classes):
                return nn.Sequential(
                    nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
                    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
                )
        """)
    )
    search = {"methods": {"filter-l1": {"ratio": [0.2, 0.4, 0.6]}}, "trials": 10}
    ended = run(shadowed, spec={**SPEC, "network": {"code": "mine:small"}, "search": search})
    assert ended.returncode == 0, ended.stderr
    assert "the space is used up: 3 recipes" in ended.stdout
    assert len(rows(shadowed)) == 3


def test_one_failing_trial_does_not_end_a_search_and_all_failing_do(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
            import torch
            from torch import nn
            class Fragile(nn.Module):
                def __init__(self, classes):
                    super().__init__()
                    self.first, self.last = nn.Conv2d(3, 10, 3), nn.Linear(10, classes)
                def forward(self, images):
                    hidden = self.first(images).relu().mean((2, 3))
                    if hidden.shape[1] == 5:
                        raise RuntimeError("five channels are too few")
                    return self.last(hidden)
            def fragile(classes):
                return Fragile(classes)
        """)
    )
    network = {"network": {"code": "mine:fragile"}}
    search = {"methods": {"random-channels": {"ratio": [0.2, 0.5, 0.8]}}, "trials": 3}
    mixed = run(tmp_path, spec={**SPEC, **network, "search": search})
    assert mixed.returncode == 0, mixed.stderr
    assert "1 of 3 trials failed, most often of RuntimeError: five channels are too few" in mixed.stdout
    search = {"methods": {"random-channels": {"ratio": 0.5}}}
    none = run(tmp_path, "--study", "other", spec={**SPEC, **network, "search": search})
    assert none.returncode == 1
    assert "all 1 trials failed" in none.stderr
    assert none.stderr.count("\n") == 1
