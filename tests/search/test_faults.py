"""What happens to a search when a part of it is lost: each fault is a real one, on a real cluster of three nodes."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis.epochs import counted
from tests.search import disturbed, three_nodes
from tests.search.disturbed import PATIENCE, driver, last_line, rows, spec, undisturbed
from tests.search.three_nodes import Nodes, nodes, processes, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
METHODS = ("filter-l1", "random-channels")
GO_ON = "all finished trials are safe in study; run the same command to continue"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with nodes() as started:
        yield started


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    return undisturbed(tmp_path_factory.mktemp("never") / "disturbed", spec(methods=METHODS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    disturbed.network(tmp_path)
    disturbed.slow(tmp_path, seconds=0.2)
    return tmp_path


def test_the_search_that_is_disturbed_has_failures_of_its_own(expected: dict[str, dict[str, object]]) -> None:
    states = [row["state"] for row in expected.values()]
    assert states.count("failed") >= 3
    assert states.count("complete") >= 20


def kill_a_worker(cluster: Nodes) -> None:
    os.kill(cluster.workers[0], signal.SIGKILL)


def kill_the_claims(cluster: Nodes) -> None:
    os.kill(cluster.named("ray::ClaimsActor")[0], signal.SIGKILL)


def lose_a_node(cluster: Nodes) -> None:
    claims = cluster.named("ray::ClaimsActor")
    cluster.kill_raylet(0)
    cluster.add()
    assert cluster.named("ray::ClaimsActor") == claims, "they are beside the driver"


@pytest.mark.parametrize("fault", [kill_a_worker, kill_the_claims, lose_a_node])
def test_a_search_goes_on(
    cluster: Nodes, folder: Path, expected: dict[str, dict[str, object]], fault: Callable[[Nodes], None]
) -> None:
    with driver(folder, "--address", cluster.address, given=spec(methods=METHODS), mark=cluster.mark) as search:
        search.has(4)
        fault(cluster)
        code, said, complained = search.end()
    assert code == 0, complained
    assert "the space is used up: 36 recipes" in said
    assert complained == ""
    assert "(raylet)" not in said
    assert "A worker died" not in said
    if fault is kill_a_worker:
        assert re.search(
            r"^a worker was lost at (filter-l1|random-channels) ratio=\S+: the trial begins again$", said, re.M
        )
    assert rows(folder) == expected
    epochs = counted(folder / "study")
    print(fault.__name__, epochs)
    assert epochs.executed - epochs.needed <= 1


CONSTANT = "return self.last(hidden) + 50 * torch.nn.functional.one_hot(torch.tensor(0), self.last.out_features)"
"""Answers the same class to every image, whatever was cut: nobody's accuracy is beaten, and nobody is stopped."""


def test_killed_workers_between_rungs_cost_an_epoch_each_and_no_trial(cluster: Nodes, tmp_path: Path) -> None:
    given = spec(epochs=3)
    given["search"] = {**given["search"], "rungs": [1, 2]}
    assert given["checkpoint_every"] == 1
    want = undisturbed(tmp_path / "undisturbed", given, CONSTANT)
    assert len({row["val_loss"] for row in want.values()}) == len(want)
    disturbed.network(tmp_path, CONSTANT)
    disturbed.slow(tmp_path, seconds=0.2)
    kills = 3
    with driver(tmp_path, "--address", cluster.address, given=given, mark=cluster.mark) as search:
        for number in range(kills):
            search.has(3 + 3 * number)
            kill_a_worker(cluster)
        code, _, complained = search.end()
    assert code == 0, complained
    assert rows(tmp_path) == want
    epochs = counted(tmp_path / "study")
    print(epochs)
    assert epochs.needed == counted(tmp_path / "undisturbed" / "study").executed
    assert epochs.executed - epochs.needed <= kills


