"""Whatever is wrong with what a user wrote: exit code 2, one line, nothing started."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from prunefront import app
from tests.search.test_run import SPEC


def search(**changed: Any) -> dict[str, Any]:
    return {**SPEC, "search": {**SPEC["search"], **changed}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (search(methods={"filter-l2": "any"}), "'filter-l2' is not a method: did you mean filter-l1"),
        (
            search(methods={"filter-l1": {"ratio": 1.7}}),
            "ratio must lie in [0, 0.95], got 1.7 (spec.yaml: search.methods.filter-l1.ratio)",
        ),
        (search(methods={"filter-l1": {"ration": 0.5}}), "filter-l1 has no knob 'ration': did you mean ratio"),
        (search(methods={"slimming": {"ratio": 0.5, "penalty": {"l1": {}}}}), "penalty l1 needs lambda"),
        (search(methods={"slimming": "any"}), "scales, and the network has no batch norm: leave slimming out"),
        (search(objectives=["speed"]), "'speed' is not a measure"),
        (search(objectives=["params", "mac"]), "'mac' is not a measure: did you mean macs"),
        ({**SPEC, "recovry": {"epochs": 1}}, "'recovry' is not a setting: did you mean recovery"),
        ({**SPEC, "network": "seed-cn"}, "'seed-cn' is not a network: did you mean seed-cnn"),
        ({**SPEC, "network": {"code": "nowhere:net"}}, "nowhere cannot be imported"),
        ({**SPEC, "data": {"name": "parquet", "folder": "no/such/folder"}}, "no/such/folder"),
        ({**SPEC, "data": {"name": "digits", "validation": "-3"}}, "a share in (0, 1), got '-3' (spec.yaml: data.val"),
        ({**SPEC, "data": {"name": "digits", "validation": None}}, "a share in (0, 1), got None (spec.yaml: data.val"),
        ({**SPEC, "network": {"name": "vgg16-bn", "weights": 3}}, ".safetensors file, got 3 (spec.yaml: network.weig"),
        ({**SPEC, "numerics": {"threads": 10**9}}, "threads: input should be less than or equal to 1024"),
        ({**SPEC, "seed": 2**70}, "seed: input should be less than or equal to"),
        (search(rungs=["a"]), "rungs: input should be a valid integer, unable to parse"),
        (search(storage={"journal": None}), "storage: takes sqlite:///FILE, "),
        (search(storage="sqlite:////no/such/folder/x.db"), "cannot be used: there is no folder /no/such/folder (sea"),
        (search(storage="journal:spec.yaml/x.log"), "the storage cannot be used: "),
        (search(warm_start=["nowhere"]), "nowhere is not a study: it has no spec.yaml (search.warm_start.0)"),
        ({name: said for name, said in SPEC.items() if name != "data"}, "data is missing"),
        ({name: said for name, said in SPEC.items() if name != "search"}, "search is missing"),
    ],
)  # fmt: skip
def test_a_wrong_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(yaml.safe_dump(spec))
    for name in ("run", "check"):
        ended = CliRunner().invoke(app, [name, "spec.yaml"])
        assert ended.exit_code == 2, ended.output
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert ended.stdout == ""
    assert not Path("studies").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "demmo"], "neither a file nor a ready spec: did you mean demo"),
        (["run", "missing.yaml"], "cannot read missing.yaml: No such file or directory"),
        (["run", "spec.yaml", "--trials", "0"], "trials"),
        (["run", "spec.yaml", "--trials", "many"], "valid integer"),
        (["run", "spec.yaml", "--set", "trials"], "--set takes path=value"),
        (["run", "spec.yaml", "--address", "localhost:1"], "no Ray cluster answers at localhost:1"),
        (["check", "spec.yaml", "--address", "nowhere"], "--address takes HOST:PORT"),
        (
            ["check", "spec.yaml", "--set", "search.constraints.val_accuracy=>= .9"],
            """--set 'search.constraints.val_accuracy=">= .9"'""",
        ),
        (["check", "spec.yaml", "--set", "search.constraints={val_accuracy: >= .9}"], """val_accuracy: ">= .9"}'"""),
        (["run", "spec.yaml", "--study", "/sys/prunefront"], "cannot write to /sys/prunefront"),
        (["run", "spec.yaml", "--study", "spec.yaml"], "spec.yaml is not a folder"),
        (["run", "spec.yaml", "--study", "spec.yaml/below"], "is not a folder"),
    ],
)
def test_a_wrong_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC))
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2, ended.output
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_a_study_of_another_spec_or_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC))
    Path("study").mkdir()
    Path("study/spec.yaml").write_text(yaml.safe_dump({**SPEC, "seed": 7}))
    ended = CliRunner().invoke(app, ["run", "spec.yaml", "--study", "study"])
    assert ended.exit_code == 2
    assert "belongs to another spec" in ended.stderr
    assert "  seed: 7 → 0\n" in ended.stderr

    Path("study/driver.json").write_text(json.dumps({"host": "elsewhere", "pid": 7, "heartbeat": 4e9}))
    ended = CliRunner().invoke(app, ["run", "spec.yaml", "--study", "study"])
    assert ended.exit_code == 2
    assert "is being written by process 7 on elsewhere" in ended.stderr


def test_a_check_says_what_there_is_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC))
    ended = CliRunner().invoke(app, ["check", "spec.yaml"])
    assert ended.exit_code == 0, ended.output
    assert "spec is valid" in ended.stdout
    assert f"recipes     {96 * 2 + 200}" in ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]
