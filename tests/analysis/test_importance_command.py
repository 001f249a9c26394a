"""`prunefront importance`: what is printed of the knobs, and how it ends where nothing can be said."""

import json

import pytest
from typer.testing import CliRunner

import prunefront
from analysis import importance, table
from tests.analysis import studies


@pytest.fixture
def study(tmp_path):
    made = [row | {"val_loss": 0.3} for row in studies.rows(60)]
    return studies.write(tmp_path / "made-up", made)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """What is printed of a forest does not depend on how large it is."""
    monkeypatch.setattr(importance, "TREES", 8)


def run(*words):
    return CliRunner().invoke(prunefront.app, [str(word) for word in words])


def test_the_forests_quality_stands_beside_what_it_says(study):
    done = run("importance", study, "--objectives", "val_accuracy")
    assert done.exit_code == 0, done.output
    found = importance.importance(table.read(study), "val_accuracy")
    first, header, *lines = done.stdout.splitlines()
    assert first == (
        f"val_accuracy: a forest learned from 51 trials explains {100 * found.explained:.0f} % of its variance on "
        f"trials it has not seen (R² {found.explained:.2f})"
    )
    assert header.split() == ["knob", "effect", "95", "%", "interval", "trials"]
    assert [text.split()[0] for text in lines[: len(found.knobs)]] == list(found.knobs)
    assert lines[0].startswith(("ratio", "method"))
    unseen = [knob for knob, effect in found.knobs.items() if not effect.is_seen]
    for text in lines[: len(found.knobs)]:
        assert text.endswith("may be none") == (text.split()[0] in unseen)
    assert "val_accuracy by ratio, all else as in the trials of the method (partial dependence)" in done.stdout
    assert "\n  slimming (13 trials)  " in done.stdout
    assert "val_accuracy by lambda" in done.stdout


def test_json_has_the_effects_and_the_objective_that_has_none(study):
    done = run("importance", study, "--objectives", "val_accuracy,val_loss", "--dependence", "ratio", "--json")
    document = json.loads(done.stdout)
    found = importance.importance(table.read(study), "val_accuracy")
    said = document["objectives"]["val_accuracy"]
    assert said["explained"] == found.explained
    assert {name: each["mean"] for name, each in said["knobs"].items()} == {
        name: each.mean for name, each in found.knobs.items()
    }
    assert {tuple(each["knobs"]) for each in said["interactions"]} == set(found.pairs)
    assert [each["method"] for each in said["dependence"]["ratio"]] == sorted(studies.METHODS)
    assert document["refused"] == {"val_loss": "val_loss is 0.3 in all 51 networks: nothing can matter for it"}


def test_one_method_alone_has_its_own_knobs(study):
    done = run("importance", study, "--where", "method in ['slimming', 'filter-l1']", "--objectives", "macs", "--json")
    assert set(json.loads(done.stdout)["objectives"]["macs"]["knobs"]) == {
        "method",
        "ratio",
        "lambda",
        "penalty",
        "scope",
    }


def test_an_objective_without_an_answer_is_a_line_beside_the_others(study):
    said = run("importance", study, "--objectives", "sparsity,val_loss").stdout
    assert "\nval_loss: val_loss is 0.3 in all 51 networks: nothing can matter for it\n" in said


def test_noise_is_said_to_say_nothing(tmp_path):
    noise = studies.rows(40, seed=3)
    noise = [noise[0], *(row | {"val_loss": (place * 7919 % 101) / 100} for place, row in enumerate(noise[1:]))]
    said = run("importance", studies.write(tmp_path / "s", noise), "--objectives", "val_loss").stdout
    assert "explains 0 % of its variance" in said
    assert "that is next to nothing: what follows says nothing about the knobs" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objectives", "val_acuracy"], "did you mean val_accuracy"),
        (["--objectives", "macs,macs"], "named twice: name each once (--objectives)"),
        (["--objectives", "val_loss"], "val_loss is 0.3 in all 51 networks"),
        (["--objectives", "latency_ms"], "none of the 60 rows is a complete, pruned network with latency_ms"),
        (["--where", "ratio > 7"], "fulfils --where 'ratio > 7'"),
        (
            ["--where", "method == 'slimming'"],
            "importance needs at least 20 different recipes with val_accuracy, got 13",
        ),
        (["--where", "state == 'failed'"], "is a complete, pruned network"),
        (["--where", "rato > 1"], "did you mean ratio"),
        (["--dependence", "rato", "--objectives", "macs"], "'rato' is not a knob that varies"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(study, words, said):
    done = run("importance", study, *words)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_studies_without_enough_rows_are_said(tmp_path):
    empty = run("importance", studies.write(tmp_path / "a", []))
    assert (empty.exit_code, "has no rows yet: nothing can matter" in empty.stderr) == (2, True)
    one = run("importance", studies.write(tmp_path / "b", studies.rows(2)))
    assert (one.exit_code, "at least 20 different recipes with val_accuracy, got 1:" in one.stderr) == (2, True)
