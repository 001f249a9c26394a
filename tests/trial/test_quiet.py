"""Real processes that work side by side and time alone, and one that dies with a lock in its hands."""

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import WorkFailed
from trial import quiet

# A fork has torch loaded already; these children touch no tensor.
FORK = multiprocessing.get_context("fork")


def take_turns(
    log: Path, go: Path, stop: Path, *, kind: str, turns: int, seconds: float, relayed: bool = False
) -> None:
    """Enter a block again and again; one line is written inside it at its start and one at its end.

    ``relayed``: who is inside leaves when another has entered after him, or after so many seconds.

    Appending a line is one write, so the order of the lines is that of the events.
    """
    file = os.open(log, os.O_WRONLY | os.O_APPEND)

    def say(event: str) -> None:
        os.write(file, (json.dumps([event, kind]) + "\n").encode())

    say("ready")
    while not go.exists():
        time.sleep(0.005)
    for _ in range(turns):
        if stop.exists():
            return
        with getattr(quiet, kind)():
            say("in")
            if relayed:
                entered = log.read_text().count("in")
                waited = time.monotonic() + seconds
                while time.monotonic() < waited and log.read_text().count("in") == entered:
                    time.sleep(0.002)
            else:
                time.sleep(seconds)
            say("out")


class Crowd:
    """Processes that share one cache folder and one log."""

    def __init__(self, folder: Path) -> None:
        self.log, self.go, self.stop = folder / "log", folder / "go", folder / "stop"
        self.log.touch()
        self.processes: list[multiprocessing.process.BaseProcess] = []

    def add(
        self, kind: str, *, turns: int, seconds: float, relayed: bool = False
    ) -> multiprocessing.process.BaseProcess:
        options = {"kind": kind, "turns": turns, "seconds": seconds, "relayed": relayed}
        process = FORK.Process(target=take_turns, args=(self.log, self.go, self.stop), kwargs=options)
        process.start()
        self.processes.append(process)
        return process

    def start(self) -> None:
        while sum(event == "ready" for event, *_ in self.events()) < len(self.processes):
            time.sleep(0.02)
        self.go.touch()

    def events(self) -> list[list[Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self) -> list[list[Any]]:
        for process in self.processes:
            process.join(120)
        assert [process.exitcode for process in self.processes] == [0] * len(self.processes)
        return self.events()


@pytest.fixture
def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Crowd(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.join()


def most_at_once(events: list[list[Any]]) -> tuple[int, int]:
    """The most workers inside at one time; and the most of anybody while one is inside alone."""
    inside: list[str] = []
    workers, beside = 0, 0
    for event, kind in events:
        if event == "in":
            inside.append(kind)
        elif event == "out":
            inside.remove(kind)
        workers = max(workers, inside.count("at_work"))
        beside = max(beside, len(inside) if "alone" in inside else 0)
    return workers, beside


def test_work_overlaps_with_work_and_a_timing_with_nothing(crowd: Crowd) -> None:
    for _ in range(3):
        crowd.add("at_work", turns=20, seconds=0.01)
    for _ in range(2):
        crowd.add("alone", turns=8, seconds=0.003)
    crowd.start()
    events = crowd.end()
    assert sum(event == "in" for event, *_ in events) == 3 * 20 + 2 * 8
    workers, beside = most_at_once(events)
    assert workers > 1
    assert beside == 1


def test_one_who_times_is_not_kept_out_by_work_that_never_ends(crowd: Crowd) -> None:
    """Nobody leaves before another is there: without the turnstile there would be no moment without work."""
    workers = [crowd.add("at_work", turns=10**6, seconds=0.3, relayed=True) for _ in range(3)]
    crowd.start()
    while sum(event == "in" for event, _ in crowd.events()) < 5:
        time.sleep(0.01)
    timing = crowd.add("alone", turns=2, seconds=0.001)
    timing.join(30)
    assert timing.exitcode == 0
    assert all(worker.is_alive() for worker in workers)
    crowd.stop.touch()
    assert most_at_once(crowd.end())[1] == 1


def test_work_is_not_kept_out_by_those_who_time(crowd: Crowd) -> None:
    timers = [crowd.add("alone", turns=10**6, seconds=0.005) for _ in range(3)]
    work = crowd.add("at_work", turns=3, seconds=0.001)
    crowd.start()
    work.join(60)
    assert work.exitcode == 0
    assert all(timer.is_alive() for timer in timers)
    crowd.stop.touch()
    crowd.end()


@pytest.mark.parametrize("kind", ["at_work", "alone"])
def test_the_dead_hold_nothing(crowd: Crowd, kind: str) -> None:
    killed = crowd.add(kind, turns=1, seconds=1000)
    crowd.start()
    while not any(event == "in" for event, *_ in crowd.events()):
        time.sleep(0.01)
    killed.kill()
    killed.join()
    with quiet.alone():
        pass
    with quiet.at_work():
        pass


def test_without_a_folder_for_locks_work_goes_on_and_nothing_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with quiet.at_work():
        pass
    with pytest.raises(WorkFailed, match=r"nothing can be timed alone: .*cannot hold its locks"), quiet.alone():
        pass


def test_what_a_block_raises_lets_the_lock_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for block in (quiet.alone, quiet.at_work):
        with pytest.raises(ZeroDivisionError), block():
            raise ZeroDivisionError
    with quiet.alone():
        pass
