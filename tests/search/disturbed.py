"""A small search that is to be disturbed, the same never disturbed, and what must be equal afterwards."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.search.test_run import SPEC, command, environment
from tests.search.three_nodes import MARK, wait_until
from trial.recipe import columns

COMPARED = (*columns(), "state", "val_accuracy", "val_loss", "params", "macs", "bytes")
RATIOS = [round(0.05 * step, 2) for step in range(1, 19)]
PATIENCE = 400.0

NETWORK = """
    import os, signal, time
    from pathlib import Path
    import torch
    from torch import nn

    def asked(name):
        try:
            Path(__file__).with_name(name).unlink()
        except FileNotFoundError:
            return False
        return True

    def wait():
        try:
            time.sleep(float(Path(__file__).with_name("slow").read_text()))
        except FileNotFoundError:
            pass

    class Tiny(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 20, 3, stride=2), nn.Linear(20, classes)

        def forward(self, images):
            if self.training:
                wait()
            hidden = self.first(images).relu().mean((2, 3))
            FAULT
            return self.last(hidden)

    def tiny(classes):
        return Tiny(classes)
"""
FAULTS = """
            if hidden.shape[1] == 3:
                hidden = hidden / 0
            if hidden.shape[1] == 4:
                torch.empty(2 ** 46)
            if hidden.shape[1] == 5:
                raise RuntimeError("five channels are too few")
"""
"""NaN, more memory than any machine has, an exception: in the networks of some recipes, each time."""


def spec(*, methods: tuple[str, ...] = ("filter-l1",), epochs: int = 1, images: int = 200) -> dict[str, Any]:
    """A space that is small enough to be used up: what a search leaves does not depend on the order."""
    return {
        **SPEC,
        "network": {"code": "disturbed_network:tiny"},
        "data": {"name": "digits", "images": images},
        "recovery": {"epochs": epochs},
        "checkpoint_every": 1,
        "search": {"methods": {name: {"ratio": RATIOS} for name in methods}, "sampler": "random", "trials": 10_000},
        "workers": 2,
    }


def network(folder: Path, fault: str = FAULTS) -> None:
    body = textwrap.indent(textwrap.dedent(fault).strip("\n"), " " * 8)
    (folder / "disturbed_network.py").write_text(textwrap.dedent(NETWORK).replace("        FAULT", body))


def slow(folder: Path, *, seconds: float) -> None:
    """Have each batch of training take so much longer, so that what happens to a worker happens to a trial."""
    path = folder / "slow"
    path.with_suffix(".new").write_text(str(seconds))
    path.with_suffix(".new").replace(path)


UNDISTURBED = """
import sys
from pathlib import Path
sys.path.append(str(Path.cwd()))
from search.spec import load
from trial.recipe import Recipe
from trial.workbench import Workbench
spec, _ = load("spec.yaml")
experiment, space = spec.experiment(), spec.space
bench = Workbench(experiment, Path("study"), study_name="study", worker="alone")
bench.dense()
for number in range(space.size):
    bench.run(Recipe.parse(space.at(number), experiment, where="spec.yaml"))
"""


def undisturbed(folder: Path, given: dict[str, Any], fault: str = FAULTS) -> dict[str, dict[str, Any]]:
    """The rows of every recipe, one after another in one process without Ray."""
    folder.mkdir()
    network(folder, fault)
    (folder / "spec.yaml").write_text(yaml.safe_dump(given))
    ended = subprocess.run(
        [sys.executable, "-c", UNDISTURBED],
        cwd=folder,
        env=environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return rows(folder)


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """What is compared of each row, by trial."""
    found = (json.loads(path.read_text()) for path in (folder / "study" / "rows").glob("[!.]*.json"))
    return {row["trial"]: {name: row[name] for name in COMPARED} for row in found if row["method"] != "dense"}


class Driver:
    """``prunefront run`` in a process group of its own."""

    def __init__(self, folder: Path, *options: str, given: dict[str, Any], **env: str) -> None:
        self.folder = folder
        # Ctrl-C must be able to reach it: a test run in the background starts its children with SIGINT ignored.
        program = command(folder, *options, spec=given)
        start = "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        self.process = subprocess.Popen(
            [program[0], "-c", start + "os.execv(sys.argv[1], sys.argv[1:])", *program],
            cwd=folder,
            env=environment(OMP_NUM_THREADS="1", **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def has(self, count: int) -> None:
        """Wait for so many rows."""
        wait_until(
            lambda: len(rows(self.folder)) >= count or self.process.poll() is not None,
            seconds=PATIENCE,
            what=f"{count} rows",
        )
        assert self.process.poll() is None, self.process.communicate()

    def end(self, *, seconds: float = PATIENCE) -> tuple[int, str, str]:
        """Wait for its end: exit code, what it said, and what it complained of."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


@contextmanager
def driver(folder: Path, *options: str, given: dict[str, Any], mark: str, **env: str) -> Iterator[Driver]:
    started = Driver(folder, *options, given=given, **{MARK: mark}, **env)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.communicate()


def last_line(said: str) -> str:
    return said.strip().splitlines()[-1] if said.strip() else ""
