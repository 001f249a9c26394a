"""Machines with GPUs that trials share, machines that join, that are lost, and that are about to be taken away.

The GPUs are Ray's alone: it hands them out and shows trials their part, and torch sees none.
"""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analysis import timeline
from analysis.epochs import counted
from tests.search import disturbed
from tests.search.disturbed import driver, rows, spec, undisturbed
from tests.search.test_run import environment
from tests.search.three_nodes import Nodes, nodes, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEEN = """
            if self.training and not getattr(Tiny, "seen", False):
                Tiny.seen = True
                line = f"{os.getpid()} {os.environ.get('RAY_RAYLET_PID')} {os.environ.get('CUDA_VISIBLE_DEVICES')}"
                with Path(__file__).with_name("seen").open("a") as file:
                    file.write(line + chr(10))
"""
"""Each process that trains says which node it is of, and which GPUs Ray shows it."""


def prepared(folder: Path, *, seconds: float, **changes: Any) -> dict[str, Any]:
    disturbed.network(folder, SEEN)
    disturbed.slow(folder, seconds=seconds)
    (folder / "seen").touch()
    given = {name: said for name, said in spec().items() if name not in {"workers", "checkpoint_every"}}
    return given | changes


def seen(folder: Path) -> dict[int, tuple[int, str]]:
    """By process: its node's raylet, and the GPUs that Ray shows it."""
    lines = (line.split() for line in (folder / "seen").read_text().splitlines())
    return {int(pid): (int(raylet), gpus) for pid, raylet, gpus in lines}


def most_at_once(study: Path) -> dict[int, int]:
    """By process: how many trials ran at the moment when one of its own began, at most; the dense one is left out."""
    trials = [trial for trial in timeline.read(study).trials if trial.recipe["method"] != "dense"]
    found: Counter[int] = Counter()
    for each in trials:
        process = int(each.worker.rpartition(":")[2])
        found[process] = max(found[process], sum(other.start <= each.start < other.end for other in trials))
    return found


