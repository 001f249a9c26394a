"""What is wrong of a study is said in one line that names the study's path; what is wrong of an option names that."""

import pytest
from typer.testing import CliRunner

import prunefront
from tests.analysis import studies

ROWS = {
    "good": studies.rows(60),
    "undense": studies.rows(60)[1:],
    "failed": [row | {"state": "failed"} for row in studies.rows(9)],
    "few": studies.rows(8),
    "nan": [row | {"val_accuracy": float("nan")} for row in studies.rows(30)],
    "constant": [row | {"val_accuracy": 0.5, "macs": 5, "state": "complete"} for row in studies.rows(40)],
    "two-networks": [row | {"network": f"n{i % 2}", "method": "dense"} for i, row in enumerate(studies.rows(40))],
    "other-network": [row | {"network": "lenet"} for row in studies.rows(40)],
    "unclassed": [{name: value for name, value in row.items() if name != "classes"} for row in studies.rows(30)],
    "negative": [studies.DENSE_ROW | {"macs": -5}, *studies.rows(30)[1:]],
}
WITHIN = ("--highest", "val_accuracy", "--within", "val_accuracy=.01")
OF_A_STUDY = [
    *(
        (name, "front", "--indicators")
        for name in ("undense", "failed", "nan", "two-networks", "unclassed", "negative")
    ),
    ("good", "front", "--indicators", "--over", "seconds"),
    ("good", "front", "--over", "trials"),
    ("good", "front", "--by", "metod"),
    ("good", "front", "--by", "method,method"),
    ("good", "front", "--reference", "macs=1"),
    *(("good", command, "--where", wrong) for command in ("front", "importance") for wrong in ("rato > 1", "macs >")),
    *(("good", command, "--where", "ratio > 'a'") for command in ("front", "importance")),
    ("good few", "front", "--by", "metod"),
    ("good two-networks", "front", "--indicators"),
    *((name, "importance", "--objectives", "val_accuracy") for name in ("failed", "few", "nan", "constant")),
    ("good", "importance", "--objectives", "latency_ms"),
    ("good", "importance", "--where", "method == 'dense'"),
    ("good other-network", "importance"),
    *((name, "pick", *words) for name in ("failed", "nan") for words in (("--lowest", "macs"), ("--knee",), WITHIN)),
    ("undense", "pick", *WITHIN),
    ("constant", "pick", "--knee"),
    ("good", "pick", "--knee", "--objectives", "macs"),
    ("good", "pick", "--lowest", "latency_ms"),
    ("good", "pick", "--lowest", "macs", "--min", "val_accuracy=.999"),
    ("good undense", "pick", *WITHIN),
]
OF_AN_OPTION = [
    *((command, "--objectives", "val_acuracy") for command in ("front", "importance")),
    ("front", "--over", "trialz"),
    ("front", "--thin", "3"),
    ("pick", "--lowest", "mac"),
    ("pick", "--highest", "macs"),
    ("pick", "--lowest", "macs", "--min", "val_accuracy"),
    ("pick", "--lowest", "macs", "--within", "val=.1"),
]


def said(tmp_path, names, command, *words):
    paths = [studies.write(tmp_path / name, ROWS[name]) for name in names.split()]
    done = CliRunner().invoke(prunefront.app, [command, *map(str, paths), *words])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.output
    assert done.stderr.startswith("prunefront: ")
    return paths, done.stderr


@pytest.mark.parametrize("words", OF_A_STUDY, ids=" ".join)
def test_what_is_wrong_of_a_study_names_its_path_once(tmp_path, words):
    paths, line = said(tmp_path, *words)
    assert [line.count(str(path)) for path in paths] == [1] * len(paths)


@pytest.mark.parametrize("words", OF_AN_OPTION, ids=" ".join)
def test_what_is_wrong_of_every_study_names_the_option(tmp_path, words):
    _, line = said(tmp_path, "good", *words)
    assert words[-2] in line


def test_what_importance_refuses_of_a_knob_names_the_study(tmp_path):
    (path,), line = said(tmp_path, "good", "importance", "--objectives", "val_accuracy", "--dependence", "rato")
    assert str(path) in line
    assert "did you mean ratio" in line
