"""The table of test results: added to, averaged, and never half written."""

import json
import math
import multiprocessing
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import prunefront
from analysis import confirmed, confirmed_command
from analysis.errors import WorkFailed, WrongInput
from analysis.schema import CONFIRMED, SCHEMA_VERSION
from analysis.selection import chosen, single
from tests.analysis import studies

DENSE = studies.DENSE_ROW["trial"]


def line(trial: str = "a" * 16, seed: int = 0, accuracy: float | None = 0.9, **changes: Any) -> dict[str, Any]:
    """A result as `trial.confirm` gives it; without accuracy a failed one."""
    complete = accuracy is not None
    known: dict[str, Any] = dict.fromkeys(column.name for column in CONFIRMED)
    return {
        **known,
        "trial": trial,
        "method": "filter-l1",
        "ratio": 0.5,
        "seed": seed,
        "as_trained": False,
        "state": "complete" if complete else "failed",
        "error": None if complete else "TrainingDiverged: the loss was nan",
        "test_accuracy": accuracy,
        "class_accuracy": [accuracy, None, 1.0] if complete else None,
        "classes": ["cat", "dog", "owl"] if complete else None,
        "sparsity": 0.5 if complete else None,
        "macs": 1000 if complete else None,
        "test_data": "f" * 16,
        **changes,
    }


def add_one(study: Path, seed: int) -> None:
    confirmed.add(study, [line(seed=seed)])


def test_what_is_added_is_read_back_with_the_declared_types(tmp_path: Path) -> None:
    given = line(test_loss=0.25)
    confirmed.add(tmp_path, [given])
    (read,) = confirmed.read(tmp_path)
    assert read == given | {"test_accuracy_mean": 0.9, "test_accuracy_std": None, "seeds": 1}
    schema = pq.read_schema(tmp_path / "confirmed.parquet")
    assert schema.names == [column.name for column in CONFIRMED]
    assert schema.metadata[b"prunefront_schema"] == str(SCHEMA_VERSION).encode()
    assert schema.field("class_accuracy").type == pa.list_(pa.float64())
    assert schema.field("classes").type == pa.list_(pa.string())
    assert list(pd.read_parquet(tmp_path / "confirmed.parquet").classes[0]) == ["cat", "dog", "owl"]
    assert [path.name for path in tmp_path.iterdir()] == ["confirmed.parquet"]


def test_mean_and_deviation_are_over_the_complete_seeds_of_one_trial_on_the_same_images(tmp_path: Path) -> None:
    """By hand: √(Σ(a − ā)²/(n − 1)); a failed seed, another trial, the trained network and other images stay out."""
    accuracies = (0.91, 0.85, 0.94)
    confirmed.add(tmp_path, [line(seed=seed, accuracy=each) for seed, each in enumerate(accuracies)])
    others = [
        line(seed=3, accuracy=None),
        line("b" * 16, accuracy=0.1),
        line(as_trained=True, accuracy=0.2),
        line(seed=4, test_data="0" * 16, accuracy=0.3),
    ]
    confirmed.add(tmp_path, others)
    lines = confirmed.read(tmp_path)
    mean = (0.91 + 0.85 + 0.94) / 3
    std = math.sqrt(((0.91 - mean) ** 2 + (0.85 - mean) ** 2 + (0.94 - mean) ** 2) / 2)
    for of_trial in lines[:4]:
        assert of_trial["seeds"] == 3
        assert of_trial["test_accuracy_mean"] == pytest.approx(mean, abs=1e-15)
        assert of_trial["test_accuracy_std"] == pytest.approx(std, abs=1e-15)
    assert [(each["test_accuracy_mean"], each["test_accuracy_std"], each["seeds"]) for each in lines[4:]] == [
        (0.1, None, 1), (0.2, None, 1), (0.3, None, 1),
    ]  # fmt: skip


