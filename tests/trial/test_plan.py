"""From a recipe to its outcome: rounds, controls, and what is shared."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from analysis import curves
from analysis.errors import WrongInput
from analysis.schema import CURVE
from trial import rows
from trial.experiment import Experiment
from trial.networks import Network, redraw
from trial.recipe import Recipe
from trial.store import Product
from trial.workbench import Workbench

FILTER = {"method": "filter-l1", "ratio": 0.5}
MAGNITUDE = {"method": "magnitude-global", "ratio": 0.8}


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
    return json.loads((bench._study / "curves" / f"{row['trial']}.json").read_bytes())["epochs"]


def test_stepwise_recovers_after_each_round_and_ends_at_the_ratio(bench: Workbench) -> None:
    row = run(bench, **FILTER, schedule="stepwise", rounds=3)
    assert (row["schedule"], row["rounds"], row["epochs"]) == ("stepwise", 3, 2 + 3)
    assert row["ratio_achieved"] == 0.5
    assert row["params"] == run(bench, **FILTER)["params"], "per layer the counts are those of one cut"
    epochs = curve(bench, row)
    assert [(epoch["stage"], epoch["round"], epoch["epoch"]) for epoch in epochs] == [
        ("cut", 1, 0), ("recovery", 1, 1), ("cut", 2, 0), ("recovery", 2, 1), ("cut", 3, 0), ("recovery", 3, 1),
    ]  # fmt: skip
    assert set(epochs[0]) == {column.name for column in CURVE}
    # 264 channels in layers of 4 to 32: ⌊r·n⌋ of each.
    widths = [4, 4, 8, 8, 16, 16, 16, 32, 32, 32, 32, 32, 32]
    assert [epoch["ratio_achieved"] for epoch in epochs[::2]] == [
        sum(share * width // 6 for width in widths) / 264 for share in (1, 2, 3)
    ]
    assert [epoch["sparsity"] for epoch in epochs[::2]] == [epoch["sparsity"] for epoch in epochs[1::2]]
    assert epochs[-1]["sparsity"] == row["sparsity"]


def test_masked_rounds_are_nested(bench: Workbench) -> None:
    row = run(bench, **MAGNITUDE, schedule="polynomial", rounds=2, initial=0.5)
    assert (row["initial"], row["rounds"], row["epochs"]) == (0.5, 2, 2 + 3)
    sparsities = [epoch["sparsity"] for epoch in curve(bench, row) if epoch["stage"] == "recovery"]
    assert sparsities == pytest.approx([0.5, 0.7625, 0.8], abs=1e-4)
    assert row["sparsity"] == pytest.approx(0.8, abs=1e-4)


def test_zero_lets_weights_grow_back_and_mask_does_not(bench: Workbench) -> None:
    masked, zeroed = (run(bench, **MAGNITUDE, apply=apply) for apply in ("mask", "zero"))
    assert masked["ratio_achieved"] == zeroed["ratio_achieved"] == pytest.approx(0.8, abs=1e-4)
    assert masked["val_loss_before"] == zeroed["val_loss_before"]
    assert masked["sparsity"] == pytest.approx(0.8, abs=1e-4)
    assert zeroed["sparsity"] < 0.1


def test_single_weights_cannot_be_removed(bench: Workbench) -> None:
    with pytest.raises(
        WrongInput, match=r"apply got 'remove': single weights cannot be removed; magnitude-global accepts mask, zero"
    ):
        run(bench, **MAGNITUDE, apply="remove")


def test_scratch_trains_the_same_architecture_for_the_same_total_of_epochs(bench: Workbench) -> None:
    pruned, control = (run(bench, **FILTER, control=control) for control in ("none", "scratch"))
    assert [control[name] for name in ("params", "macs", "ratio_achieved", "val_loss_before")] == [
        pruned[name] for name in ("params", "macs", "ratio_achieved", "val_loss_before")
    ]
    assert [(epoch["stage"], epoch["epoch"]) for epoch in curve(bench, control)] == [
        ("cut", 0), ("scratch", 1), ("scratch", 2), ("scratch", 3),
    ]  # fmt: skip
    assert control["val_loss"] != pruned["val_loss"]
    masked = run(bench, **MAGNITUDE, control="scratch")
    assert masked["sparsity"] == pytest.approx(0.8, abs=1e-4)


def test_no_recovery_is_the_network_as_it_was_cut(bench: Workbench) -> None:
    row = run(bench, **FILTER, recovery_epochs=0)
    assert (row["val_loss"], row["val_accuracy"]) == (row["val_loss_before"], row["val_accuracy_before"])
    assert [(epoch["stage"], epoch["val_loss"]) for epoch in curve(bench, row)] == [("cut", row["val_loss"])]
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


def test_rounds_of_single_weights_behind_channels_count_what_is_left_of_the_layer(bench: Workbench) -> None:
    """With masks, columns of cut channels passed for cut weights; what is left made up for columns that went whole."""
    given = Experiment.parse(
        {**bench.experiment.model_dump(), "network": {"name": "seed-cnn", "width": 0.25}}, where="spec.yaml"
    )
    sparsities = []
    for apply in ("remove", "mask"):
        other = Workbench(given, bench._study.parent / apply, study_name="study", worker="here")
        recipe = {"method": "filter-l1", "ratio": 0.5, "linear": "magnitude", "apply": apply, "recovery_epochs": 0}
        row = run(other, **recipe, schedule="stepwise", rounds=3)
        assert row["ratio_achieved"] == pytest.approx(0.5, abs=1e-3)
        asked = sorted(record["asked"] for record in records(other) if "asked" in record)
        # ⌊r·n⌋ of 8, 8, 16 and 16 channels and of the 16 · 512 weights for each of the last that is there.
        weights = [16 * 16 * 512, 14 * 16 * 512, 11 * 16 * 512]
        assert asked == [
            sum(share * n // 6 for n in (8, 8, 16, 16, left)) for share, left in zip((1, 2, 3), weights, strict=True)
        ]
        sparsities.append(row["sparsity"])
    assert sparsities[0] == sparsities[1]


def records(bench: Workbench) -> list[dict[str, Any]]:
    return [json.loads(file.read_bytes())["record"] for file in (bench._study / "stages").rglob("manifest.json")]


def test_masked_momentum_stays_at_zero_in_the_layout_that_trials_use(bench: Workbench) -> None:
    """A carried buffer was contiguous beside a channels-last weight, and met another weight's gradient."""
    assert bench.experiment.numerics.layout == "channels-last"
    run(bench, method="filter-l1", ratio=0.5, apply="mask", schedule="stepwise", rounds=3, recovery_schedule="constant")
    kept = [product for product in products(bench) if product.momentum and product.mask.keep]
    assert kept
    for product in kept:
        for name, keep in product.mask.keep.items():
            assert product.momentum[name][~keep].count_nonzero() == 0, name
            assert product.tensors[name][~keep].count_nonzero() == 0, name