def test_a_killed_driver_has_last_words_and_its_search_goes_on(
    cluster: Nodes, folder: Path, expected: dict[str, dict[str, object]]
) -> None:
    given = spec(methods=METHODS)
    with driver(folder, "--address", cluster.address, given=given, mark=cluster.mark) as search:
        search.has(4)
        search.process.kill()
        code, _, complained = search.end()
    assert code == -signal.SIGKILL
    assert last_line(complained) == f"prunefront: the search was ended from outside, or by its Ray; {GO_ON}"
    wait_until(lambda: not cluster.named("ray::ClaimsActor"), seconds=PATIENCE, what="the driver's actors end with it")
    with driver(folder, "--address", cluster.address, given=given, mark=cluster.mark) as search:
        code, _, complained = search.end()
    assert code == 0, complained
    assert rows(folder) == expected


@pytest.mark.parametrize("lost", ["gcs_server", "raylet"])
def test_a_search_whose_clusters_head_is_lost_says_so_and_goes_on_with_another(
    folder: Path, expected: dict[str, dict[str, object]], lost: str
) -> None:
    given = spec(methods=METHODS)
    with nodes() as cluster, driver(folder, "--address", cluster.address, given=given, mark=cluster.mark) as search:
        search.has(4)
        cluster.is_headless = True
        os.kill(cluster.head["pids"][lost][0], signal.SIGKILL)
        code, _, complained = search.end()
        assert code == 1
        assert last_line(complained).endswith(GO_ON)
        assert "Traceback" not in complained
        gone = cluster.address
    if lost == "gcs_server":
        with driver(folder, "--address", gone, given=given, mark=cluster.mark) as search:
            code, _, complained = search.end()
            assert code == 2
            assert complained.startswith(f"prunefront: no Ray cluster answers at {gone}")
    with driver(folder, given=given, mark=cluster.mark) as search:
        code, _, complained = search.end()
    assert code == 0, complained
    assert rows(folder) == expected


