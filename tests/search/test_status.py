import json
import math
import os
import random
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from analysis import table
from analysis.errors import WrongInput
from prunefront import app
from search.driver import driving
from search.pace import per_hour
from search.status_command import status
from tests.analysis.studies import DENSE_ROW, rows, write


def made(tmp_path: Path, count: int = 60, *, every: float = 60.0) -> tuple[Path, list[dict[str, Any]]]:
    """A study whose trials ended one after another, the last one now."""
    found, now = rows(count), time.time()
    for number, row in enumerate(found):
        end = now - every * (count - 1 - number)
        row |= {"started": datetime.fromtimestamp(end - 30, UTC).isoformat(timespec="milliseconds"), "seconds": 30.0}
    spec = {"search": {"objectives": ["val_accuracy", "macs"], "trials": 100}}
    write(tmp_path / "study", found)
    (tmp_path / "study" / "spec.yaml").write_text(yaml.safe_dump(spec))
    return tmp_path / "study", found


def alive(study: Path, **told: Any) -> None:
    """A driver on another host whose heart beat just now."""
    said = {"host": "elsewhere", "pid": 7, "heartbeat": time.time(), "began": time.time() - 7200}
    (study / "driver.json").write_text(json.dumps(said | told))


def test_trials_are_counted_by_state_without_the_dense_one(tmp_path: Path) -> None:
    study, found = made(tmp_path)
    said = status(study)
    pruned = [row for row in found if row["method"] != "dense"]
    assert said.trials == {
        state: sum(row["state"] == state for row in pruned) for state in ("complete", "stopped", "failed")
    }
    assert all(said.trials.values())
    assert (said.done, said.budget, said.dense) == (59, 100, True)
    assert (said.error, said.error_times) == ("FloatingPointError: loss is NaN", said.trials["failed"])
    assert (said.state, said.driver, said.per_hour) == ("stopped", None, None)


def test_the_front_is_that_of_prunefront_front(tmp_path: Path) -> None:
    study, _ = made(tmp_path)
    front = json.loads(CliRunner().invoke(app, ["front", str(study), "--json"]).stdout)
    said = json.loads(CliRunner().invoke(app, ["status", str(study), "--json"]).stdout)
    assert (said["front"], said["hypervolume"]) == (len(front["front"]), front["hypervolume"])
    assert said["best"]["trial"] == front["front"][0]["trial"]
    assert said["best"]["val_accuracy"] == max(row["val_accuracy"] for row in front["front"])


def test_the_front_meets_the_constraints_of_the_study(tmp_path: Path) -> None:
    study, rows = made(tmp_path)
    middle = sorted(row["macs"] for row in rows if row["state"] == "complete")[len(rows) // 3]
    spec = yaml.safe_load((study / "spec.yaml").read_text())
    spec["search"]["constraints"] = {"macs": f">= {middle}"}
    (study / "spec.yaml").write_text(yaml.safe_dump(spec))
    front = json.loads(CliRunner().invoke(app, ["front", str(study), "--json"]).stdout)
    said = json.loads(CliRunner().invoke(app, ["status", str(study), "--json"]).stdout)
    assert (said["front"], said["hypervolume"]) == (len(front["front"]), front["hypervolume"])
    assert said["best"]["macs"] >= middle


def test_a_living_driver_has_a_pace_and_tells_what_runs(tmp_path: Path) -> None:
    study, _ = made(tmp_path, every=60)
    running = [{"recipe": {"method": "filter-l1", "ratio": 0.25}, "since": time.time() - 65}] * 6
    alive(study, budget=79, doing="", running=running)
    said = status(study)
    assert said.state == "running"
    assert said.per_hour == pytest.approx(60, rel=0.05)
    assert said.seconds_left == pytest.approx(20 * 60, rel=0.05)
    lines = CliRunner().invoke(app, ["status", str(study)]).stdout
    assert "running, process 7 on elsewhere for 2:00:" in lines
    assert "59 of 79: " in lines
    assert "running  filter-l1 ratio=0.25 (1:0" in lines
    assert "and 2 more" in lines


def test_a_driver_is_judged_by_the_rule_of_the_drivers_themselves(tmp_path: Path) -> None:
    study, _ = made(tmp_path)
    with driving(study) as tells:
        tells["doing"] = "not written before the next beat"
        said = status(study)
        assert (said.state, said.doing) == ("running", "")
        assert said.driver is not None
        assert (said.driver["pid"], said.driver["host"]) == (os.getpid(), socket.gethostname())
    assert status(study).state == "stopped"
    alive(study, heartbeat=time.time() - 3600)
    assert status(study).state == "died"
    assert status(study).seconds_left is None
    (study / "driver.json").unlink()
    (study / "spec.yaml").write_text("search: {trials: 59}")
    assert status(study).state == "finished"


def test_a_study_that_has_only_begun(tmp_path: Path) -> None:
    alive(tmp_path, budget=8, doing="dense network: epoch 3/12")
    said = status(tmp_path)
    assert (said.state, said.done, said.budget, said.front, said.best) == ("starting", 0, 8, 0, None)
    assert "dense network: epoch 3/12" in CliRunner().invoke(app, ["status", str(tmp_path)]).stdout


def test_one_objective(tmp_path: Path) -> None:
    study, found = made(tmp_path)
    (study / "spec.yaml").write_text("search: {objectives: [val_loss], trials: 9}")
    best = min(row["val_loss"] for row in found if row["state"] == "complete")
    said = status(study)
    assert said.best is not None
    assert said.best["val_loss"] == best


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows/0000000000000003.json", '{"trial": "000'),
        ("rows/0000000000000003.json", ""),
        ("rows/0000000000000003.json", '{"val_accuracy": "high"}'),
        ("trials.parquet", "PAR1"),
        ("spec.yaml", "search: {objec"),
        ("spec.yaml", "search: {objectives: [speed]}"),
        ("driver.json", '{"host"'),
        (
            "driver.json",
            '{"pid": 7, "heartbeat": 9e9, "began": "x", "running": [{"recipe": 3}, 4], "budget": "x"}',
        ),
        ("rows/.0000000000000003.json.x", "half"),
    ],
)
def test_what_is_damaged_or_half_written_is_named_and_passed_over(tmp_path: Path, name: str, text: str) -> None:
    study, _ = made(tmp_path)
    (study / name).write_text(text)
    said = status(study)
    assert said.done >= 58
    named = name.startswith(("rows/0", "trials", "spec"))
    assert len(said.damaged) == named
    assert all(name.partition("/")[0] in line or name.rpartition("/")[2] in line for line in said.damaged)
    ended = CliRunner().invoke(app, ["status", str(study)])
    assert ended.exit_code == 0
    assert ended.stdout.count("\ndamaged ") == named


