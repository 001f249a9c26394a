"""`prunefront check`: counts, cost, and cautions that are lines and no errors."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from analysis.errors import WorkFailed
from prunefront import app
from search.check import describe
from tests.trial.tiny import NETWORK

SPEC: dict[str, Any] = {
    "network": NETWORK,
    "data": {"name": "digits", "images": 300, "validation": 50},
    "dense": {"epochs": 4},
    "sparsity": {"epochs": 2},
    "recovery": {"epochs": 3},
    "search": {"methods": {"filter-l1": {"ratio": [0.2, 0.4, 0.6]}}, "trials": 3},
    "workers": 1,
}
PENALTY = {"slimming": {"ratio": [0.2, 0.4, 0.6], "penalty": {"l1": {"lambda": 1e-3}}}}


def checked(folder: Path, *settings: str, probe: bool = False) -> list[str]:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    return describe(str(path), settings=settings, probe=probe).splitlines()


def test_a_check_counts_what_is_known_beforehand(tmp_path: Path) -> None:
    lines = checked(tmp_path)
    assert "recipes     3" in lines
    assert "stages      dense training 1 of 4 epochs in all" in lines
    assert "            recovery 3 of 9 epochs in all" in lines
    assert any("exact: every recipe is tried" in line for line in lines)
    assert not any("warning" in line for line in lines)
    lines = checked(tmp_path, "search.trials=2")
    assert "            recovery at most 2 of 6 epochs in all" in lines
    assert any("bounds: it depends" in line for line in lines)


@pytest.mark.parametrize(
    ("settings", "caution"),
    [
        (["search.trials=9"], "9 trials are asked for, and there are 3 recipes"),
        (["workers=4"], "4 workers and 3 trials: some workers will have nothing to do"),
        (["search.methods=[filter-l1, fpgm, lamp, slimming]"], "3 trials and 4 methods: some are never tried"),
        (
            ["search.methods.filter-l1.apply=mask", "search.objectives=[val_accuracy, params, macs]"],
            "params, macs: no method here removes channels",
        ),
        (["search.objectives=[sparsity, macs]"], "nothing says how well a network does"),
        (["search.methods=" + yaml.safe_dump(PENALTY, default_flow_style=True).strip(), "sparsity.epochs=0"],
         "slimming: sparsity training has no epochs"),
        (["dense.epochs=0"], "the dense network is not trained"),
        (["dense.batch=1000"], "an epoch of 250 images is one step"),
        (["recovery=none", "search.recipe={schedule: {stepwise: {rounds: 5}}}"],
         "up to 5 rounds of cuts with no recovery between them (recovery.epochs)"),
        (["search.recipe={recovery_epochs: 0, schedule: {stepwise: {rounds: 5}}}"],
         "up to 5 rounds of cuts with no recovery between them (recovery_epochs)"),
        (["search.recipe={apply: [zero, remove], control: [none, scratch]}", "search.trials=12"],
         "3 of 12 recipes will fail: "),
    ],
)  # fmt: skip
def test_what_cannot_work_is_a_caution_of_one_line(tmp_path: Path, settings: list[str], caution: str) -> None:
    cautions = [line for line in checked(tmp_path, *settings) if line.startswith("warning")]
    assert len(cautions) == 1, cautions
    assert caution in cautions[0]


def test_listed_points_are_what_is_counted_not_the_space_that_they_span(tmp_path: Path) -> None:
    points = [
        {"method": "filter-l1", "ratio": ratio, "scope": scope} for ratio, scope in ((0.2, "layer"), (0.4, "global"))
    ]
    given = {**SPEC, "search": {"sampler": "points", "points": points}}
    path = tmp_path / "points.yaml"
    path.write_text(yaml.safe_dump(given))
    lines = describe(str(path), settings=(), probe=False).splitlines()
    assert "recipes     2" in lines
    assert "            recovery 2 of 6 epochs in all" in lines
    assert not any("warning" in line for line in lines)


def test_cautions_end_with_exit_code_0(tmp_path: Path) -> None:
    checked(tmp_path)
    ended = CliRunner().invoke(app, ["check", str(tmp_path / "spec.yaml"), "--set", "search.trials=9"])
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert "warning     9 trials" in ended.stdout


@pytest.mark.parametrize(("rungs", "unreached"), [("[1, 3]", ""), ("[1, 4, 16]", "rungs at 4, 16 are never reached")])
def test_rungs_beyond_the_recovery_are_told(tmp_path: Path, rungs: str, unreached: str) -> None:
    lines = checked(tmp_path, f"search.rungs={rungs}", "recovery.schedule=constant")
    cautions = [line for line in lines if line.startswith("warning")]
    assert len(cautions) == bool(unreached), cautions
    assert all(unreached in line for line in cautions)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["recovery.schedule=one-cycle"], "one-cycle"),
        (["recovery.schedule=constant"], ""),
        (["recovery.schedule=constant", "search.recipe={recovery_schedule: [step, cosine]}"], "cosine"),
        (["dense.schedule=cosine", "search.recipe={recovery_schedule: [original, constant]}"], "cosine"),
        (["dense.schedule=step", "search.recipe={recovery_schedule: [original]}"], ""),
    ],
)
def test_rungs_in_the_middle_of_a_schedule_are_told(tmp_path: Path, settings: list[str], said: str) -> None:
    lines = checked(tmp_path, "search.rungs=[1]", "recovery.epochs=3", *settings)
    told = [line for line in lines if "rungs in the middle of a " in line]
    assert len(told) == bool(said), lines
    assert all(f"of a {said} recovery" in line for line in told)


def test_a_probe_says_hours_and_no_probe_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cost,) = (line for line in checked(tmp_path) if line.startswith("cost"))
    assert "--probe" in cost
    monkeypatch.setattr("search.check.pace", lambda *_, **__: type("", (), {"epoch": lambda *_: 3600.0})())
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (cost,) = (line for line in checked(tmp_path, probe=True) if line.startswith("cost"))
    assert "at most 13 core-hours (dense 4, recovery 9); 6.5 hours on 2 cores" in cost


def test_a_real_probe_gives_hours(tmp_path: Path) -> None:
    (cost,) = (line for line in checked(tmp_path, probe=True) if line.startswith("cost"))
    assert "-hours (dense " in cost


def test_a_probe_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr("search.check.pace", fail)
    with pytest.raises(WorkFailed, match="the probe's training step failed: RuntimeError: out of memory"):
        checked(tmp_path, probe=True)