def test_the_same_key_is_replaced_and_failures_alone_have_no_mean(tmp_path: Path) -> None:
    confirmed.add(tmp_path, [line(), line("b" * 16)])
    confirmed.add(tmp_path, [line(accuracy=None)])
    lines = confirmed.read(tmp_path)
    assert [(each["trial"], each["state"], each["seeds"]) for each in lines] == [
        ("a" * 16, "failed", 0), ("b" * 16, "complete", 1),
    ]  # fmt: skip
    assert (lines[0]["test_accuracy_mean"], lines[0]["test_accuracy_std"]) == (None, None)


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    adding = [context.Process(target=add_one, args=(tmp_path, seed)) for seed in range(6)]
    for process in adding:
        process.start()
    for process in adding:
        process.join(60)
    assert {each["seed"] for each in confirmed.read(tmp_path)} == set(range(6))


def test_a_table_that_cannot_be_read_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "confirmed.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(WrongInput, match="cannot be read as Parquet"):
        confirmed.add(tmp_path, [line()])
    assert path.read_bytes() == b"PAR1 and then nothing"
    pq.write_table(pa.table({"trial": ["a"]}, metadata={"prunefront_schema": "99"}), path)
    with pytest.raises(WrongInput, match=r"confirmed.parquet has schema version 99"):
        confirmed.read(tmp_path)
    path.unlink()
    with pytest.raises(WrongInput, match="`prunefront confirm` writes it"):
        confirmed.read(tmp_path)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return studies.write(tmp_path / "study", studies.rows(40))


def trials(study: Path, typed: str) -> list[str]:
    return [row["trial"] for row in chosen(study, typed)]


def test_front_is_what_the_front_command_prints_with_the_dense_network_first(study: Path) -> None:
    (study / "spec.yaml").write_text("search: {objectives: [val_loss, params]}")
    printed = CliRunner().invoke(prunefront.app, ["front", str(study), "--json"]).stdout
    front = [row["trial"] for row in json.loads(printed)["front"]]
    assert len(front) > 3
    assert trials(study, "front") == [DENSE, *(trial for trial in front if trial != DENSE)]


def test_where_one_trial_is_wanted_one_is_named(study: Path, tmp_path: Path) -> None:
    for typed in ("", " ", "front", " all", f"{3:016x},dense"):
        with pytest.raises(WrongInput, match=r"one trial is wanted, got .* \(TRIAL\)"):
            single(study, typed)
    assert single(study, f" {3:016x} ")["trial"] == f"{3:016x}"
    assert single(study, " dense ")["trial"] == DENSE
    without = studies.write(tmp_path / "without", [row for row in studies.rows(40) if row["method"] != "dense"])
    with pytest.raises(WrongInput, match="without has no dense network that was trained"):
        single(without, " dense ")


