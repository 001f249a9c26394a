"""`prunefront front`: groups, ranks, thinning, several studies, indicators, and what is wrong with the input."""

import json
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import prunefront
from analysis import pareto, table
from analysis.schema import SCHEMA_VERSION, arrow_schema
from tests.analysis import studies


@pytest.fixture
def study(tmp_path: Path) -> Path:
    made = [
        row | {"started": f"2026-01-01T00:{i:02}:00+00:00", "seconds": 60.0, "epochs": 6, "epochs_reused": 2}
        for i, row in enumerate(studies.rows(60))
    ]
    return studies.write(tmp_path / "made-up", made)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return studies.write(tmp_path / "other", studies.rows(30, seed=1))


def run(*words: object):  # type: ignore[no-untyped-def]  # typer's result, which is click's
    return CliRunner().invoke(prunefront.app, [str(word) for word in words])


def document(*words: object) -> dict[str, object]:
    done = run("front", *words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_each_group_has_the_front_of_its_own_rows(study: Path) -> None:
    rows = table.read(study)
    found = document(study, "--by", "method")
    assert [each["group"]["method"] for each in found["groups"]] == ["dense", *studies.METHODS]
    for each in found["groups"]:
        own = table.where(rows, f"method == '{each['group']['method']}'")
        expected = pareto.front(own, ["val_accuracy", "sparsity", "macs"])["trial"].to_pylist()
        assert [row["trial"] for row in each["front"]] == expected
    done = run("front", study, "--by", "method")
    assert done.stdout.splitlines()[0] == "method dense"
    assert "\nmethod slimming\ntrial " in done.stdout


def test_a_group_without_a_front_says_why_and_the_others_are_shown(study: Path) -> None:
    done = run("front", study, "--by", "state,method")
    assert done.exit_code == 0
    assert "state failed, method filter-l1: none of the " in done.stdout
    assert "state complete, method slimming\n" in done.stdout


def test_several_studies_have_one_front_and_say_which_is_whose(study: Path, other: Path) -> None:
    found = document(study, other, "--objectives", "val_accuracy,macs")
    expected = pareto.front(table.read(study, other), ["val_accuracy", "macs"])
    assert [row["trial"] for row in found["front"]] == expected["trial"].to_pylist()
    assert {row["study"] for row in found["front"]} == {"made-up", "other"}
    assert found["studies"] == [str(study), str(other)]
    assert found["rows"] == 90
    assert run("front", study, other).stdout.split()[:2] == ["study", "trial"]


def test_ranks_show_the_next_fronts_too(study: Path) -> None:
    one, three = document(study), document(study, "--ranks", "3")
    assert [row["trial"] for row in three["front"] if row["rank"] == 1] == [row["trial"] for row in one["front"]]
    assert sorted({row["rank"] for row in three["front"]}) == [1, 2, 3]
    assert three["on_front"] == one["on_front"] == len(one["front"])
    assert three["hypervolume"] == one["hypervolume"]
    assert run("front", study, "--ranks", "3").stdout.split()[0] == "rank"


def test_thinning_shows_fewer_and_says_so(study: Path) -> None:
    whole, thin = document(study), document(study, "--thin", ".1")
    shown = [row["trial"] for row in thin["front"]]
    assert 0 < len(shown) < len(whole["front"]) == thin["on_front"]
    assert [row["trial"] for row in whole["front"] if row["trial"] in shown] == shown, "the order stays"
    assert whole["front"][0]["trial"] in shown, "so does the most accurate"
    said = run("front", study, "--thin", ".1").stdout
    assert f"{len(shown)} of {len(whole['front'])} shown: each other is nowhere better than one of them by more" in said
    both = document(study, "--thin", ".1", "--ranks", "2")
    assert [row["trial"] for row in both["front"] if row["rank"] == 1] == shown
    pruned = run("front", study, "--thin", ".1", "--where", "method == 'slimming'")
    assert "0.1 of the hypervolume's scale" in pruned.stdout


def test_a_front_without_a_scale_is_thinned_by_its_own_range(tmp_path: Path) -> None:
    place = studies.write(tmp_path / "pruned", studies.rows(60)[1:])
    said = run("front", place, "--thin", ".2")
    assert said.exit_code == 0
    assert "by more than 0.2 of the front's own range" in said.stdout


def test_a_reference_as_given_is_stated_beside_its_hypervolume(study: Path) -> None:
    found = document(study, "--objectives", "val_accuracy,macs", "--reference", "macs=3e8, val_accuracy=.5")
    assert found["hypervolume_reference"] == {"val_accuracy": 0.5, "macs": 3e8}
    points = [(row["val_accuracy"] - 0.5, 3e8 - row["macs"]) for row in found["front"]]
    points = sorted((accuracy, saved) for accuracy, saved in points if accuracy > 0 and saved > 0)
    steps = [0.0, *(accuracy for accuracy, _ in points)]
    area = sum(
        (high - low) * max(saved for accuracy, saved in points if accuracy >= high) for low, high in pairwise(steps)
    )
    assert found["hypervolume"] == pytest.approx(area)
    said = run("front", study, "--objectives", "val_accuracy,macs", "--reference", "macs=3e8,val_accuracy=.5").stdout
    assert "unscaled, to val_accuracy 0.5, macs 3e+08" in said


def test_indicators_state_their_reference_and_what_each_method_adds(study: Path) -> None:
    whole = document(study, "--indicators")
    assert whole["indicators"]["epsilon"] == whole["indicators"]["igd_plus"] == 0.0
    assert whole["indicators"]["hypervolume"] == pytest.approx(whole["hypervolume"])
    assert {each["group"] for each in whole["contributions"]} == {"dense", *studies.METHODS}
    assert "epsilon and IGD+ to the front of all 60 rows" in whole["indicators_reference"]
    part = document(study, "--indicators", "--where", "method == 'random-channels'")
    assert part["indicators"]["epsilon"] > 0 < part["indicators"]["igd_plus"]
    assert part["indicators"]["r2"] > whole["indicators"]["r2"]
    said = run("front", study, "--indicators").stdout
    assert "hypervolume  epsilon  igd_plus      r2" in said


def test_what_the_front_cost_over_trials_seconds_and_epochs(study: Path) -> None:
    for cost, total in (("trials", 59), ("seconds", 3600), ("epochs", 240)):
        found = document(study, "--over", cost)
        points = found["over"]["points"]
        assert points[-1]["cost"] == total
        assert points[-1]["hypervolume"] == pytest.approx(found["hypervolume"])
        assert [each["hypervolume"] for each in points] == sorted(each["hypervolume"] for each in points)
    said = run("front", study, "--over", "seconds").stdout
    assert "worker-seconds  hypervolume" in said


def test_several_studies_have_no_common_clock(study: Path, other: Path) -> None:
    done = run("front", study, other, "--objectives", "val_accuracy,macs", "--over", "trials")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"got 2 studies: `prunefront compare {study} {other}`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_rows_that_do_not_meet_the_constraints_cost_and_count_for_nothing(study: Path) -> None:
    (study / "spec.yaml").write_text('search: {objectives: [val_accuracy, macs], constraints: {macs: ">= 100 M"}}')
    found = document(study, "--indicators", "--over", "trials")
    assert min(row["macs"] for row in found["front"]) >= 100_000_000
    assert found["indicators"]["epsilon"] == 0.0
    assert found["over"]["points"][-1]["hypervolume"] == pytest.approx(found["hypervolume"])
    assert found["over"]["points"][-1]["cost"] == 59
    assert sum(each["networks"] for each in found["contributions"]) == found["complete"] - found["unmet"]


def test_constraints_of_several_studies_all_hold(study: Path, other: Path) -> None:
    (study / "spec.yaml").write_text('search: {constraints: {macs: ">= 50 M"}}')
    (other / "spec.yaml").write_text('search: {constraints: {val_accuracy: ">= .9"}}')
    found = document(study, other)
    assert found["constraints"] == {"macs": ">= 50000000", "val_accuracy": ">= 0.9"}
    assert all(row["macs"] >= 5e7 and row["val_accuracy"] >= 0.9 for row in found["front"])


def test_an_objective_that_is_constant_is_said(tmp_path: Path) -> None:
    same = [
        row | {"macs": 313_000_000, "state": "complete", "val_accuracy": 0.5 + i / 100}
        for i, row in enumerate(studies.rows(9))
    ]
    done = run("front", studies.write(tmp_path / "same", same), "--objectives", "val_accuracy,macs")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "macs is 313 M for each of the 9 networks: it tells none from another"
    alone = run("front", studies.write(tmp_path / "alone", same[:1]))
    assert alone.exit_code == 0
    assert "1 of 1 networks is on the front" in alone.stdout
    assert "tells none" not in alone.stdout


def test_rows_that_failed_are_counted(study: Path) -> None:
    rows = table.read(study)["state"].to_pylist()
    missing = sum(state != "complete" for state in rows)
    assert f"{missing} of 60 rows did not complete and took no part" in run("front", study).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "metod"], "did you mean method"),
        (["--by", "method,method"], "named twice"),
        (["--ranks", "0"], "ranks"),
        (["--thin", "-1"], "from 0 to 1, got -1"),
        (["--thin", "nan"], "from 0 to 1, got nan"),
        (["--thin", "much"], "should be a valid number"),
        (["--reference", "macs=1"], "one number for each of val_accuracy, sparsity, macs, got macs (--reference)"),
        (["--reference", "val_accuracy=.1,macs"], "MEASURE=NUMBER, joined by commas, got 'macs' (--reference)"),
        (["--reference", "val_accuracy=.1,sparsity=0,macs=nan"], "finite"),
        (["--reference", "macs=1,macs=2"], "named twice"),
        (["--over", "second"], "did you mean seconds"),
        (["--indicators", "--where", "ratio > 7"], "no row of"),
    ],
)
def test_wrong_options_are_one_line(study: Path, words: list[str], said: str) -> None:
    done = run("front", study, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_studies_that_do_not_go_together_are_said(study: Path, other: Path, tmp_path: Path) -> None:
    (study / "spec.yaml").write_text("search: {objectives: [val_accuracy, macs]}")
    (other / "spec.yaml").write_text("search: {objectives: [val_loss]}")
    done = run("front", study, other)
    assert done.exit_code == 2
    assert "was searched for val_accuracy, macs" in done.stderr
    assert "(--objectives)" in done.stderr
    assert "named twice" in run("front", study, study, "--objectives", "macs").stderr
    net = [row | {"network": "resnet20"} for row in studies.rows(9)]
    mixed = run("front", study, studies.write(tmp_path / "net", net), "--objectives", "val_accuracy,macs")
    assert mixed.exit_code == 0
    assert "hypervolume not given: the dense networks are several, resnet20" in mixed.stdout


def made(folder: Path, change) -> Path:  # type: ignore[no-untyped-def]  # a function of the path of a good file
    path = table.compact(studies.write(folder / "wrong", studies.rows(9)), {"scope": "string"})
    for row in (folder / "wrong" / "rows").iterdir():
        row.unlink()
    change(path)
    return path.parent


def rewrite(path: Path, **columns: pa.Array) -> None:
    kept = pq.read_table(path)
    for name, values in columns.items():
        kept = kept.set_column(kept.column_names.index(name), name, values)
    pq.write_table(kept, path)


NAN = pa.array([float("nan")] * 9, pa.float64())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "it is truncated or damaged"),
        (lambda path: path.write_bytes(b""), "it is truncated or damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-400] + b"\0" * 396 + b"PAR1"), "truncated or damaged"),
        (lambda path: pq.write_table(pa.table({"a": [1]}), path), "was not written by prunefront"),
        (
            lambda path: pq.write_table(pa.table({"a": [1]}, metadata={"prunefront_schema": "1"}), path),
            "has no column trial",
        ),
        (
            lambda path: pq.write_table(
                pq.read_table(path).replace_schema_metadata({"prunefront_schema": str(SCHEMA_VERSION + 1)}), path
            ),
            f"has schema version {SCHEMA_VERSION + 1}, this prunefront reads versions up to {SCHEMA_VERSION}",
        ),
        (
            lambda path: rewrite(path, macs=pa.array(["many"] * 9)),
            "column macs holds int values, got a column of string",
        ),
        (lambda path: rewrite(path, val_accuracy=NAN), "with a number for each of val_accuracy, sparsity, macs"),
        (lambda path: rewrite(path, state=pa.array(["failed"] * 9)), "none of the 9 rows"),
        (lambda path: rewrite(path, state=pa.nulls(9, pa.string())), "none of the 9 rows"),
        (lambda path: pq.write_table(arrow_schema().empty_table(), path), "has no rows yet"),
    ],
)
def test_files_that_are_wrong_are_one_line(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    done = run("front", made(tmp_path, change))
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 500
