"""From a recipe to its outcome: rounds, controls, and what is shared."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import curves
from analysis.errors import WrongInput
from analysis.schema import CURVE
from trial import rows
from trial.experiment import Experiment
from trial.recipe import Recipe
from trial.workbench import Workbench

FILTER = {"method": "filter-l1", "ratio": 0.5}
MAGNITUDE = {"method": "magnitude-global", "ratio": 0.8}


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    given = {
        "network": {"name": "vgg16-bn", "width": 0.0625},
        "data": {"name": "digits", "images": 200, "validation": 40},
        "dense": {"epochs": 2, "rate": 0.05},
        "recovery": {"epochs": 1, "rate": 0.02},
    }
    study = tmp_path_factory.mktemp("study")
    return Workbench(Experiment.parse(given, where="spec.yaml"), study, study_name="study", worker="here")


def run(bench: Workbench, **given: Any) -> rows.Row:
    row = bench.run(Recipe.parse(given, bench.experiment, where="spec.yaml"))
    assert (row["state"], row["error"]) == ("complete", None)
    return row


def curve(bench: Workbench, row: rows.Row) -> list[dict[str, Any]]:
    return json.loads((bench._study / "curves" / f"{row['trial']}.json").read_bytes())


def test_stepwise_recovers_after_each_round_and_ends_at_the_ratio(bench: Workbench) -> None:
    row = run(bench, **FILTER, schedule="stepwise", rounds=3)
    assert (row["schedule"], row["rounds"], row["epochs"]) == ("stepwise", 3, 2 + 3)
    assert row["ratio_achieved"] == pytest.approx(0.5, abs=0.02)
    assert row["params"] == run(bench, **FILTER)["params"], "per layer the counts are those of one cut"
    epochs = curve(bench, row)
    assert [(epoch["stage"], epoch["round"], epoch["epoch"]) for epoch in epochs] == [
        ("recovery", 1, 1), ("recovery", 2, 1), ("recovery", 3, 1),
    ]  # fmt: skip
    assert set(epochs[0]) == {column.name for column in CURVE}


def test_masked_rounds_are_nested(bench: Workbench) -> None:
    row = run(bench, **MAGNITUDE, schedule="polynomial", rounds=2, initial=0.5)
    assert (row["initial"], row["rounds"], row["epochs"]) == (0.5, 2, 2 + 3)
    sparsities = [epoch["sparsity"] for epoch in curve(bench, row)]
    assert sparsities == pytest.approx([0.5, 0.7625, 0.8], abs=1e-4)
    assert row["sparsity"] == pytest.approx(0.8, abs=1e-4)


def test_zero_lets_weights_grow_back_and_mask_does_not(bench: Workbench) -> None:
    masked, zeroed = (run(bench, **MAGNITUDE, apply=apply) for apply in ("mask", "zero"))
    assert masked["ratio_achieved"] == zeroed["ratio_achieved"] == pytest.approx(0.8, abs=1e-4)
    assert masked["val_loss_before"] == zeroed["val_loss_before"]
    assert masked["sparsity"] == pytest.approx(0.8, abs=1e-4)
    assert zeroed["sparsity"] < 0.1


def test_single_weights_cannot_be_removed(bench: Workbench) -> None:
    with pytest.raises(WrongInput, match=r"apply: magnitude-global cuts single weights, .* accepted: mask, zero"):
        run(bench, **MAGNITUDE, apply="remove")


def test_scratch_trains_the_same_architecture_for_the_same_total_of_epochs(bench: Workbench) -> None:
    pruned, control = (run(bench, **FILTER, control=control) for control in ("none", "scratch"))
    assert [control[name] for name in ("params", "macs", "ratio_achieved", "val_loss_before")] == [
        pruned[name] for name in ("params", "macs", "ratio_achieved", "val_loss_before")
    ]
    assert [(epoch["stage"], epoch["epoch"]) for epoch in curve(bench, control)] == [("scratch", n) for n in (1, 2, 3)]
    assert control["val_loss"] != pruned["val_loss"]
    masked = run(bench, **MAGNITUDE, control="scratch")
    assert masked["sparsity"] == pytest.approx(0.8, abs=1e-4)


def test_no_recovery_is_the_network_as_it_was_cut(bench: Workbench) -> None:
    row = run(bench, **FILTER, recovery_epochs=0)
    assert (row["val_loss"], row["val_accuracy"]) == (row["val_loss_before"], row["val_accuracy_before"])
    assert curve(bench, row) == []
    recalibrated = run(bench, **FILTER, recovery_epochs=0, recovery_recalibrate=2)
    assert recalibrated["val_loss"] != row["val_loss"]
    assert recalibrated["val_loss_before"] == row["val_loss_before"]


def test_recovery_settings_of_a_recipe_stand_in_for_the_experiments(bench: Workbench) -> None:
    row = run(bench, **FILTER, recovery_schedule="original")
    assert (row["recovery_rate"], row["recovery_schedule"]) == (0.05, "original")
    assert run(bench, **FILTER, recovery_rate=0.05)["val_loss"] == row["val_loss"], "dense trains by one-cycle too"
    losses = {
        run(bench, **FILTER, **said)["val_loss"]
        for said in (
            {},
            {"recovery_label_smoothing": 0.1},
            {"recovery_schedule": "constant"},
            {"recovery_distillation": 0.5},
        )
    }
    assert len(losses) == 4, "a setting changes nothing"


def test_curves_are_compacted_into_one_table(bench: Workbench) -> None:
    dense = bench.dense()
    row = run(bench, **FILTER, schedule="stepwise", rounds=3)
    assert curves.compact(bench._study) == bench._study / "curves.parquet"
    table = curves.read(bench._study)
    assert table.column_names == [column.name for column in CURVE]
    epochs = table.to_pylist()
    assert [epoch for epoch in epochs if epoch["trial"] == row["trial"]] == curve(bench, row)
    assert [(epoch["stage"], epoch["round"]) for epoch in epochs if epoch["trial"] == dense["trial"]] == [
        ("dense", 0)
    ] * 2


def test_a_curve_that_is_no_curve_is_named(tmp_path: Path) -> None:
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "a.json").write_text("{}")
    with pytest.raises(WrongInput, match=r"a\.json does not hold a list of epochs"):
        curves.compact(tmp_path)
    with pytest.raises(WrongInput, match=r"has no curves\.parquet"):
        curves.read(tmp_path)


def test_what_is_seen_in_images_is_looked_at_once_whatever_the_ratio(bench: Workbench) -> None:
    def stages() -> int:
        return sum(1 for _ in (bench._study / "stages").rglob("manifest.json"))

    made = []
    for given in (
        {"method": "relevance", "ratio": 0.2},
        {"method": "relevance", "ratio": 0.4, "statistic": "max"},
        {"method": "mixed", "ratio": 0.4, "delta": 0.5},
        {"method": "mixed", "ratio": 0.4, "delta": 1.0, "statistic": "max"},
        {"method": "relevance", "ratio": 0.2, "images": 32},
    ):
        before = stages()
        run(bench, **{"images": 64, **given})
        made.append(stages() - before)
    # Scores, cut, recovery, measures; then no scores; δ = 1 is relevance's own cut, and all behind it is there; then
    # other images are looked at, even if the same channels go.
    assert made[:2] == [4, 3]
    assert made[2:4] == [3, 1]
    assert made[4] in {2, 4}
