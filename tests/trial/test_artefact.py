"""The files that a trial is shipped as, and single ones of them: right, whole, stable, and loaded without code."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from typer.testing import CliRunner

from analysis.errors import WrongInput
from prunefront import app
from tests.trial.workbenches import DEPLOYED, opened
from trial import artefact, described
from trial.artefact import make, status
from trial.augmentation import normalised
from trial.experiment import Experiment
from trial.frozen import freeze
from trial.onnx_file import logits, read, session
from trial.recipe import Recipe, trial_id
from trial.workbench import Workbench
from trial.yaml_file import read as read_yaml

HOW = ("none", "static-int8", "float16")
FILES = {"recipe.yaml", "model.safetensors", "model.onnx", "card.md", "status.json"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    made = opened(tmp_path_factory.mktemp("study"), DEPLOYED)
    freeze(made._study, made.experiment)
    return made


@pytest.fixture(scope="module")
def study(bench: Workbench) -> Path:
    return Path(bench._study)


def recipe(bench: Workbench, how: str) -> Recipe:
    given = {"method": "filter-l1", "ratio": 0.5, "quantisation": how}
    return Recipe.parse(given, bench.experiment, where="spec.yaml")


@pytest.fixture(scope="module")
def rows(bench: Workbench) -> dict[str, dict[str, Any]]:
    bench.dense()
    return {how: bench.run(recipe(bench, how)) for how in HOW}


@pytest.fixture(scope="module")
def made(bench: Workbench, study: Path, rows: dict[str, dict[str, Any]]) -> dict[str, Path]:
    for row in rows.values():
        assert status(study, row["trial"]) is None
        said = make(bench, row, study)
        assert (said["state"], said["error"]) == ("done", None)
    return {how: study / "artefacts" / row["trial"] for how, row in rows.items()}


def validation(bench: Workbench) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:
    images = normalised(bench.splits.validation.images, bench.splits)
    return images, bench.splits.validation.labels.numpy()


def test_all_files_are_there_and_the_status_tells_them(made, study, rows):
    for how, folder in made.items():
        assert {path.name for path in folder.iterdir()} == FILES
        said = json.loads((folder / "status.json").read_text())
        assert said == status(study, rows[how]["trial"])
        for name, about in said["files"].items():
            data = (folder / name).read_bytes()
            assert (about["bytes"], about["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert said["quantisation"] == how
        assert said["weights_difference"] <= 1e-4
        if how == "none":
            assert said["onnx_difference"] <= 1e-4


@pytest.mark.parametrize(
    "said",
    [
        {"state": "done", "files": {}},
        {"state": "done", "files": "all"},
        {"state": "done"},
        {"state": "half"},
        {"state": ["done"], "files": {}},
        ["done"],
        None,
    ],
)
def test_a_status_that_does_not_tell_all_files_is_none(tmp_path, said):
    folder = tmp_path / "artefacts" / ("a" * 16)
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps(said))
    assert status(tmp_path, "a" * 16) is None
    assert status(folder / "status.json", "a" * 16) is None


def test_the_file_that_ships_has_the_rows_accuracy_and_the_card_says_it(bench, made, rows):
    images, labels = validation(bench)
    for how, folder in made.items():
        found = logits(session((folder / "model.onnx").read_bytes(), threads=1), images.numpy())
        accuracy = float((found.argmax(1) == labels).mean())
        assert accuracy == pytest.approx(rows[how]["val_accuracy"])
        card = (folder / "card.md").read_text()
        shown = re.search(r"\(`val_accuracy`\) \| ([0-9.]+)", card)
        assert shown is not None
        assert float(shown[1]) == pytest.approx(accuracy, abs=1e-6)
        assert f"(`gzip_bytes`) | {rows[how]['gzip_bytes']:,} bytes" in card


def test_the_printed_lines_load_and_run_both_files(bench, made, monkeypatch):
    """As a reader would paste them: pixels in, logits out."""
    monkeypatch.chdir(made["none"])
    blocks = re.findall(r"```python\n(.*?)```", Path("card.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    images, _ = validation(bench)
    network, _ = bench.network(recipe(bench, "none"))
    with torch.no_grad():
        wanted = network(images).numpy()
    place: dict[str, Any] = {"pixels": bench.splits.validation.images.numpy()}
    exec(blocks[0], place)
    exec(blocks[1], place)
    assert abs(place["logits"] - wanted).max() <= 1e-4 * abs(wanted).max()
    place["images"] = torch.from_numpy(place["images"])
    exec(blocks[2], place)
    assert abs(place["logits"].numpy() - wanted).max() <= 1e-4 * abs(wanted).max()
    # Four lines after what is imported.
    assert len(described.LINES.strip().splitlines()) == 4


def test_an_artefact_is_loaded_without_the_networks_code(bench, made):
    network = artefact.load(made["static-int8"])
    thin, _ = bench.network(recipe(bench, "none"))
    images, _ = validation(bench)
    for count in (1, 7):
        with torch.no_grad():
            assert torch.allclose(network(images[:count]), thin(images[:count]), rtol=1e-5, atol=1e-6)
    shapes = {name: tuple(tensor.shape) for name, tensor in thin.state_dict().items()}
    with safetensors.safe_open(made["none"] / "model.safetensors", "pt") as file:
        assert {name: tuple(file.get_tensor(name).shape) for name in file.keys()} == shapes  # noqa: SIM118
        assert json.loads(file.metadata()["classes"]) == list(bench.classes)


def test_the_recipe_names_the_same_trial(bench, made, rows):
    given = read_yaml(made["static-int8"] / "recipe.yaml")
    shared = {name: given.pop(name) for name in tuple(given) if name in Experiment.model_fields}
    experiment = Experiment.parse(shared, where="recipe.yaml")
    named = trial_id(Recipe.parse(given, experiment, where="recipe.yaml"), experiment, fingerprint=bench.fingerprint)
    assert named == rows["static-int8"]["trial"]


def test_made_again_the_files_are_the_same_bytes(bench, study, rows, made):
    row = rows["none"]
    before = status(study, row["trial"])
    assert make(bench, row, study) == before
    # One that lost a file, or was killed before its status, counts as not made.
    for name in ("model.onnx", "status.json"):
        data = (made["none"] / name).read_bytes()
        (made["none"] / name).unlink()
        assert status(study, row["trial"]) is None
        (made["none"] / name).write_bytes(data)
    (made["none"] / "card.md").write_bytes(b"short")
    assert status(study, row["trial"]) is None
    assert make(bench, row, study) == before


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("how", HOW)
def test_a_file_that_is_not_what_its_row_says_has_failed_with_the_figure(bench, study, rows, how):
    row = rows[how] | {"val_accuracy": rows[how]["val_accuracy"] - 0.006}
    said = make(bench, row, study)
    assert said["state"] == "failed"
    accuracy, other = f"{rows[how]['val_accuracy']:.4f}", f"{row['val_accuracy']:.4f}"
    assert said["error"] == f"ArtefactDiffers: model.onnx has a validation accuracy of {accuracy}, its row says {other}"
    assert status(study, row["trial"]) == said
    assert make(bench, rows[how], study)["state"] == "done"


@pytest.mark.usefixtures("made")
def test_float16_is_compared_with_float32_and_weights_with_the_network(bench, study, rows, monkeypatch):
    monkeypatch.setattr(artefact, "OF_ACCURACY", -1.0)
    assert "in float16, " in make(bench, rows["float16"], study)["error"]
    monkeypatch.setattr(artefact, "OF_ACCURACY", 0.005)
    monkeypatch.setattr(artefact, "TOLERANCE", -1.0)
    assert "logits of model.safetensors differ from the network's by " in make(bench, rows["none"], study)["error"]
    monkeypatch.undo()
    for how in ("float16", "none"):
        make(bench, rows[how], study)


def test_a_damaged_or_foreign_artefact_is_refused_in_one_line(made, tmp_path):
    good = (made["none"] / "model.safetensors").read_bytes()
    tensors = safetensors.torch.load(good)

    def with_graph(graph):
        return safetensors.torch.save(tensors, {"graph": json.dumps(graph)})

    for data, said in (
        (good[:100], "is damaged, or no file of safetensors"),
        (b"", "is damaged, or no file of safetensors"),
        (good[:-8], "is damaged, or no file of safetensors"),
        (safetensors.torch.save(tensors), "does not describe a network"),
        (with_graph([]), "does not describe a network"),
        (with_graph([["logits", "from_file", ["images"]]]), "asks for the operation 'from_file'"),
        (with_graph([["logits", "__class__", ["images"]]]), "asks for the operation '__class__'"),
        (with_graph([["logits", "relu", ["nothing"]]]), "takes 'nothing', which nothing gives"),
        (with_graph(7), "does not describe a network"),
    ):
        (tmp_path / "model.safetensors").write_bytes(data)
        with pytest.raises(WrongInput, match=re.escape(said)) as raised:
            artefact.load(tmp_path)
        assert str(raised.value).startswith(str(tmp_path / "model.safetensors"))
        assert "\n" not in str(raised.value)
    with pytest.raises(WrongInput, match="is no artefact"):
        artefact.load(tmp_path / "nothing")


def exported(*given: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["export", *given])
    return ended.exit_code, ended.output


def test_export_writes_and_checks_each_kind(study, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial = rows["static-int8"]["trial"]
    for kind in ("safetensors", "pt2"):
        code, said = exported(str(study), trial[:10], "--to", kind, "--check", "--json")
        assert code == 0, said
        told = json.loads(said)
        assert (told["file"], told["to"]) == (f"{trial}.{kind}", kind)
        assert told["difference"] <= 1e-4
        assert told["bytes"] == Path(told["file"]).stat().st_size
    code, said = exported(str(study), trial, "--to", "safetensors", "--out", "/proc/m.safetensors")
    assert (code, said) == (1, "prunefront: /proc/m.safetensors cannot be written: No such file or directory (--out)\n")
    code, said = exported(str(study), trial, "--opset", "19", "--quantise", "none", "--check", "--out", "m.onnx")
    assert code == 0, said
    assert re.fullmatch(r"m\.onnx: [0-9,]+ bytes, none, val_accuracy 0\.[0-9]+, difference [0-9.]+e-[0-9]+\n", said)
    assert [entry.version for entry in read(Path("m.onnx").read_bytes()).opset_import] == [19]


@pytest.mark.slow
def test_export_without_a_word_is_the_artefacts_file(study, rows, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial = rows["static-int8"]["trial"]
    code, said = exported(str(study), trial)
    assert code == 0, said
    assert Path(f"{trial}.onnx").read_bytes() == (made["static-int8"] / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "onxx"], "--to onxx: did you mean onnx"),
        (["--quantise", "int8"], "--quantise int8: "),
        (["--to", "pt2", "--opset", "20"], "--opset belongs to --to onnx, got --to pt2"),
        (["--to", "safetensors", "--quantise", "float16"], "--quantise belongs to --to onnx"),
        (["--opset", "7"], r"opset must lie in \[18, 23\], got 7"),
        (["--to", "safetensors", "--out", "nowhere/m.onnx"], "nowhere is no folder"),
        (["--out", "/dev/null"], "/dev/null is there, and no file"),
        (["--out", "."], r"\. is there, and no file"),
    ],
)
def test_export_refuses_what_it_cannot_do_in_one_line(study, rows, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    code, told = exported(str(study), rows["none"]["trial"], *options)
    assert code == 2
    assert re.search(said, told)
    assert len(told.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("rows")
def test_export_names_a_trial_that_is_not_there(study):
    for trial, said in (
        ("ffffffffffffffff", "has no trial"),
        ("front", "one trial is wanted"),
        ("all", "one trial is wanted"),
        ("", "one trial is wanted"),
    ):
        code, told = exported(str(study), trial)
        assert (code, said in told) == (2, True), told
