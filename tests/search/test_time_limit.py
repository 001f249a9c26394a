"""A trial that hangs ends with its process, its row written first; in real processes."""

import subprocess
import sys
from pathlib import Path

HANGS = """
import sys, time
from search.time_limit import TimeLimit

def give_up(error, *, seconds):
    print(error, flush=True)
    print(seconds, flush=True)

limit = TimeLimit(float(sys.argv[1]) if sys.argv[1] != "None" else None, give_up)
for seconds in map(float, sys.argv[2:]):
    with limit:
        time.sleep(seconds)
    time.sleep(.3)  # between two blocks, as while a driver decides: this does not count
print("done", flush=True)
"""


def ran(*arguments: str) -> tuple[int, list[str]]:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    return ended.returncode, ended.stdout.splitlines()


def test_what_takes_longer_gives_up_and_its_process_ends() -> None:
    code, lines = ran("0.4", "30")
    assert (code, lines[0], len(lines)) == (1, "TimeLimit: the trial took longer than 0.4 s", 2)
    assert 0.4 <= float(lines[1]) < 20


def test_time_is_summed_over_blocks_and_not_between_them() -> None:
    assert ran("1.5", "0.2", "0.2", "0.2", "0.2")[1] == ["done"]
    code, lines = ran("1", "0.6", "0.6")
    assert (code, len(lines)) == (1, 2)
    assert float(lines[1]) >= 1


def test_without_a_limit_nothing_ends() -> None:
    assert ran("None", "0.1") == (0, ["done"])
