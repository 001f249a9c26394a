"""Trials whose network is quantised: what is measured is the file that ships."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
import torch
from onnx import TensorProto, helper, numpy_helper

from analysis.errors import WrongInput
from tests.trial.images import splits
from tests.trial.workbenches import DEPLOYED, opened
from trial import gates, shipped
from trial.augmentation import normalised
from trial.onnx_file import BATCH, OPSET, stored_tensors, written
from trial.quantising import DynamicInt8, Float16
from trial.recipe import Recipe, trial_id
from trial.store import Product
from trial.workbench import Workbench

HOW = ("none", "dynamic-int8", "static-int8", "float16")
OF_THE_FILE = ("val_accuracy", "val_loss", "train_accuracy", "bytes", "gzip_bytes")
OF_THE_NETWORK = ("sparsity", "params", "macs", "peak_memory", "ratio_achieved")


def recipe(bench: Workbench, **changes: Any) -> Recipe:
    given = {"method": "filter-l1", "ratio": 0.5} | changes
    return Recipe.parse(given, bench.experiment, where="spec.yaml")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return opened(tmp_path_factory.mktemp("study"), DEPLOYED)


@pytest.fixture(scope="module")
def rows(bench: Workbench) -> dict[str, dict[str, Any]]:
    made = {how: bench.run(recipe(bench, quantisation=how)) for how in HOW}
    assert {how: (row["state"], row["error"]) for how, row in made.items()} == dict.fromkeys(HOW, ("complete", None))
    return made


def files(bench: Workbench, kind: str) -> list[bytes]:
    """The files of the stages of a kind, as they lie in the store."""
    found = []
    for manifest in sorted(Path(bench._study).glob("stages/*/manifest.json")):
        if json.loads(manifest.read_text())["kind"] == kind:
            found.append(safetensors.numpy.load_file(manifest.with_name("tensors.safetensors"))["onnx"].tobytes())
    return found


def by_hand(model: bytes, bench: Workbench) -> tuple[float, float]:
    """Accuracy and loss on the validation images with nothing but ONNX Runtime and numpy."""
    splits = bench.splits
    pixels = splits.validation.images.numpy().astype(np.float64) / 255
    mean, std = (each.numpy().astype(np.float64)[:, None, None] for each in (splits.mean, splits.std))
    images = ((pixels - mean) / std).astype(np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outs = [session.run(None, {"images": images[at : at + BATCH]})[0] for at in range(0, len(images), BATCH)]
    logits, labels = np.concatenate(outs).astype(np.float64), splits.validation.labels.numpy()
    shares = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return float((logits.argmax(1) == labels).mean()), float(-shares[np.arange(len(labels)), labels].mean())


def test_accuracy_loss_and_sizes_are_those_of_the_file(bench, rows):
    models = {len(stored_tensors(model)): model for model in files(bench, "quantise")}
    assert len(models) == 3
    for how in HOW[1:]:
        row = rows[how]
        model = models[row["bytes"]]
        accuracy, loss = by_hand(model, bench)
        assert row["val_accuracy"] == pytest.approx(accuracy, abs=1.01 / 100), how  # one image on the edge of a step
        assert row["val_loss"] == pytest.approx(loss, rel=5e-3), how
        assert row["gzip_bytes"] == len(gzip.compress(stored_tensors(model), compresslevel=6, mtime=0))
    assert rows["none"]["val_loss"] not in {rows[how]["val_loss"] for how in HOW[1:]}


def test_all_else_is_that_of_the_thin_network_which_is_trained_and_exported_once(bench, rows):
    for name in OF_THE_NETWORK:
        assert len({row[name] for row in rows.values()}) == 1, name
    assert len(files(bench, "export")) == 1
    assert [row["epochs"] - row["epochs_reused"] for how, row in rows.items() if how != "none"] == [0, 0, 0]


def test_bytes_are_those_counted_by_hand(rows):
    """Convolutions 3→4→6 with their norms folded and a linear layer of 10, and shapes, which are int64.

    The exporter writes (−1, 6) for what is flattened twice; where weights are integers a convolution's bias is added
    after it, and is given the shape (1, −1, 1, 1).
    """
    weights, biases = 3 * 4 * 9 + 4 * 6 * 9 + 6 * 10, 4 + 6 + 10
    shapes = 2 * 2 * 8
    assert rows["float16"]["bytes"] == 2 * (weights + biases) + shapes
    # One byte a weight, a scale and a zero point for each of three layers; biases stay float32.
    assert rows["dynamic-int8"]["bytes"] == weights + 3 * (4 + 1) + 4 * biases + shapes + 2 * 4 * 8
    # A scale and a zero point a channel, biases int32 with theirs, and those of the activations between layers.
    least = weights + biases * (4 + 1) + biases * 4
    assert least < rows["static-int8"]["bytes"] < least + biases * 8 + 200
    # State dict: weights without the norms folded, four numbers a channel.
    assert rows["none"]["bytes"] == 4 * (weights + 10 + 4 * (4 + 6))


def test_rows_say_how_and_a_trial_without_quantisation_keeps_its_name(bench, rows):
    assert {how: row["quantisation"] for how, row in rows.items()} == {how: how for how in HOW}
    assert rows["static-int8"]["calibration_images"] == 128
    assert {row["calibration_images"] for how, row in rows.items() if how != "static-int8"} == {None}
    names = [row["trial"] for row in rows.values()]
    assert len(set(names)) == len(HOW)
    assert trial_id(recipe(bench), bench.experiment, fingerprint=bench.fingerprint) == rows["none"]["trial"]


def test_what_cannot_be_calibrated_is_a_failed_row(bench):
    row = bench.run(recipe(bench, quantisation="static-int8", calibration_images=301))
    assert row["state"] == "failed"
    assert "calibrate on 301 images, and the training part has 300" in row["error"]


def test_calibration_images_belong_to_static_int8(bench):
    for how in ("none", "float16"):
        with pytest.raises(WrongInput, match="calibration_images"):
            recipe(bench, quantisation=how, calibration_images=3)


def test_the_network_of_a_quantised_recipe_is_its_file(bench, rows):
    network, measures = bench.network(recipe(bench, quantisation="static-int8"))
    assert {name: measures[name] for name in OF_THE_FILE} == {name: rows["static-int8"][name] for name in OF_THE_FILE}
    logits = network(normalised(bench.splits.validation.images, bench.splits))
    share = (logits.argmax(1) == bench.splits.validation.labels).double().mean()
    assert float(share) == pytest.approx(measures["val_accuracy"])


def test_a_file_that_differs_or_overflows_fails_its_gate():
    truth = torch.tensor([[4.0, -2.0], [1.0, 0.5]])
    gates.export_agrees(truth, truth + 3e-4)  # 1e-4 of the largest logit, 4
    for odd in (truth + 5e-4, truth * math.nan):
        with pytest.raises(gates.ExportDiffers, match="logits of the ONNX file differ from the network's"):
            gates.export_agrees(truth, odd)
    gates.file_loads_back(truth, truth.clone())
    with pytest.raises(gates.DoesNotLoadBack, match="are not those that it had when it was made"):
        gates.file_loads_back(truth, torch.nextafter(truth, truth + 1))


def linear(weight: Any) -> Product:
    """The float32 file of one linear layer without a bias."""
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "weight"], ["logits"], transB=1),
    ]
    given, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("images", (3, 32, 32)), ("logits", (3,)))
    )
    graph = helper.make_graph(nodes, "linear", [given], [out], [numpy_helper.from_array(weight, "weight")])
    model = written(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10))
    return Product({"onnx": torch.from_numpy(np.frombuffer(model, np.uint8).copy())})


def test_a_quantised_file_whose_logits_are_no_numbers_is_refused():
    weight = np.full((3, 3 * 32 * 32), 1e-2, np.float32)
    record = shipped.quantise(linear(weight), splits(), DynamicInt8(), seed=0, threads=1).record
    assert record["bytes"] == weight.size + 4 + 1
    weight[1, 7] = np.inf
    with pytest.raises(gates.NotFinite, match="logits of the float16 network came out as NaN or infinite"):
        shipped.quantise(linear(weight), splits(), Float16(), seed=0, threads=1)
