"""SIGTERM before a search has begun: one line, as from a keyboard."""

import subprocess
import sys
from pathlib import Path

# The signal comes while torch is being looked for, long before it is there.
PROGRAM = """
import os, signal, sys

class Terminated:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Terminated())
from prunefront import main
main()
"""


def test_a_signal_while_torch_is_imported_is_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "run", "demo", "--study", str(tmp_path / "study")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "prunefront: interrupted\n")
    assert not (tmp_path / "study").exists()
