import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis import curves
from tests.trial.tiny import NETWORK
from trial.claims import FileClaims
from trial.experiment import Experiment
from trial.recipe import Recipe
from trial.rows import Row
from trial.spans import Spans
from trial.store import Product, Store
from trial.workbench import Workbench


def opened(study: Path, *, rate: float = 0.01) -> Workbench:
    given = {
        "network": NETWORK,
        "data": {"name": "digits", "images": 120, "validation": 40},
        "dense": {"epochs": 2},
        "recovery": {"epochs": 1, "rate": rate},
    }
    return Workbench(Experiment.parse(given, where="spec.yaml"), study, study_name="study", worker="here:1")


def run(bench: Workbench, **given: Any) -> Row:
    return bench.run(Recipe.parse({"method": "filter-l1", "ratio": 0.5} | given, bench.experiment, where="spec.yaml"))


def spans(study: Path, row: Row) -> list[dict[str, Any]]:
    return json.loads((study / "curves" / f"{row['trial']}.json").read_bytes())["spans"]


def test_what_one_trial_made_the_next_one_reads(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    first, second = (spans(tmp_path, run(bench, ratio=ratio)) for ratio in (0.5, 0.25))
    assert [(span["stage"], span["how"], span["round"], span["epochs"]) for span in first] == [
        ("dense", "made", 0, 2), ("cut", "made", 0, 0), ("recovery", "made", 1, 1), ("measure", "made", 0, 0),
    ]  # fmt: skip
    assert [(span["stage"], span["how"]) for span in second] == [
        ("dense", "read"), ("cut", "made"), ("recovery", "made"), ("measure", "made"),
    ]  # fmt: skip
    assert second[0]["key"] == first[0]["key"]
    assert len({span["key"] for span in (*first, *second)}) == 7
    stored = {path.parent.name for path in (tmp_path / "stages").rglob("manifest.json")}
    assert {span["key"] for span in (*first, *second)} == {key[:16] for key in stored}


def test_spans_follow_one_another_within_the_trial(tmp_path: Path) -> None:
    before = time.time()
    row = run(opened(tmp_path))
    found = spans(tmp_path, row)
    after = time.time()
    ends = [span["start"] + span["seconds"] for span in found]
    assert all(end <= span["start"] + 2e-6 for end, span in zip(ends, found[1:], strict=False))
    assert before - 0.01 <= found[0]["start"] <= ends[-1] <= after + 0.01
    assert sum(span["seconds"] for span in found) <= row["seconds"]
    assert all(0 <= span["waited"] <= span["seconds"] for span in found)


def test_a_failing_trial_leaves_its_spans_and_a_row(tmp_path: Path) -> None:
    row = run(opened(tmp_path, rate=1e30))
    assert row["state"] == "failed"
    assert [(span["stage"], span["how"]) for span in spans(tmp_path, row)] == [
        ("dense", "made"), ("cut", "made"), ("recovery", "failed"),
    ]  # fmt: skip


def test_a_stage_that_another_makes_is_waited_for(tmp_path: Path) -> None:
    told = {}
    asked, made = threading.Event(), threading.Event()

    def get(who: str) -> None:
        own = Spans()
        span = own.begin("dense", "0" * 64, round_=0)

        def absent() -> None:
            span.waits()
            if who == "second":
                asked.set()

        def make() -> Product:
            span.works()
            made.set()
            assert asked.wait(30), "the second never came"
            time.sleep(0.05)
            return Product({"weight": torch.zeros(2)})

        store = Store(tmp_path, FileClaims(tmp_path / "claims"))
        _, was_made = store.get_or_make("0" * 64, make, absent=absent)
        span.ends(made=was_made, epochs=3)
        told[who] = own.entries()[0]

    first, second = (threading.Thread(target=get, args=(who,)) for who in ("first", "second"))
    first.start()
    assert made.wait(30)
    second.start()
    first.join()
    second.join()
    assert {who: span["how"] for who, span in told.items()} == {"first": "made", "second": "waited"}
    assert told["first"]["waited"] < 0.05 <= told["second"]["waited"] <= told["second"]["seconds"]
    assert told["second"]["epochs"] == 3


def test_a_clock_that_is_set_back_does_not_turn_spans_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000, 0, -10))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    own = Spans()
    for _ in range(3):
        own.begin("cut", "1" * 64, round_=1).ends(made=True, epochs=0)
    starts = [span["start"] for span in own.entries()]
    assert starts == sorted(starts)
    assert starts[-1] - starts[0] < 5


def test_curves_are_compacted_as_ever_and_older_ones_too(tmp_path: Path) -> None:
    row = run(opened(tmp_path))
    file = tmp_path / "curves" / f"{row['trial']}.json"
    curves.compact(tmp_path)
    now = curves.read(tmp_path)
    assert now.num_rows == 2
    file.write_text(json.dumps(json.loads(file.read_bytes())["epochs"]))
    curves.compact(tmp_path)
    assert curves.read(tmp_path).equals(now)
    assert curves.of_trial(tmp_path, row["trial"])["spans"] == []
