"""Studies as jobs of a real cluster, by the commands that a user types."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from analysis.epochs import counted
from analysis.errors import WrongInput
from search.environment import differences, pinned, shipped
from search.jobs import _own_lines, check_address, check_name
from tests.search.dashboard import Dashboard, dashboard
from tests.search.disturbed import network, slow
from tests.search.test_run import SPEC, environment
from tests.search.three_nodes import processes, wait_until

OWN = {"network": {"code": "disturbed_network:tiny"}, "data": {"name": "digits", "images": 200}}
SEARCH = {"methods": {"filter-l1": {"ratio": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}}, "sampler": "grid"}
LIMIT = 180


@pytest.fixture(scope="module")
def cluster() -> Iterator[Dashboard]:
    with dashboard() as started:
        yield started


def prunefront(cluster: Dashboard, folder: Path, *words: str, code: int = 0) -> str:
    """Run a command as from a terminal in ``folder``; what it printed, or what it complained of."""
    program = "import sys; sys.path.pop(0); from prunefront import main; main()"
    verb, *rest = words
    ended = subprocess.run(
        [sys.executable, "-c", program, verb, *rest, "--address", cluster.address],
        cwd=folder,
        env=environment(**cluster.environment()),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout if code == 0 else ended.stderr


def rows(cluster: Dashboard, name: str) -> list[dict[str, object]]:
    """The rows of a study, without the dense network's."""
    found = (json.loads(path.read_text()) for path in (cluster.studies / name / "rows").glob("[!.]*.json"))
    return [row for row in found if row["method"] != "dense"]


def travelling_network(folder: Path) -> None:
    """A network of the user's: the module travels, the file that says how slow it is does not."""
    network(folder, "pass")
    source = (folder / "disturbed_network.py").read_text()
    (folder / "disturbed_network.py").write_text(source.replace("Path(__file__)", f"Path({str(folder / 'x')!r})"))


def test_a_study_outlives_its_terminal_in_a_folder_whose_modules_have_our_names(
    cluster: Dashboard, shadowed: Path
) -> None:
    travelling_network(shadowed)
    slow(shadowed, seconds=20.0)  # it is running still when it is submitted once more
    (shadowed / "spec.yaml").write_text(yaml.safe_dump({**SPEC, **OWN, "search": SEARCH}))
    said = prunefront(cluster, shadowed, "submit", "spec.yaml", "--name", "first")
    assert "the study first is running as job prunefront-first-1; this terminal may close" in said
    assert f"prunefront logs first --follow --address {cluster.address}" in said
    refused = prunefront(cluster, shadowed, "submit", "spec.yaml", "--name", "first", code=2)
    assert "the study first is running as job prunefront-first-1" in refused
    slow(shadowed, seconds=0.0)
    logged = prunefront(cluster, shadowed, "logs", "first", "--follow")
    assert logged.startswith("dense network")
    assert "6 trials are in" in logged
    assert {row["state"] for row in rows(cluster, "first")} == {"complete"}
    assert len(rows(cluster, "first")) == 6
    stands = json.loads(prunefront(cluster, shadowed, "status", "first", "--json"))
    assert stands["trials"]["complete"] == 6
    (listed,) = json.loads(prunefront(cluster, shadowed, "studies", "--json"))
    assert (listed["name"], listed["state"]) == ("first", "succeeded")
    assert cluster.token.read_text() not in logged + said + json.dumps(listed)