def test_rows_that_are_passed_over_fail_a_reader_that_does_not_ask_for_it(tmp_path: Path) -> None:
    study, _ = made(tmp_path)
    (study / "rows" / "0000000000000003.json").write_text("{")
    with pytest.raises(WrongInput, match="is not JSON"):
        table.read(study)


def test_a_folder_that_is_no_study_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for given in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        ended = CliRunner().invoke(app, ["status", str(given)])
        assert ended.exit_code == 2
        assert ended.stderr.count("\n") == 1


def test_it_loads_neither_torch_nor_ray(tmp_path: Path) -> None:
    study, _ = made(tmp_path)
    program = (
        f"import sys; sys.argv = ['prunefront', 'status', {str(study)!r}]\nimport prunefront\n"
        "try: prunefront.main()\nexcept SystemExit: print(*sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "search.status_command" in printed
    assert not {"torch", "ray", "optuna", "sqlalchemy"} & set(printed.split())


def slow_pace(ends: list[float], began: float, now: float) -> float | None:
    """The rule again: of the last half hour, or since the end before the last ten where that is longer ago."""
    inside = [end for end in ends if began <= end <= now]
    if not inside or now <= began:
        return None
    begins = now - 1800
    if len(inside) <= 10:
        begins = began
    else:
        for _ in range(10):
            inside.remove(max(inside))
        begins = min(begins, max(inside))
    begins = max(begins, began)
    return len([end for end in ends if (end > begins or begins == began == end) and end <= now]) / (now - begins) * 3600


@pytest.mark.parametrize("seed", range(20))
def test_the_pace_is_the_recent_one(seed: int) -> None:
    chance = random.Random(seed)
    ends = [chance.uniform(0, 10 ** chance.uniform(2, 5)) for _ in range(chance.randrange(40))]
    began, now = chance.uniform(0, 100), 10 ** chance.uniform(2, 5)
    expected, given = slow_pace(list(ends), began, now), list(ends)
    found = per_hour(ends, began=began, now=now)
    assert found == (None if expected is None else pytest.approx(expected))
    assert ends == given


def test_a_search_that_became_faster_has_the_new_pace() -> None:
    slow, fast = [600.0 * n for n in range(1, 20)], [12_000 + 10.0 * n for n in range(1, 361)]
    assert per_hour(slow + fast, began=0, now=15_600) == pytest.approx(360, rel=0.01)
    assert per_hour(slow, began=0, now=11_400) == pytest.approx(6)
    assert math.isclose(per_hour([50.0], began=0, now=100) or 0, 36)


@pytest.mark.slow
def test_ten_thousand_rows_are_read(tmp_path: Path) -> None:
    study, _ = made(tmp_path, 10_000, every=1)
    assert status(study).done == 9_999
    table.compact(study, {})
    assert status(study).done == 9_999
    assert DENSE_ROW["trial"]
