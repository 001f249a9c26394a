import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from search.last_words import last_words
try:
    with last_words("three rows are safe; it's \\"$HOME\\" `true`"):
        {body}
except {caught}:
    pass
"""


def ran(body: str, caught: str = "ZeroDivisionError") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body, caught=caught)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_a_process_that_is_ended_hard_has_last_words(end: str) -> None:
    ended = ran(end)
    assert ended.returncode in (1, -signal.SIGKILL, -signal.SIGABRT)
    assert ended.stderr == 'three rows are safe; it\'s "$HOME" `true`\n'


@pytest.mark.parametrize("end", ["pass", "1 / 0", "os.kill(os.getpid(), 2)", "sys.exit(0)"])
def test_a_process_that_ends_by_itself_has_none(end: str) -> None:
    ended = ran(end, "(ZeroDivisionError, KeyboardInterrupt)")
    assert ended.stderr == ""
    assert ended.returncode == 0
