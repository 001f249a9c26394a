"""A real Ray cluster on this machine, small, apart from any other, and its processes by name: for tests of faults.

Run as a program it starts the nodes and obeys lines on its standard input, since what happens to its head must not
happen to the tests' own process.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MARK = "PRUNEFRONT_TEST"
"""An environment variable that every process of a test inherits: how they are found, and no one else's are."""
OBJECT_STORE_BYTES = 80 * 2**20
SMALL = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_enable_metrics_collection": "false",
    "RAY_prestart_worker_first_driver": "0",
    "OMP_NUM_THREADS": "1",
    # A node is dead after three missed seconds rather than half a minute.
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
}


def processes(mark: str) -> dict[int, str]:
    """The living processes that carry a mark, and their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}\0".encode() in (process / "environ").read_bytes():
                status = (process / "stat").read_text().rpartition(")")[2].split()[0]
                if status != "Z":
                    found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return found


def wait_until(claim: Callable[[], object], *, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, what
        time.sleep(0.2)


class Nodes:
    """The cluster as its tests see it."""

    def __init__(self, program: "subprocess.Popen[str]", mark: str, *, complaints: Path) -> None:
        self.mark = mark
        self._program = program
        self._complaints = complaints
        self.head = self._said()
        self.others: list[dict[str, Any]] = []
        self.is_headless = False

    @property
    def address(self) -> str:
        return str(self.head["address"])

    def add(self, *, cpus: int = 1, gpus: int = 0) -> None:
        """Let a node join; its GPUs are Ray's alone, and torch sees none of them."""
        self._tell("add", cpus, gpus)
        self.others.append(self._said())

    def drain(self, number: int, *, seconds: int) -> None:
        """Tell Ray that a node, not the head's, will be taken away after so many seconds, as a cloud does."""
        self._tell("drain", self.others[number]["id"], seconds)
        assert self._said()["is_accepted"]

    def _tell(self, *words: object) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(" ".join(map(str, words)) + "\n")
        self._program.stdin.flush()

    def kill_raylet(self, number: int) -> None:
        """Lose a node, not the head's: whatever it runs is lost with it."""
        os.kill(self.others.pop(number)["raylet"], signal.SIGKILL)

    def kill_head(self) -> None:
        """Lose the head's node and the service that keeps the cluster's state: the others follow after a minute."""
        self.is_headless = True
        for pid in (self.head["pids"]["gcs_server"][0], self.head["raylet"]):
            os.kill(pid, signal.SIGKILL)

    @property
    def workers(self) -> list[int]:
        """The processes that run trials, or wait for one."""
        return self.named("ray::Worker") + self.named("ray::ResourceTrainable") + self.named("ray::_dense")

    def named(self, part: str) -> list[int]:
        """The processes whose command line has a part: Ray names its workers after what they run."""
        return [pid for pid, command in processes(self.mark).items() if part in command]

    def _said(self) -> dict[str, Any]:
        assert self._program.stdout is not None
        said = json.loads(self._program.stdout.readline() or "{}")
        assert said, f"the cluster did not start: {self._complaints.read_text()[-1000:]}"
        return dict(said)


@contextmanager
def nodes(count: int = 3, **env: str) -> Iterator[Nodes]:
    """Start a cluster of so many nodes with a CPU each; afterwards nothing of it is left."""
    mark = uuid.uuid4().hex
    folder = Path(tempfile.mkdtemp(prefix="pf-", dir="/tmp"))  # a socket's path has 108 bytes
    complaints = folder / "complaints"
    program = subprocess.Popen(
        [sys.executable, __file__, str(folder)],
        env=os.environ | SMALL | {MARK: mark, "RAY_TMPDIR": str(folder)} | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints.open("w"),
        text=True,
        start_new_session=True,
    )
    try:
        started = Nodes(program, mark, complaints=complaints)
        for _ in range(count - 1):
            started.add()
        yield started
        assert program.stdin is not None
        with contextlib.suppress(OSError):
            program.stdin.close()
        if not started.is_headless:
            program.wait(60)
            wait_until(lambda: not processes(mark), seconds=60, what=f"left of the cluster: {processes(mark)}")
    finally:
        end_all(mark)
        program.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def end_all(mark: str) -> None:
    """Kill whatever carries the mark, until nothing does."""
    end = time.monotonic() + 30
    while (left := processes(mark)) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
    assert not left, left


def _serve(folder: str) -> None:
    from ray._raylet import GcsClient
    from ray.cluster_utils import Cluster
    from ray.core.generated import autoscaler_pb2

    # Ray notes there which cluster was started last: not where other people's look.
    (Path(folder) / "ray").mkdir()
    cluster = Cluster(shutdown_at_exit=True)

    def add(cpus: str = "1", gpus: str = "0") -> None:
        node = cluster.add_node(
            num_cpus=int(cpus),
            num_gpus=int(gpus),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            temp_dir=f"{folder}/{len(cluster.list_all_nodes())}",
        )
        pids = {kind: [each.process.pid for each in all_] for kind, all_ in node.all_processes.items()}
        said = {"address": cluster.address, "id": node.node_id, "raylet": pids["raylet"][0], "pids": pids}
        print(json.dumps(said), flush=True)

    def drain(node: str, seconds: str) -> None:
        deadline = int((time.time() + int(seconds)) * 1000)
        preempted = autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION
        is_accepted, _ = GcsClient(address=cluster.address).drain_node(node, preempted, "spot", deadline)
        print(json.dumps({"is_accepted": is_accepted}), flush=True)

    def bury() -> None:
        # Workers live on for as long as their raylet has a process number, be it a zombie's.
        while True:
            time.sleep(0.2)
            for node in cluster.list_all_nodes():
                for each in list(node.all_processes.values()):
                    for one in list(each):
                        one.process.poll()

    add()
    threading.Thread(target=bury, daemon=True).start()
    for line in sys.stdin:
        command, *words = line.split()
        {"add": add, "drain": drain}[command](*words)
    cluster.shutdown()


if __name__ == "__main__":
    _serve(sys.argv[1])
