import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from analysis.errors import WrongInput
from search.address import checked, expanded
from search.followers import mirrored
from search.progress import Lines
from search.space import Space
from search.storage import Mirror
from tests.search.postgres import PASSWORD, Server, free_port, postgres
from trial.rows import blank

OBJECTIVES = ("val_accuracy", "macs")
SPACE = Space.parse({"filter-l1": {"ratio": "any"}, "slimming": {"ratio": "any", "penalty": "any"}}, where="")
STATES = ["complete", "stopped", "failed", "complete", "complete"]


def row(number: int, state: str = "complete", **changed: Any) -> dict[str, Any]:
    ratio = (number + 1) / 100
    measured = {"val_accuracy": 1 - ratio, "macs": 1000 - number, "sparsity": ratio} if state != "failed" else {}
    return (
        blank()
        | {"trial": f"{number:016x}", "method": "filter-l1", "ratio": ratio, "state": state, "worker": "here:1"}
        | {"started": "2026-11-21T10:00:00.000+00:00", "seconds": 90.0}
        | ({"error": "ValueError: too few"} if state == "failed" else {})
        | measured
        | changed
    )


ROWS = [row(number, state) for number, state in enumerate(STATES)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "journal", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    if request.param == "postgresql":
        return str(request.getfixturevalue("server").address)
    given = f"sqlite:///{tmp_path}/mirror.db" if request.param == "sqlite" else f"journal:{tmp_path}/mirror.log"
    return checked(given, where="spec.yaml: search.storage")


def mirror(address: str, name: str, **changed: Any) -> Mirror:
    settings: dict[str, Any] = {"experiment": "e" * 16, "space": SPACE, "objectives": OBJECTIVES, "where": "here"}
    made = Mirror(address, name=name, **{**settings, **changed})
    made.begin()
    return made


def held(address: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """The study's trials, read by Optuna itself."""
    opened = expanded(address, where="").replace("postgresql:", "postgresql+psycopg:")
    storage: Any = opened
    if opened.startswith("journal:"):
        backend = optuna.storages.journal.JournalFileBackend(opened.removeprefix("journal:"))
        storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def test_each_row_is_one_trial_with_its_state_values_parameters_and_measures(address: str) -> None:
    kept = mirror(address, "each")
    for each in ROWS:
        kept.tell(each)
    trials = held(address, "each")
    assert [trial.state for trial in trials] == [
        {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        for state in STATES
    ]
    for trial, each in zip(trials, ROWS, strict=True):
        assert trial.params == {"method": "filter-l1", "filter-l1.ratio": pytest.approx(each["ratio"])}
        assert trial.values == (None if each["state"] == "failed" else [each["val_accuracy"], each["macs"]])
        assert trial.user_attrs["trial"] == each["trial"]
        assert trial.user_attrs["worker"] == "here:1"
        assert trial.duration is not None
        assert trial.duration.total_seconds() == 90
    assert trials[0].user_attrs["sparsity"] == 0.01
    assert trials[2].user_attrs["error"] == "ValueError: too few"
    assert "peak_memory" not in trials[0].user_attrs


def test_a_row_is_told_once_over_runs_and_a_failed_one_that_succeeds_again(address: str) -> None:
    for _ in range(2):
        again = mirror(address, "again")
        for each in (*ROWS, ROWS[0]):
            again.tell(each)
    assert len(held(address, "again")) == len(ROWS)
    again.tell(row(2, "complete"))
    states = [trial.state for trial in held(address, "again") if trial.user_attrs["trial"] == ROWS[2]["trial"]]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_complete_row_without_an_objective_fails_and_one_outside_the_space_is_passed_over(tmp_path: Path) -> None:
    address = f"journal:{tmp_path}/mirror.log"
    kept = mirror(address, "odd")
    kept.tell(row(0, macs=None))
    kept.tell(row(1, method="fpgm"))
    assert [trial.state for trial in held(address, "odd")] == [TrialState.FAIL]


def test_one_objective(address: str) -> None:
    kept = mirror(address, "one", objectives=("val_loss",))
    kept.tell(row(0, val_loss=0.5))
    kept.tell(row(1, "stopped", val_loss=0.75))
    assert [trial.values for trial in held(address, "one")] == [[0.5], [0.75]]


def test_another_study_of_the_same_name_is_left_alone(address: str, tmp_path: Path) -> None:
    mirror(address, "taken").tell(ROWS[0])
    for changed in ({"experiment": "f" * 16}, {"objectives": ("macs", "val_accuracy")}, {"objectives": ("macs",)}):
        with pytest.raises(WrongInput, match="holds another study that is called taken: rename"):
            mirror(address, "taken", **changed)
    assert len(held(address, "taken")) == 1
    somebodys = optuna.create_study(study_name="mine", storage=f"sqlite:///{tmp_path}/x.db", direction="maximize")
    somebodys.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(WrongInput, match="another study"):
        mirror(f"sqlite:///{tmp_path}/x.db", "mine", objectives=("val_accuracy",))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("sqlite:///some.db", "sqlite:///{here}/some.db"),
        ("sqlite:////abs/some.db", "sqlite:////abs/some.db"),
        ("sqlite:///${HOME}/some.db", "sqlite:///${HOME}/some.db"),
        ("journal:some.log", "journal:{here}/some.log"),
        ("postgresql://me:${PGPASSWORD}@host:5433/db", None),
        ("postgresql+psycopg://me@host/db", None),
        ("postgresql://me@host/db?sslmode=require", None),
    ],
)
def test_an_address_is_frozen_with_whole_paths_and_variables_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, kept: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert checked(given, where="") == (kept or given).format(here=tmp_path) if "$" not in given else given
    assert checked(checked(given, where=""), where="") == checked(given, where="")


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://me:hunter2@host/db",
        "postgresql://me:hunter/2@host/db",
        "postgresql://me:${X}hunter2@host/db",
        "postgresql://me@host/db?password=hunter2",
        "mysql://me:hunter2@host/db",
        "hunter2",
        "sqlite://",
        "sqlite:///:memory:",
        "journal:",
        "",
    ],
)
def test_a_password_or_another_kind_of_storage_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(WrongInput, match=r"\(spec.yaml: search.storage\)") as refused:
        checked(given, where="spec.yaml: search.storage")
    assert "hunter" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_variables_are_quoted_in_an_url_and_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "a/b@c")
    assert expanded("postgresql://me:${SECRET}@host/db", where="") == "postgresql://me:a%2Fb%40c@host/db"
    assert expanded("journal:${SECRET}", where="") == "journal:a/b@c"
    monkeypatch.delenv("SECRET")
    with pytest.raises(WrongInput, match="no variable SECRET"):
        expanded("postgresql://me:${SECRET}@host/db", where="")


