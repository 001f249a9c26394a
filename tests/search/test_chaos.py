"""All faults at random moments against a search on three nodes: it ends with the rows of one that nobody disturbed."""

import contextlib
import os
import random
import resource
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from analysis.epochs import counted
from tests.search.disturbed import FAULTS, PATIENCE, Driver, driver, last_line, network, rows, slow, spec, undisturbed
from tests.search.three_nodes import Nodes, end_all, nodes, wait_until

SECONDS = float(os.environ.get("PRUNEFRONT_CHAOS_SECONDS", "1800"))
WORKERS = 3
METHODS = ("filter-l1", "random-channels")
PAUSE = (1.0, 4.0)
MEMORY = f"""
            if asked("allocate"):
                held = torch.ones({300 * 2**20 // 4})
                os.kill(os.getpid(), signal.SIGKILL)
"""
"""A worker that is killed as the kernel kills who takes the last memory: while it has it."""
QUICK = {"worker", "claims", "node"}
"""Those that need no new driver, which takes its time to start."""
ALL = QUICK | {"driver", "ctrl_c", "memory", "disk", "head"}
OF_THEIR_OWN = {0, 1, 130, -signal.SIGKILL}
"""How drivers may end: the second where a disk is full, workers die on or Ray ends, with one line."""


class Chaos:
    """A search, the cluster under it, and what was done to them."""

    def __init__(
        self, folder: Path, given: dict[str, object], *, faults: set[str], seed: int, stack: ExitStack
    ) -> None:
        self.folder = folder
        self._faults = faults
        self.chance = random.Random(seed)
        self.done: list[str] = []
        self.lost = 0
        """How many workers may have been at an epoch that was lost."""
        self.ended = False
        self._given = given
        self._stack = stack
        self._waiting: list[str] = []
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
        code, said, complained = self.search.end()
        assert code in OF_THEIR_OWN, (code, said, complained)
        assert "Traceback" not in complained, complained
        if code == 0:
            self.ended = True
            return
        print(code, last_line(complained))
        # Nobody who is killed before the search has begun has last words.
        assert last_line(complained).startswith("prunefront: ") or (code == -signal.SIGKILL and not said), complained
        self.start()

    def disturb(self) -> None:
        """One fault, each of them once before any comes again; none while a driver starts."""
        if not self.cluster.named("ray::ClaimsActor") or not self.cluster.workers:
            return
        if not self._waiting:
            self._waiting = self.chance.sample(sorted(self._faults), len(self._faults))
        # Each says how many workers it may have hit, 0 where it could not be done.
        hit = getattr(self, self._waiting[-1])()
        if hit:
            self.done.append(self._waiting.pop())
            self.lost += hit

    def worker(self) -> int:
        return self._kill(self.cluster.workers)

    def claims(self) -> int:
        return self._kill(self.cluster.named("ray::ClaimsActor"))

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
        return 1

    def disk(self) -> int:
        """No worker may write one more byte."""
        for pid in self.cluster.workers:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        self._wait_for_the_end()
        return WORKERS

    def head(self) -> int:
        """Lose the cluster; the driver ends, and goes on with another one."""
        self.cluster.kill_head()
        self._wait_for_the_end()
        end_all(self.cluster.mark)
        self._new_cluster()
        return WORKERS

    def _wait_for_the_end(self) -> None:
        wait_until(lambda: self.search.process.poll() is not None, seconds=PATIENCE, what="the driver goes on")

    def _kill(self, pids: list[int]) -> int:
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(self.chance.choice(pids), signal.SIGKILL)
            return 1
        return 0


@pytest.mark.parametrize(
    ("faults", "seconds"),
    [
        pytest.param(QUICK, 0.0, marks=pytest.mark.timeout(600), id="quick"),
        pytest.param(ALL, 0.0, marks=[pytest.mark.slow, pytest.mark.timeout(1500)], id="each-fault-once"),
        pytest.param(ALL, SECONDS, marks=[pytest.mark.slow, pytest.mark.timeout(SECONDS + 3 * PATIENCE)], id="long"),
    ],
)
def test_a_search_in_chaos_ends_as_one_that_nobody_disturbed(tmp_path: Path, faults: set[str], seconds: float) -> None:
    """Until every one of the faults was done, and for so many seconds."""
    given = {**spec(methods=METHODS), "workers": WORKERS}
    want = undisturbed(tmp_path / "undisturbed", given, MEMORY + FAULTS)
    needed = counted(tmp_path / "undisturbed" / "study")
    assert needed.executed == needed.needed
    done, round_, end = Counter[str](), 0, time.monotonic() + seconds
    while faults - set(done) or time.monotonic() < end:
        folder = tmp_path / str(round_)
        folder.mkdir()
        network(folder, MEMORY + FAULTS)
        slow(folder, seconds=3.0)
        seed = random.SystemRandom().randrange(2**32)
        print(f"round {round_}, seed {seed}")
        with ExitStack() as stack:
            chaos = Chaos(folder, given, faults=faults, seed=seed, stack=stack)
            while not chaos.ended and (faults - set(chaos.done) or time.monotonic() < end):
                time.sleep(chaos.chance.uniform(*PAUSE))
                chaos.see_to_the_driver()
                if not chaos.ended:
                    chaos.disturb()
            (folder / "allocate").unlink(missing_ok=True)
            slow(folder, seconds=0.0)
            deadline = time.monotonic() + PATIENCE
            while not chaos.ended:
                assert time.monotonic() < deadline, "the search does not end"
                time.sleep(0.5)
                chaos.see_to_the_driver()
            wait_until(lambda c=chaos: not c.cluster.workers, seconds=60, what="workers are left")
        epochs = counted(folder / "study")
        print(f"{len(rows(folder))} rows; {dict(Counter(chaos.done))}; {epochs}; {chaos.lost} may have been lost")
        assert rows(folder) == want
        assert epochs.needed == needed.needed
        assert epochs.executed - epochs.needed <= chaos.lost * given["checkpoint_every"]
        done += Counter(chaos.done)
        round_ += 1
    print(dict(done))
