"""All faults at random moments against a search on three nodes: it ends with the rows of one that nobody disturbed."""

import contextlib
import math
import os
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.search.disturbed import (
    FAULTS,
    PATIENCE,
    Driver,
    batches,
    driver,
    last_line,
    network,
    rows,
    spec,
    undisturbed,
)
from tests.search.three_nodes import Nodes, nodes, wait_until
from trial.training import Training

SECONDS = float(os.environ.get("PRUNEFRONT_CHAOS_SECONDS", "90"))
WORKERS = 3
METHODS = ("filter-l1", "random-channels")
PAUSE = (2.0, 8.0)
EPOCHS = 2
IMAGES = 200
MEMORY = f"""
            if asked("allocate"):
                held = torch.ones({300 * 2**20 // 4})
                os.kill(os.getpid(), signal.SIGKILL)
"""
"""A worker that is killed as the kernel kills who takes the last memory: while it has it."""
OF_THEIR_OWN = {0, 1, 130, -signal.SIGKILL}
"""How drivers may end: the second where a disk is full or workers die on, with one line."""


class Chaos:
    """A search, the cluster under it, and what was done to them."""

    def __init__(self, folder: Path, given: dict[str, object], *, seed: int, stack: ExitStack) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.done: list[str] = []
        self.lost_stages = 0
        self.ended = False
        self._given = given
        self._stack = stack
        self._new_cluster()
        self.start()

    def _new_cluster(self) -> None:
        self.cluster: Nodes = self._stack.enter_context(nodes())

    def start(self) -> None:
        self.search: Driver = self._stack.enter_context(
            driver(self.folder, "--address", self.cluster.address, given=self._given, mark=self.cluster.mark)
        )

    def see_to_the_driver(self) -> None:
        """Start it again where it has ended before its time; it must have said why."""
        if self.search.process.poll() is None:
            return
        code, _, complained = self.search.end()
        assert code in OF_THEIR_OWN, complained
        assert "Traceback" not in complained
        if code == 0:
            self.ended = True
            return
        if code == 1:
            assert last_line(complained).startswith("prunefront: "), complained
        self.start()

    def disturb(self) -> None:
        """One fault, of those that can be done now; none while a driver starts."""
        if not self.cluster.named("ray::ClaimsActor"):
            return
        fault = self.chance.choice(self.faults)
        self.done.append(fault.__name__)
        self.lost_stages += fault() or 0

    @property
    def faults(self) -> list[Callable[[], int]]:
        """Each says how many stages it may have cost."""
        return [self.worker, self.worker, self.claims, self.node, self.driver, self.ctrl_c, self.memory, self.disk] + (
            [self.head] if "head" not in self.done else []
        )

    def worker(self) -> int:
        return self._kill(self.cluster.workers, signal.SIGKILL)

    def claims(self) -> int:
        return self._kill(self.cluster.named("ray::ClaimsActor"), signal.SIGKILL)

    def node(self) -> int:
        self.cluster.kill_raylet(self.chance.randrange(len(self.cluster.others)))
        self.cluster.add()
        return 1

    def driver(self) -> int:
        self.search.process.kill()
        self.search.process.wait()
        return WORKERS

    def ctrl_c(self) -> int:
        for _ in range(self.chance.choice([1, 2])):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.search.process.pid, signal.SIGINT)
            time.sleep(0.2)
        self.search.process.wait(60)
        return WORKERS

    def memory(self) -> int:
        (self.folder / "allocate").touch()
        return WORKERS

    def disk(self) -> int:
        """No worker may write one more byte."""
        for pid in self.cluster.workers:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        return WORKERS

    def head(self) -> int:
        self.cluster.kill_head()
        code, _, complained = self.search.end()
        assert code in OF_THEIR_OWN, complained
        self._new_cluster()
        self.start()
        return WORKERS

    def _kill(self, pids: list[int], sent: signal.Signals) -> int:
        if not pids:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.chance.choice(pids), sent)
        return 1


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(SECONDS, marks=pytest.mark.timeout(SECONDS + 3 * PATIENCE), id="minutes"),
        pytest.param(1800.0, marks=[pytest.mark.slow, pytest.mark.timeout(1800 + 5 * PATIENCE)], id="half-an-hour"),
    ],
)
def test_a_search_in_chaos_ends_as_one_that_nobody_disturbed(tmp_path: Path, seconds: float) -> None:
    given = {**spec(methods=METHODS, epochs=EPOCHS, images=IMAGES), "workers": WORKERS}
    want = undisturbed(tmp_path / "undisturbed", given, MEMORY + FAULTS)
    distinct = sum(batches(tmp_path / "undisturbed").values())
    end, done, round_ = math.inf, Counter[str](), 0
    while time.monotonic() < end:
        folder = tmp_path / str(round_)
        folder.mkdir()
        network(folder, MEMORY + FAULTS)
        seed = random.SystemRandom().randrange(2**32)
        print(f"round {round_}, seed {seed}")
        with ExitStack() as stack:
            chaos = Chaos(folder, given, seed=seed, stack=stack)
            chaos.search.has(1)
            # From the first row on: what comes before is the start of nodes, driver and workers.
            end = min(end, time.monotonic() + seconds)
            while time.monotonic() < end and not chaos.ended:
                time.sleep(chaos.chance.uniform(*PAUSE))
                chaos.see_to_the_driver()
                if not chaos.ended:
                    chaos.disturb()
            (folder / "allocate").unlink(missing_ok=True)
            deadline = time.monotonic() + PATIENCE
            while not chaos.ended:
                assert time.monotonic() < deadline, "the search does not end"
                time.sleep(0.5)
                chaos.see_to_the_driver()
            print(f"{len(rows(folder))} rows; {dict(Counter(chaos.done))}")
            wait_until(lambda c=chaos: not c.cluster.workers, seconds=60, what="workers are left")
        assert rows(folder) == want
        done += Counter(chaos.done)
        executed = sum(batches(folder).values())
        # No stage is longer than a recovery.
        longest = EPOCHS * math.ceil(IMAGES / Training().batch)
        print(f"{executed} batches, {distinct} distinct, {chaos.lost_stages} stages may have been lost")
        assert distinct <= executed <= distinct + chaos.lost_stages * longest
        round_ += 1
    print(dict(done))
    assert done