def test_trials_are_named_by_their_first_digits_each_once(study: Path) -> None:
    named = f"{3:016x}"
    assert trials(study, "dense") == [DENSE]
    assert trials(study, f"{named},dense, {named.upper()}") == [DENSE, named]
    assert trials(study, DENSE[:1]) == [DENSE]
    assert trials(study, f"front,{named}")[-1] in {named, trials(study, "front")[-1]}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("0000", r"'0000' fits 39 trials of .*: 0{15}1, 0{15}2, .* and 34 more; say more digits"),
        ("fronts", "has no trial 'fronts': did you mean front"),
        ("0000000000000099", r"has no trial '0{14}99': did you mean 0{14}"),
        ("zz", "has no trial 'zz': it has "),
        ("", "a trial's name is empty"),
        ("dense,,front", "a trial's name is empty"),
        (f"{5:016x}", r"trial 0{15}5 of .* is failed, and only complete ones have a network: FloatingPointError"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line(study: Path, typed: str, said: str) -> None:
    with pytest.raises(WrongInput, match=said) as caught:
        chosen(study, typed)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("(--trials)") or "is failed" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["confirm", "NOWHERE"], "there is no study at"),
        (["confirm", "STUDY", "--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["confirm", "STUDY", "--as-trained", "--seeds", "3"], "--as-trained tests the one network"),
        (["confirm", "EMPTY"], "has no complete trial: it has no rows yet"),
        (["confirm", "FAILED"], "has no complete trial: none of its 2 rows is complete"),
        (["confirm", "STUDY"], "has no spec.yaml and no experiment.yaml, which say how its networks were trained"),
    ],
)
@pytest.mark.usefixtures("study")
def test_wrong_input_is_one_line_and_exit_code_2(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "EMPTY" / "rows").mkdir(parents=True)
    studies.write(tmp_path / "FAILED", [row | {"state": "failed"} for row in studies.rows(2)])
    places = {"NOWHERE": "nowhere", "STUDY": "study"}
    done = CliRunner().invoke(
        prunefront.app, [str(tmp_path / places.get(word, word)) if word.isupper() else word for word in words]
    )
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("typed", ["", "front", "all", "0000", "zz", "dens", "0000000000000001,dense"])
def test_one_trial_is_asked_for_where_it_is_named(study: Path, typed: str) -> None:
    """`export` takes one trial as an argument, and no option."""
    found = CliRunner().invoke(prunefront.app, ["export", str(study), typed])
    assert (found.exit_code, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert found.stderr.endswith("(TRIAL)\n")
    assert "--trials" not in found.stderr
    assert not ({"front", "all"} - {typed}) & set(re.findall(r"\w+", found.stderr))


def test_seeds_are_three_unless_said_and_one_as_trained() -> None:
    assert confirmed_command.check_seeds(None, as_trained=False) == 3
    assert confirmed_command.check_seeds(5, as_trained=False) == 5
    assert (
        confirmed_command.check_seeds(None, as_trained=True) == confirmed_command.check_seeds(1, as_trained=True) == 1
    )


def test_the_printed_table_and_the_document_say_what_the_lines_say(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = f"{1:016x}", f"{2:016x}"
    lines = [
        line(DENSE, method="dense", ratio=None),
        line(first, accuracy=0.8, macs=2_000_000),
        line(first, seed=1, accuracy=0.9, macs=1_000_000),
        line(other, accuracy=None),
    ]
    rows = chosen(study, f"{first},{other}")
    confirmed.add(study, lines)
    confirmed_command.print_confirmed(study, rows, lines, as_json=False)
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == [
        "trial",
        "method",
        "ratio",
        "val_accuracy",
        "test_accuracy",
        "seeds",
        "sparsity",
        "macs",
    ]
    assert table[1].split() == [DENSE, "dense", "0.9370", "0.9000", "1", "0.5000", "1", "k"]
    val_accuracy = next(row["val_accuracy"] for row in rows if row["trial"] == first)
    assert table[2].split() == [
        first, "filter-l1", "0.5", f"{val_accuracy:.4f}", "0.8500", "±", "0.0707", "2", "0.5000", "1.5", "M",
    ]  # fmt: skip
    assert f"filter-l1 {other}, seed 0 failed: TrainingDiverged: the loss was nan" in table
    confirmed_command.print_confirmed(study, rows, lines, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["classes"] == ["cat", "dog", "owl"]
    assert [trial["trial"] for trial in document["trials"]] == [DENSE, first, other]
    assert document["trials"][1]["test_accuracy_std"] == pytest.approx(math.sqrt(0.005))
    assert [run["class_accuracy"] for run in document["trials"][1]["runs"]] == [[0.8, None, 1.0], [0.9, None, 1.0]]
    assert document["trials"][2]["runs"][0]["error"] == "TrainingDiverged: the loss was nan"


def test_work_has_failed_only_where_every_line_of_this_run_did(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Earlier seeds that came through do not hide it, and the table is printed all the same."""
    confirmed.add(study, [line(DENSE), line(DENSE, seed=1, accuracy=None)])
    rows = chosen(study, "dense")
    with pytest.raises(WorkFailed, match=r"all 1 confirmations failed, most often of TrainingDiverged.* \(1×\)"):
        confirmed_command.print_confirmed(study, rows, [line(DENSE, seed=1, accuracy=None)], as_json=False)
    assert "0.9000" in capsys.readouterr().out
    confirmed_command.print_confirmed(study, rows, [line(DENSE), line(DENSE, seed=1, accuracy=None)], as_json=False)