def checked(folder: Path, given: dict[str, Any], *, address: str) -> list[str]:
    """What ``prunefront check`` says, in a process of its own: one that had a Ray here is answered by no other head."""
    (folder / "spec.yaml").write_text(json.dumps(given))
    program = [sys.executable, "-c", "from prunefront import main; main()", "check", "spec.yaml", "--address", address]
    ended = subprocess.run(program, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_trials_share_gpus_and_unequal_machines_take_what_fits(tmp_path: Path) -> None:
    given = prepared(tmp_path, seconds=4.0, resources={"gpu": 0.25, "cpu": 1})
    with nodes(1) as cluster:
        cluster.add(cpus=8, gpus=1)
        cluster.add(cpus=2, gpus=2)
        lines = checked(tmp_path, given, address=cluster.address)
        said = f"6 trials at {cluster.address}, on 2 of 3 machines, each with 1 core and 0.25 of a GPU"
        assert f"at once     {said}; more as machines join" in lines
        wrong = given | {"resources": {"gpu": 0.25, "cpu": 9}}
        with driver(tmp_path, "--address", cluster.address, given=wrong, mark=cluster.mark) as search:
            code, _, complained = search.end()
        assert code == 2
        assert "hold 9 cores and 0.25 of a GPU, and no machine at" in complained
        assert not (tmp_path / "study").exists()
        with driver(tmp_path, "--address", cluster.address, given=given, mark=cluster.mark) as search:
            # On a busy machine the first worker has run all trials before the last has started.
            wait_until(lambda: len(seen(tmp_path)) == 1 + 6, seconds=400, what="six workers beside the dense network's")
            disturbed.slow(tmp_path, seconds=0)
            code, said, complained = search.end()
        assert code == 0, complained
        one, two = (node["raylet"] for node in cluster.others)
    assert said.count("a GPU that torch does not see") == 1
    assert {row["state"] for row in rows(tmp_path).values()} == {"complete"}
    found = seen(tmp_path)
    trained = [found[pid] for pid in most_at_once(tmp_path / "study")]
    print(trained, most_at_once(tmp_path / "study"))
    assert {raylet for raylet, _ in trained} <= {one, two}
    assert Counter(raylet for raylet, _ in trained) == {one: 4, two: 2}
    assert {gpus for raylet, gpus in trained if raylet == one} == {"0"}
    assert max(most_at_once(tmp_path / "study").values()) == 6


def test_a_machine_that_joins_is_used_and_one_that_is_lost_costs_no_trial(tmp_path: Path) -> None:
    want = undisturbed(tmp_path / "undisturbed", spec(epochs=4), SEEN)
    given = prepared(tmp_path, seconds=0.3, recovery={"epochs": 4}, checkpoint_every=2)
    with (
        nodes(1) as cluster,
        driver(tmp_path, "--address", cluster.address, given=given, mark=cluster.mark) as search,
    ):
        search.has(1)
        cluster.add()
        began = time.monotonic()
        wait_until(lambda: works(cluster, tmp_path), seconds=60, what="the machine that joined works")
        print(f"works after {time.monotonic() - began:.0f} s")
        search.has(len(rows(tmp_path)) + 1)
        cluster.kill_raylet(0)
        code, said, complained = search.end()
    assert code == 0, complained
    assert "a worker was lost at filter-l1" in said
    assert rows(tmp_path) == want
    epochs = counted(tmp_path / "study")
    print(epochs)
    assert epochs.executed - epochs.needed <= given["checkpoint_every"]


def test_dense_training_leaves_a_machine_that_is_about_to_be_taken_away(tmp_path: Path) -> None:
    # The head has no two cores.
    given = prepared(tmp_path, seconds=0.5, dense={"epochs": 6}, checkpoint_every=100, resources={"cpu": 2})
    given["search"] = {**given["search"], "trials": 1}
    with nodes(1) as cluster:
        cluster.add(cpus=2)
        with driver(tmp_path, "--address", cluster.address, given=given, mark=cluster.mark) as search:
            wait_until(lambda: seen(tmp_path), seconds=240, what="the dense network is trained")
            ((_, (raylet, _)),) = seen(tmp_path).items()
            assert raylet == cluster.others[0]["raylet"]
            cluster.add(cpus=2)
            cluster.drain(0, seconds=60)
            wait_until(lambda: len(seen(tmp_path)) == 2, seconds=240, what="another machine goes on")
            disturbed.slow(tmp_path, seconds=0)
            code, said, complained = search.end()
    assert code == 0, complained
    assert said.count("the dense network's training goes on elsewhere") == 1
    assert len(rows(tmp_path)) == 1
    epochs = counted(tmp_path / "study")
    assert epochs.executed == epochs.needed == 6 + 1


def test_a_search_that_waits_for_a_machine_says_so_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    given = [prepared(folder, seconds=2.0, resources={"cpu": 1}, dense={"epochs": 400}) for folder in (first, second)]
    with (
        nodes(1) as cluster,
        driver(first, "--address", cluster.address, given=given[0], mark=cluster.mark),
    ):
        wait_until(lambda: seen(first), seconds=240, what="the first search has the only core")
        with driver(second, "--address", cluster.address, given=given[1], mark=cluster.mark) as search:
            assert search.process.stdout is not None
            line = search.process.stdout.readline()
            assert line == "the dense network waits for a machine with 1 core to spare\n"
            search.process.send_signal(signal.SIGTERM)
            code, _, complained = search.end(seconds=60)
    assert code == 130
    assert "interrupted: 0 of 18 trials are safe in study" in complained
    assert not seen(second)


def works(cluster: Nodes, folder: Path) -> bool:
    return any(raylet == cluster.others[0]["raylet"] for raylet, _ in seen(folder).values())


def test_a_machine_that_is_about_to_be_taken_away_is_left_after_the_epoch_that_runs(tmp_path: Path) -> None:
    want = undisturbed(tmp_path / "undisturbed", spec(epochs=12), SEEN)
    given = prepared(tmp_path, seconds=0.3, recovery={"epochs": 12}, checkpoint_every=100)
    with (
        nodes(2) as cluster,
        driver(tmp_path, "--address", cluster.address, given=given, mark=cluster.mark) as search,
    ):
        search.has(1)
        wait_until(lambda: works(cluster, tmp_path), seconds=60, what="both machines work")
        cluster.drain(0, seconds=60)
        doomed = {pid for pid, (raylet, _) in seen(tmp_path).items() if raylet == cluster.others[0]["raylet"]}
        wait_until(lambda: not doomed & set(cluster.workers), seconds=60, what="it is left")
        disturbed.slow(tmp_path, seconds=0)
        code, said, complained = search.end()
    assert code == 0, complained
    assert complained == ""
    assert said.count("goes on elsewhere") == 1
    assert "a worker was lost" not in said
    assert rows(tmp_path) == want
    epochs = counted(tmp_path / "study")
    assert epochs.executed == epochs.needed
