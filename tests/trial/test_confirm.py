"""Chosen trials trained again and tested, on a study made by a workbench."""

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from analysis.errors import WorkFailed, WrongInput
from analysis.schema import CONFIRMED
from tests.trial.images import image_set, parquet_folder, splits
from trial import confirm as confirm_module
from trial import rows
from trial.confirm import class_by_class, confirm
from trial.data import ImageSet
from trial.experiment import Experiment
from trial.maker import Maker
from trial.recipe import Recipe
from trial.sensitivity import sensitivity
from trial.training import TrainingDiverged
from trial.workbench import Workbench

SPEC: dict[str, Any] = {
    "network": {"name": "seed-cnn", "width": 0.125},
    "data": {"name": "digits", "images": 200},
    "dense": {"epochs": 1},
    "recovery": {"epochs": 1},
    "search": {"objectives": ["val_accuracy", "sparsity"]},
}
RANDOM: dict[str, Any] = {"method": "random-channels", "ratio": 0.5}
ROOMS = ("methods", "trial", "search", "analysis")
ROOT = Path(__file__).parents[2]


def experiment(spec: dict[str, Any] = SPEC) -> Experiment:
    made: Experiment = Experiment.parse({name: spec[name] for name in spec if name != "search"}, where="spec.yaml")
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a dense network and two trials, with its spec; not to be written to."""
    study = tmp_path_factory.mktemp("made")
    (study / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    bench = Workbench(experiment(), study, study_name="made", worker="here")
    assert bench.dense()["state"] == "complete"
    for given in (RANDOM, {"method": "filter-l1", "ratio": 0.25, "schedule": "stepwise", "rounds": 2}):
        assert bench.run(Recipe.parse(given, bench.experiment, where="here"))["state"] == "complete"
    return study


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


def confirmed(study: Path, *, method: str = "", seeds: int = 1, as_trained: bool = False) -> list[dict[str, Any]]:
    """Confirm the study's trials of a method, or all of them."""
    chosen = [row for row in rows.read_all(study) if row["method"] == method or not method]
    return confirm(study, chosen, seeds=seeds, as_trained=as_trained, keep=ignored, say=ignored)


def ignored(line: object) -> None:
    """Take what nobody looks at."""


def manifests(study: Path) -> set[str]:
    return {str(path.relative_to(study)) for path in study.glob("stages/**/manifest.json")}


def test_the_studys_own_seed_is_its_networks_and_trains_nothing(study: Path) -> None:
    """Every recipe comes back out of its row, and the stages of the study are the ones that are used."""
    before = manifests(study)
    lines = confirmed(study)
    assert manifests(study) == before
    study_rows = {row["trial"]: row for row in rows.read_all(study)}
    assert [line["method"] for line in lines] == ["dense", "random-channels", "filter-l1"]
    for line in lines:
        row = study_rows[line["trial"]]
        same = ("method", "ratio", "seed", "val_accuracy", "val_loss", "sparsity", "params", "macs", "bytes")
        assert {name: line[name] for name in same} == {name: row[name] for name in same}
        assert set(line) == {column.name for column in CONFIRMED}
        assert (line["state"], line["as_trained"], line["error"]) == ("complete", False, None)
    again = confirmed(study, as_trained=True)
    other = {"as_trained", "started", "seconds"}
    assert [
        {name: value for name, value in line.items() if name not in other} | {"as_trained": False} for line in again
    ] == [{name: value for name, value in line.items() if name not in other} | {"as_trained": False} for line in lines]


def test_test_results_are_those_counted_one_image_at_a_time() -> None:
    """The slow twin; class 1 has no image, and its entry is None."""
    torch.manual_seed(0)
    data, images = splits(), image_set(30, seed=5)
    chosen = images.labels != 1
    images = ImageSet(images.images[chosen], images.labels[chosen])
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    right, of_class, loss = [0, 0, 0], [0, 0, 0], 0.0
    for image, label in zip(images.images, images.labels.tolist(), strict=True):
        pixels = (image / 255 - data.mean[:, None, None]) / data.std[:, None, None]
        logits = network(pixels[None])[0].detach().double()
        loss += float(torch.logsumexp(logits, 0) - logits[label])
        right[label] += int(logits.argmax()) == label
        of_class[label] += 1
    came = class_by_class(network, images, data)
    assert came["class_accuracy"] == [right[0] / of_class[0], None, right[2] / of_class[2]]
    assert 0 < sum(right) < len(images), "one class at a time must differ from none and from all"
    assert came["test_accuracy"] == sum(right) / len(images)
    assert came["test_loss"] == pytest.approx(loss / len(images), rel=1e-5)
    assert came["classes"] == ["red", "green", "blue"]


