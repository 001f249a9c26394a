"""``prunefront run SPEC --retry failed``, in processes of its own: what failed is run again, and nothing else."""

import json
import textwrap
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.epochs import counted
from tests.search.test_run import SPEC, rows, run

NETWORK = """
    from pathlib import Path
    import torch
    from torch import nn

    class Fragile(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 10, 3, stride=2), nn.Linear(10, classes)

        def forward(self, images):
            hidden = self.first(images).relu().mean((2, 3))
            if hidden.shape[1] == 5 and Path(__file__).with_name("broken").exists():
                raise RuntimeError("the table of five channels is not there")
            return self.last(hidden)

    def fragile(classes):
        return Fragile(classes)
"""
ERROR = "RuntimeError: the table of five channels is not there"


@pytest.mark.slow
def test_failed_trials_are_run_again_where_that_is_asked_for_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(NETWORK))
    (tmp_path / "broken").touch()
    study = tmp_path / "study"
    given = {
        **SPEC,
        "network": {"code": "mine:fragile"},
        "search": {"methods": {"random-channels": {"ratio": [0.2, 0.5, 0.8]}}, "trials": 3},
    }

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (study / "rows").glob("[!.]*.json")}

    first = run(tmp_path, spec=given)
    assert first.returncode == 0, first.stderr
    assert f"1 of 3 trials failed, most often of {ERROR}" in first.stdout
    failed = {trial: row for trial, row in rows(tmp_path).items() if row["state"] == "failed"}
    (name,) = failed
    assert failed[name]["error"] == ERROR
    before, epochs = files(), counted(study)

    (tmp_path / "broken").unlink()
    unasked = run(tmp_path, spec=given)
    assert unasked.returncode == 0, unasked.stderr
    assert f"1 of 3 trials failed, most often of {ERROR}" in unasked.stdout
    assert files() == before

    again = run(tmp_path, "--retry", "failed", spec=given)
    assert (again.returncode, again.stderr) == (0, "")
    assert "2 of 3 trials are in study: going on" in again.stdout
    assert [line.partition(" ")[0] for line in again.stdout.splitlines() if "trials/h" in line] == ["3/3"]
    assert "failed" not in again.stdout
    after = files()
    assert json.loads(after.pop(f"{name}.json"))["state"] == "complete"
    assert after == {file: row for file, row in before.items() if file != f"{name}.json"}
    assert counted(study).executed == epochs.executed + given["recovery"]["epochs"], "of the one that had failed"
    table = pq.read_table(study / "trials.parquet").to_pylist()
    assert sorted((row["trial"], row["state"]) for row in table if row["method"] != "dense") == sorted(
        (trial, "complete") for trial in rows(tmp_path)
    )

    done = files()
    none = run(tmp_path, "--retry", "failed", spec=given)
    assert none.returncode == 0, none.stderr
    assert "trials/h" not in none.stdout
    assert files() == done