@pytest.mark.slow
def test_a_study_that_is_stopped_and_one_whose_job_is_killed_go_on(cluster: Dashboard, tmp_path: Path) -> None:
    travelling_network(tmp_path)
    slow(tmp_path, seconds=3.0)  # a trial outlasts a command's start on a busy machine
    given = {**SPEC, **OWN, "recovery": {"epochs": 3}, "search": SEARCH}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(given))
    prunefront(cluster, tmp_path, "submit", "spec.yaml", "--name", "second")
    wait_until(lambda: len(rows(cluster, "second")) >= 1, seconds=LIMIT, what="a first row")
    said = prunefront(cluster, tmp_path, "stop", "second")
    assert "the study second has stopped" in said
    before = {str(row["trial"]): row for row in rows(cluster, "second")}
    assert len(before) < 6
    assert "does not run" in prunefront(cluster, tmp_path, "stop", "second", code=2)
    assert "prunefront-second-2" in prunefront(cluster, tmp_path, "resume", "second")
    wait_until(lambda: len(rows(cluster, "second")) > len(before), seconds=LIMIT, what="a further row")
    killed = [
        pid for pid, line in processes(cluster.mark).items() if "prunefront run" in line or "JobSupervisor" in line
    ]
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    slow(tmp_path, seconds=0)
    wait_until(
        lambda: json.loads(prunefront(cluster, tmp_path, "studies", "--json"))[0]["state"] == "failed",
        seconds=LIMIT,
        what="the killed job is known to have ended",
    )
    prunefront(cluster, tmp_path, "resume", "second")
    assert "6 trials are in" in prunefront(cluster, tmp_path, "logs", "second", "--follow")
    after = {str(row["trial"]): row for row in rows(cluster, "second")}
    assert len(after) == 6
    assert {trial: after[trial] for trial in before} == before


@pytest.mark.slow
def test_stopping_lets_running_epochs_end_and_resuming_runs_none_of_them_again(
    cluster: Dashboard, tmp_path: Path
) -> None:
    travelling_network(tmp_path)
    slow(tmp_path, seconds=4.0)  # what runs outlasts a command's start on a busy machine
    given = {**SPEC, **OWN, "dense": {"epochs": 12}, "recovery": {"epochs": 6}, "checkpoint_every": 100}
    given["search"] = {**SEARCH, "sampler": "random", "trials": 6}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(given))
    prunefront(cluster, tmp_path, "submit", "spec.yaml", "--name", "third")
    study = cluster.studies / "third"

    def epochs() -> int:
        return counted(study).executed if (study / "epochs").is_dir() else 0

    wait_until(lambda: epochs() >= 1, seconds=LIMIT, what="a first epoch of the dense network")
    prunefront(cluster, tmp_path, "stop", "third")
    assert not list(study.glob("rows/*")), prunefront(cluster, tmp_path, "logs", "third")
    assert len(list(study.glob("left/*"))) == 1
    # Enough of the dense network for now.
    slow(tmp_path, seconds=0)
    prunefront(cluster, tmp_path, "resume", "third")
    wait_until(lambda: epochs() >= 12, seconds=LIMIT, what="the dense network")
    slow(tmp_path, seconds=4.0)
    wait_until(lambda: epochs() >= 12 + 2, seconds=LIMIT, what="epochs of trials")
    began = epochs()
    said = prunefront(cluster, tmp_path, "stop", "third")
    assert "the study third has stopped" in said
    assert len(list(study.glob("left/*"))) >= 2
    assert len(json.loads((study / "left.json").read_text())) == 2
    assert epochs() < 12 + 6 * 6
    print(began, epochs(), sorted(path.name[-4:] for path in study.glob("left/*")))
    slow(tmp_path, seconds=0)
    prunefront(cluster, tmp_path, "resume", "third")
    assert "6 trials are in" in prunefront(cluster, tmp_path, "logs", "third", "--follow")
    assert {row["state"] for row in rows(cluster, "third")} == {"complete"}
    assert counted(study).executed == counted(study).needed == 12 + 6 * 6
    assert json.loads((study / "left.json").read_text()) == []


