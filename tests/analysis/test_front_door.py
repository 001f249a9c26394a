"""The command line of analysis: what is printed where, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import prunefront
from analysis import table
from analysis.errors import WorkFailed
from tests.analysis import studies

ROOT = Path(prunefront.__file__).parent


@pytest.fixture
def study(tmp_path):
    return studies.write(tmp_path / "made-up", studies.rows(60))


@pytest.fixture
def small(tmp_path):
    """Of too few trials to learn from, which takes longest of all that a report does."""
    return studies.write(tmp_path / "small", studies.rows(12))


def run(*words):
    return CliRunner().invoke(prunefront.app, [str(word) for word in words])


def fresh(*words, code="import prunefront; prunefront.main()", **settings):
    """A new interpreter, as a user starts one."""
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **settings)


def test_front_prints_a_plain_table_and_one_line(study):
    done = run("front", study)
    assert done.exit_code == 0, done.output
    header, *_ = done.stdout.splitlines()
    assert header.split()[:3] == ["trial", "method", "ratio"]
    assert header.split()[-3:] == ["val_accuracy", "sparsity", "macs"]
    *_, front, last = done.stdout.splitlines()
    assert front.endswith("(objectives val_accuracy, sparsity, macs)")
    assert last == "8 of 60 rows did not complete and took no part"
    assert done.stderr == ""


def test_json_is_one_document_with_the_same_front(study):
    done = run("front", study, "--objectives", "val_accuracy,macs", "--where", "method == 'slimming'", "--json")
    document = json.loads(done.stdout)
    assert document["objectives"] == ["val_accuracy", "macs"]
    assert {row["method"] for row in document["front"]} == {"slimming"}
    assert 0 < document["hypervolume"] < 1
    plain = run("front", study, "--objectives", "val_accuracy, macs", "--where", "method == 'slimming'")
    assert f"hypervolume {document['hypervolume']:.3f} " in plain.stdout


def test_json_without_a_scale_and_with_nan_is_still_json(tmp_path):
    rows = [row | {"val_loss": float("nan")} for row in studies.rows(9)[1:]]
    document = json.loads(run("front", studies.write(tmp_path, rows), "--json").stdout)
    assert document["hypervolume"] is None
    assert "val_loss" not in document["front"][0]


def test_objectives_default_to_the_spec(study):
    (study / "spec.yaml").write_text("search: {objectives: [val_loss, params]}")
    assert "(objectives val_loss, params)" in run("front", study).stdout


def test_lambda_is_a_column_like_any_other(study):
    done = run("front", study, "--where", "lambda > 1e-5 and method == 'slimming'")
    assert done.exit_code == 0
    assert "slimming" in done.stdout


def test_report_writes_a_page_into_the_study_and_figures_where_asked_and_says_where(small, tmp_path):
    assert run("report", small).stdout == f"{small / 'report.html'}\n"
    assert (small / "report.html").read_text().startswith("<!doctype html>")
    page = tmp_path / "page.html"
    done = run("report", small, "--output", page, "--figures", "--size", "single", "--json")
    drawn = [str(small / "figures" / f"front-single.{ending}") for ending in ("png", "svg", "pdf")]
    assert json.loads(done.stdout) == {"report": str(page), "figures": drawn}
    assert page.is_file()


def test_a_report_on_several_studies_lies_where_it_is_told_to(small, tmp_path):
    other = studies.write(tmp_path / "other", studies.rows(9, seed=1))
    done = run("report", small, other)
    assert (done.exit_code, done.stderr) == (
        2,
        "prunefront: a report on 2 studies lies in none of them: say --output FILE\n",
    )
    done = run("report", small, other, "--output", tmp_path / "both.html")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "both.html").read_text()
    assert all(f'"path":"{each}"' in text for each in (small, other))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["front", "STUDY", "--objectives", "val_acuracy"], "did you mean val_accuracy"),
        (["front", "STUDY", "--objectives", "macs,,"], "is not a measure"),
        (["front", "STUDY", "--objectives", "macs,macs"], "named twice"),
        (["front", "STUDYY"], "did you mean made-up"),
        (["front", "STUDY", "--where", "rato > 1"], "did you mean ratio"),
        (["front", "STUDY", "--where", "ratio >"], "cannot be read"),
        (["front", "STUDY", "--where", "ratio > 7"], "no row of"),
        (["front", "STUDY", "--where", "state == 'failed'"], "none of the 4 rows"),
        (["front", "STUDY", "--objectives", "latency_ms"], "with a number for each of latency_ms"),
        (["front"], "Missing argument"),
        (["front", "STUDY", "--objektives", "macs"], "No such option"),
        (["fron", "STUDY"], "Did you mean 'front'"),
        (["--nonsuch"], "No such option"),
        (["report"], "Missing argument"),
        (["report", "STUDYY"], "did you mean made-up"),
        (["report", "STUDYY", "--figures"], "did you mean made-up"),
        (["report", "STUDY", "STUDY", "--output", "STUDY/a.html"], "named twice"),
        (["report", "STUDY", "--figures", "--size", "singel"], "did you mean single"),
        (["report", "STUDY", "--size", "single"], "say --figures too"),
        (["report", "STUDY", "--output", "STUDY/none/a.html"], "cannot be written to"),
    ],
)
def test_wrong_input_is_one_line_on_stderr_and_exit_code_2(study, words, said):
    done = run(*[word.replace("STUDY", str(study)) for word in words])
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.startswith("prunefront: ")
    assert done.stderr.count("\n") == 1


def test_a_report_says_what_it_cannot_read_in_one_line(small):
    path = table.compact(small, {})
    path.write_bytes(b"PAR1 of somebody else")
    empty = studies.write(small.parent / "empty", [])
    for study, said in ((small, f"{path} cannot be read as Parquet"), (empty, f"{empty} has no rows yet")):
        done = run("report", study)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(f"prunefront: {said}")
        assert not (study / "report.html").exists()


def test_an_empty_study_and_one_without_complete_rows_are_said(tmp_path):
    empty = run("front", studies.write(tmp_path / "a", []))
    assert (empty.exit_code, "has no rows yet" in empty.stderr) == (2, True)
    failed = run("front", studies.write(tmp_path / "b", [studies.DENSE_ROW | {"state": "failed"}]))
    assert (failed.exit_code, "none of the 1 rows" in failed.stderr) == (2, True)


def test_a_truncated_parquet_file_ends_without_a_traceback(study):
    path = table.compact(study, {})
    path.write_bytes(path.read_bytes()[:200])
    done = fresh("front", study)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"prunefront: {path} cannot be read as Parquet")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            WorkFailed("the disk is full, 12 rows were kept"),
            1,
            "prunefront: the disk is full, 12 rows were kept\n",
        ),
        (KeyboardInterrupt(), 130, "prunefront: interrupted\n"),
        (KeyboardInterrupt("run it again to go on"), 130, "prunefront: run it again to go on\n"),
    ],
)
def test_other_ends_have_their_exit_codes(study, monkeypatch, error, code, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(table, "read", fail)
    done = run("front", study)
    assert (done.exit_code, done.stderr) == (code, said)


def test_a_reader_that_has_gone_ends_it_quietly(study):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "prunefront", "front", str(study)]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line_and_exit_code_1(study):
    command = [sys.executable, "-m", "prunefront", "front", str(study)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "prunefront: No space left on device\n")


LOADED = """
import sys, atexit
atexit.register(lambda: print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr))
import prunefront
prunefront.main()
"""


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["front", "STUDY"], {"torch", "ray", "optuna", "pandas", "matplotlib", "rich", "sklearn"}),
        (["report", "STUDY", "--figures"], {"torch", "ray", "optuna", "plotly"}),
        (["--help"], {"torch", "ray", "optuna", "pandas", "matplotlib", "rich", "pyarrow", "numpy", "moocore"}),
    ],
)
def test_only_what_a_command_needs_is_loaded(study, words, unwanted):
    done = fresh(*[word.replace("STUDY", str(study)) for word in words], code=LOADED)
    assert done.returncode == 0
    loaded = set(done.stderr.split())
    assert "prunefront" in loaded
    assert loaded & unwanted == set()


def test_importing_analysis_and_its_modules_loads_nothing_heavy():
    modules = sorted(path.stem for path in (ROOT / "analysis").glob("*.py") if path.stem != "__init__")
    imports = "; ".join(["import sys, analysis", *(f"import analysis.{name}" for name in modules)])
    done = fresh(code=f"{imports}; print(*sorted(sys.modules))")
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & {"torch", "ray", "pandas", "pyarrow", "numpy", "matplotlib", "moocore", "sklearn", "rich"} == set()
