"""``prunefront store`` as a user meets it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

import prunefront
from search.driver import driving
from search.store_command import duration, size
from trial.manifest import MANIFEST, STAGES, TENSORS
from trial.store import Product, Store

ROOT = Path(prunefront.__file__).parent
DAY = 86_400


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Four cuts and a dense network, the n-th last used n days ago."""
    made = tmp_path / "made-up"
    store = Store.of(made)
    for number in range(5):
        kind = "cut" if number else "dense"
        store.get_or_make(key(number), lambda: Product({"weight": torch.zeros(1000)}), kind=kind)
        used = time.time() - number * DAY - 60
        os.utime(made / STAGES / key(number) / MANIFEST, (used, used))
    return made


def run(*words: object) -> Result:
    return CliRunner().invoke(prunefront.app, ["store", *map(str, words)])


def key(number: int) -> str:
    """A stage's key as they look: 64 hex digits."""
    return f"{number:064x}"


def keys(study: Path) -> set[str]:
    return {folder.name for folder in (study / STAGES).glob("0*")}


def test_the_list_counts_by_kind(study: Path) -> None:
    done = run(study)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["kind", "stages", "bytes", "oldest", "newest"]
    assert [(line[0], line[1]) for line in lines[1:]] == [("cut", "4"), ("dense", "1"), ("all", "5")]
    assert lines[1][4:] == ["4", "d", "1", "d"]
    assert lines[3][4:] == ["4", "d", "1", "m"]


def test_json_has_every_stage(study: Path) -> None:
    document = json.loads(run(study, "--json").stdout)
    assert [stage["key"] for stage in document["stages"]] == [key(number) for number in (4, 3, 2, 1, 0)]
    assert document["bytes"] == sum(stage["bytes"] for stage in document["stages"])
    assert set(document["stages"][0]) == {"key", "kind", "bytes", "age_seconds", "damaged", "damage"}
    assert document["stages"][0]["age_seconds"] == pytest.approx(4 * DAY + 60, abs=60)


def test_verify_names_what_is_damaged_and_exits_1(study: Path) -> None:
    whole = run(study, "--verify")
    assert (whole.exit_code, whole.stdout) == (0, "5 of 5 stages are whole\n")
    file = study / STAGES / key(2) / TENSORS
    file.write_bytes(file.read_bytes()[:-4] + b"\x01\x00\x00\x00")
    done = run(study, "--verify")
    assert done.exit_code == 1
    assert done.stdout == f"{key(2)}  cut  its checksum is wrong\n4 of 5 stages are whole\n"
    assert done.stderr.startswith(f"prunefront: 1 of 5 stages of {study} are damaged: {key(2)[:16]};")
    assert done.stderr.count("\n") == 1
    document = run(study, "--verify", "--json")
    assert document.exit_code == 1
    assert [stage["key"] for stage in json.loads(document.stdout)["stages"] if stage["damaged"]] == [key(2)]


def test_prune_removes_by_age_and_by_size_and_a_dry_run_removes_nothing(study: Path) -> None:
    dry = run(study, "--prune", "--older-than", "2d", "--dry-run")
    assert dry.stdout.startswith("would remove 3 of 5 stages, ")
    assert len(keys(study)) == 5
    assert run(study, "--prune", "--older-than", "2d").stdout.startswith("removed 3 of 5 stages, ")
    assert keys(study) == {key(0), key(1)}
    done = json.loads(run(study, "--prune", "--keep", "5kB", "--json").stdout)
    assert [stage["key"] for stage in done["stages"]] == [key(1)]
    assert done["bytes_left"] == sum(file.stat().st_size for file in (study / STAGES / key(0)).iterdir())
    assert keys(study) == {key(0)}
    assert run(study, "--prune", "--keep", "0B").exit_code == 0
    assert run(study).stdout == f"{study} holds no stages\n"
    assert sorted(entry.name for entry in study.iterdir()) == [STAGES], "the driver's file went"


def test_a_study_in_use_is_not_pruned(study: Path) -> None:
    with driving(study):
        done = run(study, "--prune", "--keep", "0B")
        assert done.exit_code == 2
        assert done.stderr.startswith(f"prunefront: {study} is being written by process {os.getpid()} on ")
        assert "--study" not in done.stderr
    store = Store.of(study)
    done = run(study, "--prune", "--keep", "0B")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"prunefront: {study} is in use: ")
    assert done.stderr.count("\n") == 1
    assert len(keys(study)) == 5
    assert run(study, "--prune", "--keep", "0B", "--dry-run").exit_code == 0
    del store


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prune"], "--prune removes by age or by size: give --older-than 7d, --keep 2GB or both"),
        (["--older-than", "7d"], "--older-than belongs to --prune"),
        (["--keep", "2GB"], "--keep belongs to --prune"),
        (["--dry-run"], "--dry-run belongs to --prune"),
        (["--verify", "--prune", "--keep", "1GB"], "--verify and --prune do not go together"),
        (["--prune", "--older-than", "7"], "--older-than takes a number and one of s, m, h, d, w, such as 7d; got '7'"),
        (["--prune", "--older-than", "soon"], "got 'soon'"),
        (["--prune", "--older-than", "-7d"], "got '-7d'"),
        (["--prune", "--keep", "2 apples"], "--keep takes a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB"),
        (["--prune", "--keep", "nanGB"], "got 'nanGB'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(study: Path, words: list[str], said: str) -> None:
    done = run(study, *words)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(keys(study)) == 5


def test_no_such_study_is_one_line(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        for words in ([], ["--verify"], ["--prune", "--keep", "1GB"]):
            done = run(folder, *words)
            assert done.exit_code == 2, done.output
            assert done.stderr.startswith(f"prunefront: {folder} is not a study's folder")


def test_lengths_of_time_and_sizes_are_read_as_they_are_typed() -> None:
    assert [duration(said) for said in ("90s", "2m", "1.5h", "7d", " 2 w ")] == [90, 120, 5400, 7 * DAY, 14 * DAY]
    assert [size(said) for said in ("7B", "1kB", "2GB", "2gb", ".5 MiB", "1TB")] == [
        7, 1000, 2 * 10**9, 2 * 10**9, 2**19, 10**12,
    ]  # fmt: skip


def test_neither_torch_nor_ray_is_loaded(study: Path) -> None:
    for words in ([], ["--verify", "--json"], ["--prune", "--keep", "1GB"]):
        code = (
            "import sys, prunefront\n"
            "try:\n    prunefront.main()\n"
            "except SystemExit as end:\n    assert not end.code, end.code\n"
            "print(sorted({'torch', 'ray', 'numpy', 'pandas', 'pyarrow'} & sys.modules.keys()), file=sys.stderr)"
        )
        command = [sys.executable, "-c", code, "store", str(study), *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        assert done.stderr == "[]\n", words