@pytest.mark.parametrize("given", ["sqlite:////no/such/folder/x.db", "journal:/no/such/folder/x.log"])
def test_a_storage_that_cannot_be_reached_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(WrongInput, match="the storage cannot be used: ") as refused:
        mirror(given, "x")
    assert "\n" not in str(refused.value)


@pytest.mark.needs("postgres")
def test_a_server_that_is_not_there_or_refuses_is_one_line_without_the_password(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PASSWORD", "wrong-hunter2")
    nobody = f"postgresql://tester:${{TEST_PASSWORD}}@127.0.0.1:{free_port()}/postgres"
    for address, said in ((server.address, "password authentication failed"), (nobody, "refused")):
        with pytest.raises(WrongInput, match="the storage cannot be used") as refused:
            mirror(address, "x")
        assert said in str(refused.value).lower()
        assert "hunter2" not in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.needs("postgres")
def test_a_server_that_goes_in_mid_search_gives_one_line_and_the_search_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    monkeypatch.setattr("optuna.storages._rdb.storage.time.sleep", lambda _: None)  # it waits between attempts
    progress = Lines(space=SPACE, trials=9, objectives=OBJECTIVES, rows=ROWS[:1])
    with postgres() as server, mirrored(server.address, tmp_path / "gone", progress, experiment="e" * 16):
        deadline = time.monotonic() + 60
        while len(held(server.address, "gone")) < 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        server.stop()
        for each in ROWS[1:]:
            progress.finished(each)
    said = capsys.readouterr().out.splitlines()
    lost = [line for line in said if line.startswith("the storage failed: ")]
    assert len(lost) == 1
    assert lost[0].endswith("; the search goes on without it")
    assert PASSWORD not in lost[0]
    assert len(progress.rows) == len(ROWS)


@pytest.mark.slow  # it takes seconds to start
@pytest.mark.needs("optuna-dashboard")
def test_optuna_dashboard_shows_every_trial(address: str) -> None:
    kept = mirror(address, "dashboard")
    for each in ROWS:
        kept.tell(each)
    port = free_port()
    target = expanded(address, where="").removeprefix("journal:").replace("postgresql:", "postgresql+psycopg:")
    program = (
        f"import sys; sys.argv[1:] = {[target, '--port', str(port)]!r}; from optuna_dashboard._cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    try:
        studies = _asked(f"http://127.0.0.1:{port}/api/studies", process)["study_summaries"]
        number = next(each["study_id"] for each in studies if each["study_name"] == "dashboard")
        study = _asked(f"http://127.0.0.1:{port}/api/studies/{number}?after=0", process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    names = {"complete": "Complete", "stopped": "Pruned", "failed": "Fail"}
    assert [trial["state"] for trial in study["trials"]] == [names[state] for state in STATES]
    assert study["objective_names"] == list(OBJECTIVES)


def _asked(address: str, process: subprocess.Popen[bytes]) -> Any:
    """The answer, as soon as there is one."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.loads(answer.read())
        except OSError:
            assert process.poll() is None, "optuna-dashboard ended"
            assert time.monotonic() < deadline
            time.sleep(0.2)