def products(bench: Workbench) -> list[Product]:
    return [
        Product.from_bytes((file.parent / "tensors.safetensors").read_bytes(), {})
        for file in (bench._study / "stages").rglob("manifest.json")
    ]


def test_settings_that_contradict_are_refused_in_one_line(bench: Workbench) -> None:
    for said, message in (
        ({"rounds": 3}, "rounds and initial belong to a schedule: say schedule: stepwise or polynomial too"),
        ({"apply": "zero", "control": "scratch"}, "apply zero leaves no smaller network to train from scratch"),
        (
            {"recovery_schedule": "original", "recovery_rate": 0.3},
            "the original schedule has dense training's rate, 0.05, got 0.3: leave it out",
        ),
    ):
        with pytest.raises(WrongInput, match=message):
            run(bench, **FILTER, **said)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"spare": "*"}, "ValueError: filter-l1 has nothing to cut: every layer that it ranks is spared"),
        ({"keep_min": 1024}, "filter-l1 cuts none of the 132 units asked for: every layer is at its floor (keep_min)"),
        ({"spare": "nowhere"}, "filter-l1 is to spare 'nowhere', and the network's layers are features.0"),
    ],
)
def test_a_cut_of_nothing_fails_and_says_why(bench: Workbench, said: dict[str, Any], error: str) -> None:
    row = bench.run(Recipe.parse({**FILTER, **said}, bench.experiment, where="spec.yaml"))
    assert row["state"] == "failed"
    assert error in row["error"]


def test_what_the_floor_kept_is_in_the_row(bench: Workbench) -> None:
    row = run(bench, **FILTER, keep_min=8)
    # Two layers of 4 channels keep all, two of 8 keep all, three of 16 keep 8 as asked.
    assert row["floored"] == 2 + 2 + 4 + 4
    assert row["ratio_achieved"] == (132 - 12) / 264


def test_scratch_begins_anew_for_parameters_of_a_module_itself() -> None:
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)
            self.inner = nn.Module()
            self.inner.scale = nn.Parameter(torch.ones(2))

    trained, untrained = Scaled(), Scaled()
    nn.init.constant_(trained.inner.scale, 7.0)
    weights = trained.weight.clone()
    redraw(trained, untrained, network=Network(code="a:b"), seed=0)
    assert trained.inner.scale.tolist() == [1.0, 1.0]
    assert not torch.equal(trained.weight, weights)