@pytest.mark.parametrize("killer", ["the kernel", "ray"])
def test_a_worker_that_is_killed_for_its_memory_costs_no_trial(tmp_path: Path, killer: str) -> None:
    """Tune ended the whole search when Ray's memory monitor killed a worker, whatever max_failures said."""
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(memory[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    large = free // 3
    # The kernel's killer sends SIGKILL while the memory is there; Ray's own watches what is left on the machine.
    then = "os.kill(os.getpid(), signal.SIGKILL)" if killer == "the kernel" else "time.sleep(60)"
    fault = f"""
        if hidden.shape[1] == 10 and asked("allocate"):
            held = torch.ones({large // 4})
            {then}
    """
    given = spec()
    want = undisturbed(tmp_path / "undisturbed", given, fault)
    disturbed.network(tmp_path, fault)
    (tmp_path / "allocate").touch()
    env = {
        "RAY_memory_monitor_refresh_ms": "100",
        "RAY_memory_usage_threshold": f"{1 - (free - large / 2) / total:.4f}",
    }
    with (
        nodes(**(env if killer == "ray" else {})) as cluster,
        driver(tmp_path, "--address", cluster.address, given=given, mark=cluster.mark) as search,
    ):
        code, said, complained = search.end()
    assert not (tmp_path / "allocate").exists()
    assert code == 0, complained
    assert rows(tmp_path) == want
    assert complained == ""
    assert "(raylet)" not in said
    assert "a worker was lost at" in said or "a worker was killed because its machine ran out of memory" in said


def test_a_full_disk_ends_the_search_and_a_larger_one_lets_it_go_on(tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    disturbed.network(tmp_path)
    given = spec()
    want = undisturbed(tmp_path / "undisturbed", given)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "prunefront-test", str(study)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with driver(tmp_path, given=given, mark=tmp_path.name) as search:
            code, _, complained = search.end()
        assert code == 1
        assert "No space left on device" in last_line(complained)
        assert "Traceback" not in complained
        before = rows(tmp_path)
        assert len(before) < len(want)
        subprocess.run(["mount", "-o", "remount,size=64m", str(study)], check=True)
        with driver(tmp_path, given=given, mark=tmp_path.name) as search:
            code, _, complained = search.end()
        assert code == 0, complained
        assert rows(tmp_path) == want
    finally:
        subprocess.run(["umount", str(study)], check=True)


def test_a_trial_that_hangs_is_ended_at_its_time_limit_and_the_others_run(cluster: Nodes, tmp_path: Path) -> None:
    given = spec()
    given["search"] = {**given["search"], "time_limit": 20}
    disturbed.network(tmp_path, "if hidden.shape[1] == 10: time.sleep(100_000)")
    with driver(tmp_path, "--address", cluster.address, given=given, mark=cluster.mark) as search:
        code, said, complained = search.end()
    assert code == 0, complained
    assert complained == ""
    assert [line for line in said.splitlines() if "(raylet)" in line or "worker" in line] == []
    # Once when it happens, once in what is said at the end.
    about = [line for line in said.splitlines() if "TimeLimit: the trial took longer than 20 s" in line]
    assert len(about) == 2, said
    states = {row["ratio"]: row["state"] for row in rows(tmp_path).values()}
    assert states == {ratio: "failed" if ratio == 0.5 else "complete" for ratio in disturbed.RATIOS}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("where", ["here", "cluster"])
def test_ctrl_c_ends_the_search_and_leaves_no_process(
    request: pytest.FixtureRequest, folder: Path, expected: dict[str, dict[str, object]], times: int, where: str
) -> None:
    given = spec(methods=METHODS)
    cluster = request.getfixturevalue("cluster") if where == "cluster" else None
    options = ["--address", cluster.address] if cluster else []
    mark = cluster.mark if cluster else three_nodes.uuid.uuid4().hex
    before = processes(mark)
    with driver(folder, *options, given=given, mark=mark) as search:
        search.has(4)
        for number in range(times):
            if number:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    search.process.wait(0.3)
            with contextlib.suppress(ProcessLookupError):
                # To all of its group, as a terminal does.
                os.killpg(search.process.pid, signal.SIGINT)
        code, _, complained = search.end()
    assert code == 130, complained
    assert "Traceback" not in complained
    assert last_line(complained).startswith("prunefront: interrupted")
    if times == 1:
        assert last_line(complained).endswith("trials are safe in study; run the same command to continue")

    def left() -> list[str]:
        # A cluster keeps workers that do nothing.
        return [said for pid, said in processes(mark).items() if pid not in before and "ray::IDLE" not in said]

    wait_until(lambda: not left(), seconds=PATIENCE, what="processes are left")
    with driver(folder, *options, given=given, mark=mark) as search:
        code, _, complained = search.end()
    assert code == 0, complained
    assert rows(folder) == expected


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["driver.json", "/gcs_server", "/raylet/raylet", "ray::"])
def test_a_signal_while_ray_starts_ends_the_search_as_ctrl_c_does(
    folder: Path, sent: signal.Signals, when: str
) -> None:
    """Ray handled SIGTERM itself meanwhile: exit code 15 or 134, without a word."""
    mark = three_nodes.uuid.uuid4().hex

    def is_there() -> bool:
        return (folder / "study" / when).exists() or any(when in said for said in processes(mark).values())

    with driver(folder, given=spec(methods=METHODS), mark=mark) as search:
        wait_until(is_there, seconds=PATIENCE, what=when)
        search.process.send_signal(sent)
        code, said, complained = search.end()
    assert code == 130, complained
    # Before its trials are counted a search has nothing more to say.
    assert re.fullmatch(
        r"prunefront: interrupted(: 0 of 36 trials are safe in study; run .* to continue)?\n", complained
    )
    assert "(raylet)" not in said
    assert not (folder / "study" / "driver.json").exists()
    wait_until(lambda: not processes(mark), seconds=PATIENCE, what="processes are left")
