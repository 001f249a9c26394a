import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.errors import WorkFailed
from search import doctor, machine, storage_check, token
from search.doctor import WIDTH, examine, text
from search.finding import Finding
from search.storage_check import MOST_SKEW, PROBE, skew

FINE = Finding("cores", "2")
WRONG = Finding("memory", "0.1 GB free of 24.0 GB", cure="end other programs, or run fewer workers")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    listed = [FINE]
    monkeypatch.setattr(machine, "findings", lambda: iter(listed))
    return listed


def test_a_machine_without_problems_is_exit_0(found: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    examine(address=None, study=None, as_json=False)
    assert capsys.readouterr().out == text(found) + "\n"


@pytest.mark.parametrize(("count", "said"), [(1, "1 problem found"), (2, "2 problems found")])
def test_problems_are_exit_1_and_all_are_printed(
    found: list[Finding], capsys: pytest.CaptureFixture[str], count: int, said: str
) -> None:
    found += [WRONG] * count
    with pytest.raises(WorkFailed, match=f"^{said}$"):
        examine(address=None, study=None, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["problems"] == count
    assert printed["findings"][0] == {"what": "cores", "said": "2", "problem": False, "cure": ""}
    assert [each["cure"] for each in printed["findings"][1:]] == [WRONG.cure] * count


def test_text_is_aligned_and_fits_any_words() -> None:
    long = " ".join(["word"] * 60)
    printed = text([FINE, WRONG, Finding("clock of storage", long, cure=long)])
    lines = printed.splitlines()
    assert max(map(len, lines)) <= WIDTH
    start = 2 + len("clock of storage") + 2
    assert all(line[:start].strip(" !") in {"cores", "memory", "clock of storage", ""} for line in lines)
    assert [line[0] for line in lines if line[2] != " "] == [" ", "!", "!"]
    assert " ".join(printed.split()).count("word") == 120


def test_a_folder_is_written_to_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    seen = {each.what: each for each in storage_check.findings(str(tmp_path / "not" / "yet"))}
    assert list(seen) == ["storage", "room there", "clock of storage"]
    assert re.search(r"1 MB written in [\d.]+ s, read in [\d.]+ s$", seen["storage"].said)
    assert not any(each.is_problem for each in seen.values()), seen
    assert [path.name for path in tmp_path.iterdir()] == ["there"], f"no study, and no {PROBE}"


def test_storage_that_cannot_be_used_is_a_problem_and_shows_no_credentials() -> None:
    (said,) = storage_check.findings("nowhere://key:planted-secret@bucket/study")
    assert said.is_problem
    assert "planted-secret" not in text([said])


def test_storage_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(storage_check, "SECONDS", 0.1)
    monkeypatch.setattr(storage_check, "_tried", lambda *_: time.sleep(30))
    (said,) = storage_check.findings(str(tmp_path))
    assert (said.said, said.is_problem) == (f"{tmp_path} does not answer within 0.1 s", True)


@pytest.mark.parametrize("ahead", [-3600.0, -MOST_SKEW - 3, MOST_SKEW + 3, 3600.0])
def test_a_clock_that_is_off_is_a_problem_either_way(ahead: float) -> None:
    said = skew("clock", lambda: time.time() + ahead)
    assert said.is_problem
    assert abs(float(said.said.split()[0]) - ahead) <= 2


@pytest.mark.parametrize("ahead", [0.0, -MOST_SKEW + 1, MOST_SKEW - 1])
def test_a_clock_that_is_nearly_right_is_no_problem(ahead: float) -> None:
    assert not skew("clock", lambda: time.time() + ahead).is_problem


def test_a_time_between_two_of_ours_cannot_be_told_from_ours() -> None:
    assert skew("clock", lambda: 105.0, between=(100.0, 110.0)).said == "agrees with this one to 10 s"
    assert skew("clock", lambda: 120.0, between=(100.0, 110.0)).said == "+10 s from this one"
    assert skew("clock", lambda: 89.0, between=(100.0, 110.0)).said == "-10 s from this one"


def test_a_token_that_others_may_read_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray writes ~/.ray/auth_token with mode 644."""
    monkeypatch.setenv(token.FILE, str(tmp_path / "token"))
    (none,) = machine._token()
    assert not none.is_problem
    token.make(tmp_path / "token")
    (fine,) = machine._token()
    assert not fine.is_problem
    (tmp_path / "token").chmod(0o644)
    (wrong,) = machine._token()
    assert wrong.cure == f"chmod 600 {tmp_path / 'token'}"
    assert "(mode 644)" in wrong.said


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", None), ("150000 100000", 1.5), ("50000 100000", 0.5), ("nonsense", None)]
)
def test_a_containers_share_of_the_cores_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, cores: float | None
) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert machine._quota() is None
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert machine._quota() == cores


def test_a_cluster_that_is_not_there_is_a_problem_among_the_others(found: list[Finding]) -> None:
    seen = list(doctor._findings(address="localhost:1", study=None))
    assert seen[0] == found[0]
    assert seen[1].said.startswith("no Ray cluster answers at localhost:1 (")
    assert seen[1].cure.startswith("start one with `ray start --head`")


@pytest.mark.slow
def test_doctor_looks_at_this_machine_without_ray(tmp_path: Path) -> None:
    program = (
        "import sys; from analysis.errors import WorkFailed; from search.doctor import examine\n"
        "try: examine(address=None, study=sys.argv[1], as_json=True)\n"
        "except WorkFailed: pass  # this machine may have problems\n"
        "assert 'ray' not in sys.modules, 'ray takes seconds'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, env=os.environ, check=True
    )
    seen = {each["what"]: each["said"] for each in json.loads(done.stdout)["findings"]}
    assert {"versions", "cores", "memory", "disk", "token", "bfloat16", "storage"} <= set(seen)
    assert re.search(r"a step takes [\d.]+ times one in float32: it (pays|does not pay)", seen["bfloat16"])
