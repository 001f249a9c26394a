"""What ONNX Runtime's tools store of a quantised layer, against the formula."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from analysis.errors import WrongInput
from trial.onnx_file import OPSET, logits, read, session, written
from trial.quantising import DynamicInt8, StaticInt8, quantised

IMAGE = (1, 2, 2)
WEIGHT = np.array(
    [[0.5, -1.0, 0.25, 0.1], [0.0, 0.0, 0.0, 0.0], [2.54, -1.27, 0.64, -0.01]], np.float32
)  # a row of zeros, as a mask leaves it
BIAS = np.array([0.3, -0.2, 0.1], np.float32)


@pytest.fixture(scope="module")
def file():
    """One linear layer, as the exporter writes it."""
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "1.weight", "1.bias"], ["logits"], transB=1),
    ]
    given, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("images", IMAGE), ("logits", (3,)))
    )
    tensors = [numpy_helper.from_array(WEIGHT, "1.weight"), numpy_helper.from_array(BIAS, "1.bias")]
    graph = helper.make_graph(nodes, "linear", [given], [out], tensors)
    return written(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10))


def images(count=9, *, low=-1.0, high=3.0):
    given = np.random.default_rng(0).uniform(low, high, (count, *IMAGE)).astype(np.float32)
    given[0, 0, 0], given[-1, 0, 1] = low, high
    return given


def stored(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in read(model).graph.initializer}


def symmetric(values):
    """int8 by max|w|/127 and rounding half to even, in plain arithmetic; a scale of 1 where all are zero."""
    largest = max(abs(float(value)) for value in values)
    scale = np.float32(largest * 2 / 254) if largest else np.float32(1)
    return scale, [round(float(np.float32(value) / scale)) for value in values]


def test_static_weights_are_int8_with_a_symmetric_scale_for_each_output_channel(file):
    tensors = stored(quantised(file, StaticInt8(), images=images()))
    weight, scales, zeros = (tensors[f"1.weight_{what}"] for what in ("quantized", "scale", "zero_point"))
    assert (weight.dtype, scales.shape, zeros.tolist()) == (np.int8, (3,), [0, 0, 0])
    for row, numbers in enumerate(WEIGHT):
        scale, expected = symmetric(numbers)
        assert scales[row] == pytest.approx(scale, rel=1e-6)
        assert weight[row].tolist() == expected
    # A zero stays zero, so a sparse network's zeros still pay in gzip.
    assert (weight[1] == 0).all()


def test_static_activations_are_uint8_over_the_range_of_the_images_it_was_calibrated_on(file):
    tensors = stored(quantised(file, StaticInt8(), images=images(low=-1.0, high=3.0)))
    scale = (3.0 - -1.0) / 255
    assert tensors["flat_scale"] == pytest.approx(scale, rel=1e-6)
    assert tensors["flat_zero_point"] == round(0 - -1.0 / scale)
    assert tensors["flat_zero_point"].dtype == np.uint8


def test_static_bias_is_int32_in_units_of_weight_and_activation(file):
    tensors = stored(quantised(file, StaticInt8(), images=images()))
    bias, scale = tensors["1.bias_quantized"], tensors["flat_scale"] * tensors["1.weight_scale"]
    assert bias.dtype == np.int32
    np.testing.assert_allclose(bias * scale, BIAS, atol=scale.max())


def test_dynamic_weights_are_int8_with_one_symmetric_scale(file):
    tensors = stored(quantised(file, DynamicInt8()))
    weight, scale = tensors["1.weight_quantized"], tensors["1.weight_scale"]
    expected_scale, expected = symmetric(WEIGHT.reshape(-1))
    assert scale == pytest.approx(expected_scale, rel=1e-6)
    assert weight.dtype == np.int8
    # Written for a matrix product from the right.
    np.testing.assert_array_equal(weight, np.array(expected).reshape(WEIGHT.shape).T)


def test_the_static_file_computes_the_integers_formula(file):
    """Σ (q_x − z)·q_w·s_x·s_w + b, then to the grid of the output: within a step of it."""
    given = images(5)
    model = quantised(file, StaticInt8(), images=given)
    tensors = stored(model)
    scale, zero = tensors["flat_scale"], int(tensors["flat_zero_point"])
    pixels = np.clip(np.round(given.reshape(5, 4) / scale) + zero, 0, 255) - zero
    sums = pixels @ tensors["1.weight_quantized"].astype(int).T
    expected = sums * scale * tensors["1.weight_scale"] + BIAS
    step = float(tensors["logits_scale"])
    assert abs(logits(session(model, threads=1), given) - expected).max() <= 1.01 * step


def test_static_quantisation_without_images_is_refused(file):
    for given in (None, images(2)[:0]):
        with pytest.raises(WrongInput, match="needs images of the training part to calibrate on, got none"):
            quantised(file, StaticInt8(), images=given)
