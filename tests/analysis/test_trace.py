"""Timelines of workers: read from what trials leave, written for Chrome's and Perfetto's eyes, summed up and drawn."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analysis import timeline, trace
from analysis.epochs import Epochs, counted
from analysis.errors import WrongInput
from analysis.gantt import gantt
from tests.analysis import studies
from tests.analysis.test_front_door import LOADED, fresh, run
from tests.trial.tiny import NETWORK
from trial.experiment import Experiment
from trial.recipe import Recipe
from trial.workbench import Workbench

BEGAN = 1_800_000_000.0


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two workers' trials, one after another."""
    study = tmp_path_factory.mktemp("real")
    given = {
        "network": NETWORK,
        "data": {"name": "digits", "images": 120, "validation": 40},
        "dense": {"epochs": 2},
        "recovery": {"epochs": 1},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        experiment = Experiment.parse(given, where="spec.yaml")
        for worker in ("here:1", "there:7"):
            bench = Workbench(experiment, study, study_name="real", worker=worker)
            bench.dense()
            for ratio in (0.25, 0.5) if worker == "here:1" else (0.5, 0.75):
                bench.run(Recipe.parse({"method": "filter-l1", "ratio": ratio}, experiment, where="spec.yaml"))
        yield study


def span(start: float, seconds: float, **said: Any) -> dict[str, Any]:
    plain = {"stage": "recovery", "key": "k", "round": 1, "how": "made", "waited": 0.0, "epochs": 0}
    return {**plain, "start": BEGAN + start, "seconds": seconds, **said}


def trial(
    study: Path, name: str, start: float, seconds: float, *spans: dict[str, Any], worker: str = "a:1", **row: Any
) -> None:
    said = {
        "study": "s", "trial": name, "worker": worker, "state": "complete", "method": "filter-l1", "ratio": 0.5,
        "started": datetime.fromtimestamp(BEGAN + start, UTC).isoformat(timespec="milliseconds"), "seconds": seconds,
    }  # fmt: skip
    studies.write(study, [said | row])
    (study / "curves").mkdir(exist_ok=True)
    (study / "curves" / f"{name}.json").write_text(json.dumps({"epochs": [], "spans": list(spans)}))


def check_format(document: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """What the trace-event format asks for; gives every thread's slices in order of time."""
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    threads: dict[int, list[dict[str, Any]]] = {}
    named = set()
    for event in document["traceEvents"]:
        assert event["ph"] in {"X", "M"}
        assert isinstance(event["name"], str)
        assert type(event["pid"]) is int
        assert type(event["tid"]) is int
        if event["ph"] == "M":
            assert event["name"] in {"process_name", "thread_name", "thread_sort_index"}
            named |= {(event["name"], event["pid"], event["tid"])}
            continue
        assert type(event["ts"]) is int
        assert type(event["dur"]) is int
        assert event["ts"] >= 0
        assert event["dur"] >= 0
        assert event["cat"] in {"trial", "stage", "waiting"}
        assert ("thread_name", event["pid"], event["tid"]) in named, "a name comes before what it names"
        assert ("process_name", event["pid"], 0) in named
        threads.setdefault(event["tid"], []).append(event)
    for events in threads.values():
        open_until: list[int] = []
        for event in sorted(events, key=lambda event: (event["ts"], -event["dur"], event["cat"] != "trial")):
            end = event["ts"] + event["dur"]
            while open_until and open_until[-1] <= event["ts"]:
                open_until.pop()
            assert not open_until or end <= open_until[-1], "slices overlap and do not nest"
            open_until.append(end)
    return threads


def test_a_real_study_gives_a_trace_as_the_format_wants_it(real: Path) -> None:
    document = trace.document(timeline.read(real))
    threads = check_format(document)
    names = [event["args"]["name"] for event in document["traceEvents"] if event["name"] == "thread_name"]
    assert names == ["here:1", "there:7"]
    assert len({event["pid"] for event in document["traceEvents"]}) == 2, "a host is a process"
    first, second = threads.values()
    # Trial by trial its stages come after it and within it.
    # A claim that is free can take long enough to be drawn, on a busy machine.
    assert [event["name"] for event in first if event["cat"] != "waiting"] == [
        "dense", "dense", "measure",
        "filter-l1 ratio=0.25", "dense", "cut", "recovery", "measure",
        "filter-l1 ratio=0.5", "dense", "cut", "recovery", "measure",
    ]  # fmt: skip
    assert [event["name"] for event in second if event["cat"] == "trial"] == ["filter-l1 ratio=0.75"]
    for events in threads.values():
        for event in events:
            if event["cat"] == "trial":
                outer = event
            assert outer["ts"] <= event["ts"] <= event["ts"] + event["dur"] <= outer["ts"] + outer["dur"]
    stage = next(event for event in first if event["cat"] == "stage")
    assert (len(stage["args"]["key"]), stage["args"]["made"]) == (16, "made")
    assert second[1]["args"]["made"] == "read"
    assert second[0]["args"]["recipe"]["ratio"] == 0.75
    assert counted(real) == Epochs(2 + 3, 2 + 3)


def test_shares_of_a_workers_time_add_up(tmp_path: Path) -> None:
    trial(tmp_path, "1", 0, 4, span(0, 1, how="waited", waited=1.0), span(1, 3, waited=0.5))
    trial(tmp_path, "2", 6, 2)
    trial(tmp_path, "3", 1, 1, worker="b:2")
    a, b = timeline.read(tmp_path).workers
    assert (a.name, len(a.trials), b.name, len(b.trials)) == ("a:1", 2, "b:2", 1)
    assert (a.seconds, a.waiting, a.busy, a.between) == pytest.approx((8.0, 1.5, 4.5, 2.0))
    assert (b.seconds, b.waiting, b.busy, b.between) == pytest.approx((1.0, 0.0, 1.0, 0.0))
    said = json.loads(run("trace", tmp_path, "--json").stdout)
    assert [worker["busy"] for worker in said["workers"]] == [4.5, 1.0]


def test_epochs_that_were_run_twice_are_counted_twice(tmp_path: Path) -> None:
    assert counted(tmp_path) == Epochs(0, 0)
    assert counted(tmp_path).ratio is None
    (tmp_path / "epochs").mkdir()
    (tmp_path / "epochs" / "a-1.txt").write_text("dense 1\ndense 2\nsparse 1\n")
    # A worker that took up from epoch 1 ran the second again; a line that is being written is no epoch yet.
    (tmp_path / "epochs" / "b-2.txt").write_text("dense 2\ndense 3\nsparse 2")
    assert counted(tmp_path) == Epochs(5, 4)
    trial(tmp_path, "1", 0, 9)
    assert "epochs executed / distinct epochs needed: 5 / 4 = 1.250" in run("trace", tmp_path).stdout


def test_waits_have_slices_of_their_own(tmp_path: Path) -> None:
    spans = span(0, 1, waited=0.4), span(1, 2, how="waited", waited=2.0), span(3, 1, waited=0.005)
    trial(tmp_path, "1", 0, 4, *spans)
    (events,) = check_format(trace.document(timeline.read(tmp_path))).values()
    assert [(event["cat"], event["ts"], event["dur"]) for event in events] == [
        ("trial", 0, 4_000_000),
        ("waiting", 0, 400_000), ("stage", 400_000, 600_000), ("waiting", 1_000_000, 2_000_000),
        ("stage", 3_000_000, 1_000_000),
    ]  # fmt: skip


def test_slices_nest_whatever_the_clocks_said(tmp_path: Path) -> None:
    for seed in range(20):
        chance = random.Random(seed)
        study = tmp_path / str(seed)
        for number in range(12):
            start, seconds = chance.uniform(0, 5), chance.choice([0.0, chance.uniform(0, 3)])
            spans = [
                span(start + chance.uniform(-1, 3), length, waited=chance.choice([0.0, length / 2, length]))
                for length in (chance.uniform(0, 2) for _ in range(chance.randrange(4)))
            ]
            trial(study, str(number), start, seconds, *spans, worker=chance.choice(["a:1", "a:2", "b"]))
        check_format(trace.document(timeline.read(study)))


def test_a_study_that_grows_is_traced_as_far_as_it_is(tmp_path: Path) -> None:
    trial(tmp_path, "1", 0, 1, span(0, 1))
    assert run("trace", tmp_path).exit_code == 0
    # The next trial's spans are there before its row.
    (tmp_path / "curves" / "2.json").write_text('{"epochs": [], "spans": [{"stage": "cut"}]}')
    (tmp_path / "curves" / ".3.json.tmp").write_text("{")
    assert len(list(timeline.read(tmp_path).trials)) == 1
    trial(tmp_path, "2", 2, 1, span(2, 1))
    done = run("trace", tmp_path, "--figure")
    assert done.exit_code == 0, done.output
    assert "2 trials" in done.stdout
    written = [tmp_path / "trace.json", *(tmp_path / "figures" / f"trace.{ending}" for ending in ("png", "svg"))]
    assert done.stdout.splitlines()[-3:] == [str(path) for path in written]
    assert len(check_format(json.loads(written[0].read_text()))[1]) == 4


def test_rows_of_earlier_versions_are_traced_without_stages(tmp_path: Path) -> None:
    trial(tmp_path, "1", 0, 1)
    trial(tmp_path, "2", 1, 1)
    (tmp_path / "curves" / "1.json").write_text("[]")
    (tmp_path / "curves" / "2.json").unlink()
    done = run("trace", tmp_path, "--figure")
    assert done.exit_code == 0, done.output
    assert "2 trials left no spans" in done.stdout
    assert "needed: 0 / 0\n" in done.stdout


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ('{"epochs": [], "spans": [{}]}', "hold a span that is none"),
        ('{"epochs": [], "spans": [1]}', "does not hold"),
        ('{"epochs": []}', "does not hold"),
        ("{", "is not JSON"),
        (json.dumps({"epochs": [], "spans": [span(0, 1, how="eaten")]}), "how is 'eaten'"),
        (json.dumps({"epochs": [], "spans": [span(0, 1, waited=2.0)]}), "waits 2 s"),
    ],
)
def test_damaged_spans_are_named(tmp_path: Path, damage: str, said: str) -> None:
    trial(tmp_path, "1", 0, 1)
    (tmp_path / "curves" / "1.json").write_text(damage)
    done = run("trace", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert "delete" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_no_study_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    unfinished = studies.write(tmp_path / "unfinished", [])
    timeless = studies.write(tmp_path / "timeless", studies.rows(5))
    trial(tmp_path / "odd", "1", 0, 1, started="yesterday")
    for folder, said in (
        (tmp_path / "empty", "is not a study"),
        (tmp_path / "unfinisched", "did you mean unfinished"),
        (unfinished, "no row of"),
        (timeless, "no row of"),
        (tmp_path / "odd", "'yesterday', which is no time"),
    ):
        done = run("trace", folder)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.output
        assert said in done.stderr
        assert not (folder / "trace.json").exists()
    with pytest.raises(WrongInput):
        timeline.read(timeless)


def test_a_figure_has_a_line_for_each_worker_and_leaves_nights_out(tmp_path: Path) -> None:
    trial(tmp_path, "1", 0, 10, span(0, 4, stage="dense"), span(4, 4, how="waited", waited=4.0, stage="cut"))
    trial(tmp_path, "2", 100_000, 10, span(100_000, 9, stage="a new kind"), worker="b$_2$:2")
    figure = gantt(timeline.read(tmp_path))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a:1", "b$_2$:2"]
    assert axes.get_xlim() == (0.0, 20.0)
    assert "left out" in axes.get_xlabel()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "dense", "another stage", "waiting for another worker", "between stages",
    ]  # fmt: skip
    hatched = [bars for bars in axes.collections if bars.get_hatch()]
    assert len(hatched) == 1


def test_neither_torch_nor_ray_is_loaded(tmp_path: Path) -> None:
    trial(tmp_path, "1", 0, 1, span(0, 1))
    for words, unwanted in (
        ([], {"torch", "ray", "optuna", "pandas", "matplotlib", "sklearn", "moocore"}),
        (["--figure"], {"torch", "ray", "optuna", "sklearn"}),
    ):
        done = fresh("trace", str(tmp_path), *words, code=LOADED)
        assert done.returncode == 0, done.stderr
        assert set(done.stderr.split()) & unwanted == set()