def test_a_study_whose_packages_are_of_other_releases_is_refused_where_it_would_run(
    cluster: Dashboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    travelling_network(tmp_path)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**SPEC, **OWN, "search": SEARCH}))
    # This terminal has another Optuna than the cluster, as its package's metadata say.
    other = tmp_path / "other" / "optuna-3.1.4.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 3.1.4\n")
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    prunefront(cluster, tmp_path, "submit", "spec.yaml", "--name", "other")
    said = prunefront(cluster, tmp_path, "logs", "other", "--follow")
    assert (
        f"optuna is {version('optuna')}, and is 3.1.4 where the study was submitted: install the same on both" in said
    )
    assert len(said.splitlines()) == 1
    assert not (cluster.studies / "other").exists()
    assert "--environment takes check, ship, any" in prunefront(
        cluster, tmp_path, "submit", "spec.yaml", "--environment", "none", code=2
    )
    prunefront(cluster, tmp_path, "submit", "spec.yaml", "--name", "other", "--environment", "any", "--trials", "1")
    assert "1 trial is in" in prunefront(cluster, tmp_path, "logs", "other", "--follow").replace(
        "1 trials are", "1 trial is"
    )


def test_what_is_shipped_is_pinned_and_ray_takes_it() -> None:
    from ray.runtime_env import RuntimeEnv

    packages = shipped()
    assert f"optuna=={version('optuna')}" in packages
    assert not [each for each in packages if each.startswith("ray") or "+" in each or "==" not in each]
    assert RuntimeEnv(uv={"packages": packages, "uv_check": False})["uv"]["packages"] == packages


def test_other_releases_are_named_and_other_builds_are_not() -> None:
    release = version("torch").partition("+")[0]
    assert differences({"torch": f"{release}+another", "numpy": version("numpy")}) == []
    assert differences({"torch": "1.13.1"}) == [f"torch is {version('torch')}, and is 1.13.1"]
    assert differences(pinned()) == []


def test_what_cannot_be_is_said_in_one_line(cluster: Dashboard, tmp_path: Path) -> None:
    assert "knows of no study 'none'" in prunefront(cluster, tmp_path, "logs", "none", code=2)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**SPEC, **OWN, "search": SEARCH}))
    assert "neither disturbed_network.py" in prunefront(cluster, tmp_path, "submit", "spec.yaml", code=2)
    away = Dashboard("http://127.0.0.1:1", cluster.token, cluster.studies, cluster.mark)
    assert "no Ray dashboard answers at http://127.0.0.1:1" in prunefront(away, tmp_path, "studies", code=2)
    other = tmp_path / "token"
    other.write_text("0" * 64)
    stranger = Dashboard(cluster.address, other, cluster.studies, cluster.mark)
    assert "without its token" in prunefront(stranger, tmp_path, "studies", code=2)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "a b", "$(id)", "x" * 101, "-rf", "a\n"])
def test_no_name_leads_out_of_the_folder_of_studies(name: str) -> None:
    with pytest.raises(WrongInput, match="study's name"):
        check_name(name)


@pytest.mark.parametrize(
    "address", ["http://10.0.0.5:8265", "10.0.0.5:8265", "http://head:8265", "http://[2001:db8::1]:8265"]
)
def test_plain_http_to_another_machine_needs_a_token(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(WrongInput, match="plain http to another machine"):
        check_address(address, insecure=False)
    assert check_address(address, insecure=True).endswith("8265")
    (tmp_path / "token").write_text("0" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert check_address(address, insecure=False).endswith("8265")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(WrongInput, match="plain http"):
        check_address(address, insecure=False)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8265", "localhost:8265", "https://head:443", "http://[::1]:8265/"]
)
def test_loopback_and_https_are_safe_to_send_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert check_address(address, insecure=False).startswith("http")


@pytest.mark.parametrize("address", ["ftp://head", "http://", "ray://head:10001", "http://user:secret@head:8265"])
def test_other_addresses_are_refused_without_their_passwords(address: str) -> None:
    with pytest.raises(WrongInput) as refused:
        check_address(address, insecure=True)
    assert "--address" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_what_ray_writes_before_a_job_is_not_the_jobs() -> None:
    assert _own_lines("2026 INFO setting up\nRunning entrypoint for job a: b\none\ntwo\n") == "one\ntwo\n"
    assert _own_lines("") == ""
