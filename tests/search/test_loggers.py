import json
import struct
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import WrongInput
from search.followers import logged
from search.loggers import Loggers, check_installed, check_loggers
from search.progress import Lines
from search.space import Space
from trial.rows import blank

SPACE = Space.parse({"filter-l1": {"ratio": "any"}}, where="")
CURVE = [{"epoch": 0, "val_accuracy": 0.1}, {"epoch": 1, "val_accuracy": 0.5}, {"epoch": 2, "val_accuracy": 0.6}]


def row(trial: str, **changed: Any) -> dict[str, Any]:
    measured = {"val_accuracy": 0.75, "macs": 1000, "seconds": 3.5}
    recipe = {"method": "filter-l1", "ratio": 0.25}
    return blank() | {"study": "mine", "trial": trial, "state": "complete"} | recipe | measured | changed


def study_of(tmp_path: Path) -> Path:
    study = tmp_path / "mine"
    (study / "curves").mkdir(parents=True)
    (study / "curves" / "a.json").write_text(json.dumps(CURVE))
    return study


@pytest.mark.needs("mlflow")
def test_mlflow_has_a_run_for_each_trial_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    study = study_of(tmp_path)
    for _ in range(2):
        loggers = Loggers(["mlflow"], study, where="here")
        loggers.tell(row("a"))
        loggers.tell(row("b", state="failed", error="ValueError: too few", val_accuracy=None, macs=None))

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{study}/logs/mlflow.db")
    experiment = client.get_experiment_by_name("mine")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["a", "b"]
    assert len(client.search_runs([experiment.experiment_id])) == 2
    assert runs["a"].data.params == {"method": "filter-l1", "ratio": "0.25"}
    assert (runs["a"].data.metrics["val_accuracy"], runs["a"].data.metrics["macs"]) == (0.75, 1000)
    history = client.get_metric_history(runs["a"].info.run_id, "val_accuracy")
    assert [(each.step, each.value) for each in history] == [(0, 0.1), (1, 0.5), (2, 0.6), (2, 0.75)]
    assert [runs[name].info.status for name in "ab"] == ["FINISHED", "FAILED"]
    assert runs["b"].data.tags["error"] == "ValueError: too few"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def events(path: Path) -> list[tuple[str, int, float]]:
    """The scalars of an event file, read record by record: length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            if not value.metadata.plugin_data.plugin_name:  # those are about hyperparameters
                found.append((value.tag, event.step, value.simple_value))
        data = data[16 + length :]
    return found


@pytest.mark.needs("tensorboard")
def test_tensorboard_has_the_curve_and_the_measures_of_each_trial(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    for _ in range(2):
        Loggers(["tensorboard"], study, where="here").tell(row("a"))
    (written,) = (study / "logs" / "tensorboard" / "a").iterdir()
    scalars = events(written)
    assert [(step, value) for tag, step, value in scalars if tag == "ray/tune/val_accuracy"] == [
        (0, pytest.approx(0.1)), (1, 0.5), (2, pytest.approx(0.6)), (2, 0.75),
    ]  # fmt: skip
    assert ("ray/tune/macs", 2, 1000.0) in scalars
    assert b"recipe" not in written.read_bytes()
    assert b"filter-l1" in written.read_bytes()


@pytest.mark.needs("tensorboard")
def test_a_search_logs_the_rows_that_it_has_and_those_to_come(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    progress = Lines(space=SPACE, trials=4, objectives=["val_accuracy"], rows=[row("a")])
    with logged(["tensorboard"], study, progress):
        progress.finished(row("b"))
    assert sorted(path.name for path in (study / "logs" / "tensorboard").iterdir()) == ["a", "b"]


@pytest.mark.needs("tensorboard")
def test_a_logger_that_fails_gives_one_line_and_the_search_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = study_of(tmp_path)
    (study / "logs").write_text("in the way")
    progress = Lines(space=SPACE, trials=4, objectives=["val_accuracy"], rows=[])
    with logged(["tensorboard"], study, progress):
        progress.finished(row("a"))
        progress.finished(row("b"))
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("the loggers failed: ")]
    assert len(said) == 1
    assert said[0].endswith("the search goes on without it")
    assert len(progress.rows) == 2


@pytest.mark.needs("mlflow")
def test_a_server_that_does_not_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(WrongInput, match="the logger mlflow cannot begin: ") as refused:
        Loggers(["mlflow"], tmp_path, where="spec.yaml: search.loggers")
    assert "\n" not in str(refused.value)


def test_unknown_doubled_and_missing_loggers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongInput, match="'mlfow' is not a logger: did you mean mlflow"):
        check_loggers(["mlfow"], where="x")
    with pytest.raises(WrongInput, match="different"):
        check_loggers(["mlflow", "mlflow"], where="x")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(WrongInput, match=r"pip install 'prunefront\[mlflow\]'"):
        check_installed(["mlflow"])