def test_retraining_differs_from_the_first_weights_on(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Initial weights, training, random cuts and recovery follow the seed; what is confirmed again does not."""
    first: dict[int, bytes] = {}
    known = Maker.network

    def seen(self: Maker, product: Any, **said: Any) -> nn.Module:
        network = known(self, product, **said)
        if product is None:
            first[self.experiment.seed] = next(network.parameters()).detach().numpy().tobytes()
        return network

    monkeypatch.setattr(Maker, "network", seen)
    lines = confirmed(study, method="random-channels", seeds=3)
    assert [(line["method"], line["seed"]) for line in lines] == [
        (method, seed) for seed in range(3) for method in ("dense", "random-channels")
    ]
    assert len({line["trial"] for line in lines}) == 2
    assert len(set(first.values())) == 3
    assert len({line["val_loss"] for line in lines}) == 6
    assert len({line["test_loss"] for line in lines}) == 6
    random = [line for line in lines if line["method"] == "random-channels"]
    assert len({line["params"] for line in random}) > 1, "the same channels fell three times"
    after = manifests(study)
    again = confirmed(study, method="random-channels", seeds=3)
    assert [line["test_loss"] for line in again] == [line["test_loss"] for line in lines]
    assert manifests(study) == after


def test_no_row_and_no_curve_is_written(study: Path) -> None:
    before = {path: path.read_bytes() for kind in ("rows", "curves") for path in (study / kind).iterdir()}
    confirmed(study, method="random-channels", seeds=2)
    assert {path: path.read_bytes() for kind in ("rows", "curves") for path in (study / kind).iterdir()} == before


def test_as_trained_trains_nothing_and_says_what_is_gone(study: Path) -> None:
    gone = [row["trial"] for row in rows.read_all(study) if row["method"] == "random-channels"]
    for manifest in study.glob("stages/*/manifest.json"):
        if json.loads(manifest.read_bytes())["record"].get("asked") is not None:
            manifest.unlink()
    before = manifests(study)
    with pytest.raises(
        WorkFailed, match=rf"2 of 3 networks are not in .*random-channels 0.5 {gone[0]}.*--as-trained out"
    ):
        confirmed(study, as_trained=True)
    assert manifests(study) == before


def test_a_diverging_retraining_is_a_failed_line_and_the_others_go_on(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, asked = Workbench.network, []
    dense_fails = False

    def fragile(self: Workbench, recipe: Recipe | None, **settings: Any) -> Any:
        asked.append((self.experiment.seed, recipe is None))
        if self.experiment.seed == 1 and (recipe is None) == dense_fails:
            raise TrainingDiverged("the loss was nan")
        return network(self, recipe, **settings)

    monkeypatch.setattr(Workbench, "network", fragile)
    lines = confirmed(study, method="random-channels", seeds=2)
    assert [line["state"] for line in lines] == ["complete", "complete", "complete", "failed"]
    assert lines[3]["error"] == "TrainingDiverged: the loss was nan"
    assert [lines[3][name] for name in ("test_accuracy", "test_loss", "class_accuracy")] == [None] * 3
    dense_fails = True
    asked.clear()
    lines = confirmed(study, method="random-channels", seeds=2)
    assert [line["state"] for line in lines] == ["complete", "complete", "failed", "failed"]
    assert lines[3]["error"] == "the dense network of seed 1 failed: TrainingDiverged: the loss was nan"
    assert asked == [(0, True), (0, False), (1, True)], "a dense network that diverged was trained once more"


def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(study: Path) -> None:
    kept: list[dict[str, Any]] = []

    def keep(line: dict[str, Any]) -> None:
        if kept:
            raise KeyboardInterrupt
        kept.append(line)

    with pytest.raises(KeyboardInterrupt, match=r"1 of 6 results are safe in .*run the same command to continue"):
        confirm(study, rows.read_all(study), seeds=2, as_trained=False, keep=keep, say=ignored)


def test_a_study_that_does_not_say_how_it_was_trained_is_refused(study: Path) -> None:
    (study / "spec.yaml").unlink()
    with pytest.raises(
        WrongInput, match=r"has no spec.yaml and no experiment.yaml, which say how its networks were trained"
    ):
        confirmed(study)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": {"name": "digits", "images": 190}}, "changed since .* was made"),
        ({"data": {"name": "parquet", "folder": "/nowhere/at/all"}}, "data.folder: /nowhere/at/all is not a folder"),
        (
            {"recovery": {"epochs": 1, "batch": 64}},
            "was written by another version .*: the same recipe has another name now",
        ),
    ],
)
def test_a_study_whose_data_or_settings_changed_is_refused(study: Path, changed: dict[str, Any], said: str) -> None:
    (study / "spec.yaml").write_text(yaml.safe_dump(SPEC | changed))
    before = manifests(study)
    with pytest.raises(WrongInput, match=said):
        confirmed(study)
    assert manifests(study) == before


def test_a_row_that_is_no_recipe_any_more_is_refused(study: Path) -> None:
    """Rows of a study made before stepwise cutting said one round of one shot."""
    chosen = [row | {"rounds": 1} for row in rows.read_all(study) if row["method"] == "random-channels"]
    with pytest.raises(WrongInput, match=r"another version .*: rounds and initial belong to a schedule") as caught:
        confirm(study, chosen, seeds=1, as_trained=False, keep=ignored, say=ignored)
    assert "\n" not in str(caught.value)


def test_test_labels_beyond_the_training_parts_are_refused(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = ImageSet(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.tensor([3, 11]))
    monkeypatch.setattr(confirm_module, "load_test", lambda *_, **__: images)
    with pytest.raises(WrongInput, match=r"the test part has an image of class 11, .* classes 0 to 9"):
        confirmed(study)


def test_only_confirm_reads_the_test_part(tmp_path: Path) -> None:
    """A test part that raises when it is read stops no trial and no sensitivity run; a whole one is then tested on."""
    data = parquet_folder(tmp_path / "data")
    whole = (data / "test.parquet").read_bytes()
    (data / "test.parquet").write_bytes(b"no Parquet at all")
    spec = SPEC | {"data": {"name": "parquet", "folder": str(data), "validation": 9}}
    study = tmp_path / "study"
    study.mkdir()
    (study / "spec.yaml").write_text(yaml.safe_dump(spec))
    bench = Workbench(experiment(spec), study, study_name="study", worker="here")
    assert bench.dense()["state"] == "complete"
    for given in (RANDOM, {"method": "taylor", "ratio": 0.25, "images": 16}):
        assert bench.run(Recipe.parse(given, bench.experiment, where="here"))["state"] == "complete"
    list(sensitivity(bench, Recipe.parse(RANDOM, bench.experiment, where="here")))
    before = manifests(study)
    for as_trained in (False, True):
        with pytest.raises(WrongInput, match=r"data/test.parquet is not a whole Parquet file"):
            confirmed(study, as_trained=as_trained)
    assert manifests(study) == before, "something was trained before the test part was looked at"
    (data / "test.parquet").unlink()
    with pytest.raises(WrongInput, match=r"neither test.parquet nor test-"):
        confirmed(study)
    (data / "test.parquet").write_bytes(whole)
    assert all(len(line["class_accuracy"]) == 3 and line["class_accuracy"][2] is None for line in confirmed(study))


def test_the_test_part_is_opened_in_one_place() -> None:
    """A static law: whoever else imports `load_test` could select by the test images."""
    opening = set()
    files = [ROOT / "prunefront.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            names += [node.attr] if isinstance(node, ast.Attribute) else []
            if "load_test" in names:
                opening.add(str(path.relative_to(ROOT)))
    assert opening == {"trial/confirm.py", "trial/data/__init__.py"}
