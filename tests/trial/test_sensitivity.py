from pathlib import Path

import pytest

from analysis.errors import WrongInput
from trial.recipe import Recipe
from trial.sensitivity import sensitivity
from trial.single import opened

RECIPE = """
network: {name: seed-cnn, width: .25}
data: {name: digits, images: 300}
dense: {epochs: 2}
recovery: none
method: METHOD
ratio: .5
"""


def recipe(folder: Path, method: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("METHOD", method))
    return path


def test_each_layer_alone_is_cut_and_gives_what_its_removal_gives(tmp_path: Path) -> None:
    with opened(recipe(tmp_path, "filter-l1"), tmp_path / "study") as (bench, made):
        points = list(sensitivity(bench, made, ratios=(0.25, 0.75)))
        assert [(point["layer"], point["ratio"]) for point in points] == [
            ("", 0.0),
            *[
                (layer, ratio)
                for layer in ("features.0", "features.3", "features.6", "features.9", "classifier.0")
                for ratio in (0.25, 0.75)
            ],
        ]
        assert points[0]["val_loss"] == bench.dense()["val_loss"]
        # A trial that spares all other layers removes the same channels.
        others = "features.0 features.3 features.6 classifier.0"
        given = {"method": "filter-l1", "ratio": 0.75, "spare": others}
        row = bench.run(Recipe.parse(given, bench.experiment, where="test"))
        alone = next(point for point in points if (point["layer"], point["ratio"]) == ("features.9", 0.75))
        assert row["val_loss"] == pytest.approx(alone["val_loss"], rel=1e-4)
        assert row["ratio_achieved"] == alone["ratio_achieved"] == 0.75


def test_single_weights_are_cut_layer_by_layer_the_last_included(tmp_path: Path) -> None:
    with opened(recipe(tmp_path, "magnitude-global"), tmp_path / "study") as (bench, made):
        points = list(sensitivity(bench, made, ratios=(0.5,)))
    assert [point["layer"] for point in points[1:]] == [
        "features.0", "features.3", "features.6", "features.9", "classifier.0", "classifier.2",
    ]  # fmt: skip
    assert all(point["ratio_achieved"] == 0.5 for point in points[1:])


def test_a_method_that_cannot_work_on_the_network_is_refused(tmp_path: Path) -> None:
    path = recipe(tmp_path, "slimming")
    path.write_text(path.read_text() + "penalty: l1\nlambda: .001\n")
    with opened(path, tmp_path / "study") as (bench, made), pytest.raises(WrongInput, match="no batch norm"):
        list(sensitivity(bench, made))
