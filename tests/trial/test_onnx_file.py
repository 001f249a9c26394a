"""A network as one ONNX file: it computes the same, is stable, stores what is counted, and a foreign one is refused."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from analysis.errors import WrongInput
from trial.networks import Network, build, names
from trial.onnx_file import BATCH, OPSETS, exported, logits, read, session, stored_tensors
from trial.quantising import DynamicInt8, Float16, None_, StaticInt8, quantised

IMAGE = (3, 8, 8)


class Odd(nn.Module):
    """Its number of images cannot be left open."""

    def forward(self, images):
        return images.flatten(1)[: int(images.sum() > 0) + 1]


def small():
    """One convolution with batch norm, a linear layer: 3·4·9 + 4 and 4·5 + 5 numbers once the norm is folded."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 5),
        )
        for parameter in network.parameters():
            nn.init.normal_(parameter)
    return network.eval()


def images(count, *, shape=IMAGE, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


@pytest.fixture(scope="module")
def file():
    return exported(small(), image=IMAGE)


def truth(network, given):
    with torch.no_grad():
        return network(torch.from_numpy(given)).numpy()


def test_a_file_computes_the_network_whatever_the_batch(file):
    opened = session(file, threads=1)
    for count in (1, 7, BATCH + 1):
        given = images(count)
        np.testing.assert_allclose(logits(opened, given), truth(small(), given), rtol=1e-4, atol=1e-5)
    assert logits(opened, images(0)).shape == (0, 5)


def test_equal_networks_give_equal_bytes_and_are_left_as_they_were(file):
    network = small().train().to(memory_format=torch.channels_last)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert exported(network, image=IMAGE) == file
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_names_and_shapes_are_stable_and_nothing_is_said_of_the_machine(file):
    model = onnx.load_model_from_string(file)
    onnx.checker.check_model(model, full_check=True)
    shapes = [
        (entry.name, [dim.dim_param or dim.dim_value for dim in entry.type.tensor_type.shape.dim])
        for entry in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [("images", ["batch", 3, 8, 8]), ("logits", ["batch", 5])]
    assert [entry.version for entry in model.opset_import] == [20]
    assert b"site-packages" not in file
    assert b".py" not in file


def test_stored_tensors_are_those_counted_by_hand(file):
    weights = 3 * 4 * 9 + 4 + 4 * 5 + 5  # of the convolution with its norm folded in, and of the linear layer
    shapes = 2 * 8  # of what is flattened, int64: (-1, 4)
    assert len(stored_tensors(file)) == 4 * weights + 2 * shapes
    assert len(stored_tensors(quantised(file, Float16()))) == 2 * weights + 2 * shapes


def test_every_quantisation_stays_a_plain_file_of_one_kind(file):
    given = images(40)
    wanted = logits(session(file, threads=1), given)
    for how, near in ((None_(), 0.0), (Float16(), 2e-3), (DynamicInt8(), 0.05), (StaticInt8(), 0.05)):
        model = quantised(file, how, images=given)
        onnx.checker.check_model(onnx.load_model_from_string(model), full_check=True)
        got = logits(session(model, threads=1), given)
        assert got.dtype == np.float32
        assert abs(got - wanted).max() <= near * abs(wanted).max(), how
        assert quantised(file, how, images=given) == model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[: len(data) // 2], "is damaged, or no ONNX file"),
        (lambda _: b"not a network", "is damaged, or no ONNX file"),
        (lambda _: b"", "is damaged, or no ONNX file"),
        (
            lambda data: changed(data, lambda model: setattr(model.graph.node[0], "domain", "com.example")),
            "com.example",
        ),
        (lambda data: changed(data, lambda model: setattr(model.graph.input[0], "name", "x")), "this one takes x"),
        (lambda data: changed(data, external), "in another file"),
        (lambda data: changed(data, lambda model: setattr(model.graph.node[0], "op_type", "Nothing")), "cannot be run"),
        (lambda data: nested(data, 20), "cannot be run"),
        (lambda data: nested(data, 5_000), "it does not parse"),
        (lambda _: identity(), "prunefront's tensor\\(float\\) of 2"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_in_one_line(file, change, said):
    with pytest.raises(WrongInput, match=said) as raised:
        session(change(file), threads=1, where="m.onnx")
    assert str(raised.value).startswith("m.onnx ")
    assert "\n" not in str(raised.value)


def changed(data, change):
    model = onnx.load_model_from_string(data)
    change(model)
    return model.SerializeToString()


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def nested(data, depth):
    """The file's graph as the branch of an operator that is in the branch of another, and so on."""

    def field(number, inside):
        length, digits = len(inside), []
        while length > 127:
            digits.append(length & 127 | 128)
            length >>= 7
        return bytes([number << 3 | 2, *digits, length]) + inside

    model = onnx.load_model_from_string(data)
    graph, given, out = (
        each.SerializeToString() for each in (model.graph, model.graph.input[0], model.graph.output[0])
    )
    for _ in range(depth):
        branch = field(1, b"then_branch") + field(6, graph) + bytes([0xA0, 1, 5])
        graph = field(1, field(4, b"If") + field(5, branch)) + field(11, given) + field(12, out)
    return bytes([8, 10]) + field(7, graph) + field(8, bytes([16, 20]))


def identity():
    """A sound file of the right names that is no network."""
    node = helper.make_node("Identity", ["images"], ["logits"])
    shape = ["batch", *IMAGE]
    given, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("images", "logits"))
    graph = helper.make_graph([node], "g", [given], [out])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def test_images_of_another_shape_are_refused(file):
    with pytest.raises(WrongInput, match=r"takes images of shape \(3, 8, 8\), got \(3, 9, 9\)"):
        logits(session(file, threads=1), images(2, shape=(3, 9, 9)))


def test_an_opset_that_is_not_known_is_refused():
    for opset in (OPSETS[0] - 1, OPSETS[-1] + 1, 0):
        with pytest.raises(WrongInput, match=rf"opset must lie in \[18, 23\], got {opset}"):
            exported(small(), image=IMAGE, opset=opset)


def test_a_network_that_cannot_be_exported_is_named_in_one_line():
    with pytest.raises(WrongInput, match="Odd cannot be exported to ONNX: ") as raised:
        exported(Odd(), image=IMAGE)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_that_is_accepted_is_written_and_run(opset):
    model = exported(small(), image=IMAGE, opset=opset)
    given = images(3)
    assert [entry.version for entry in read(model).opset_import] == [opset]
    for how in (None_(), DynamicInt8(), StaticInt8(), Float16()):
        opened = session(quantised(model, how, images=given), threads=1)
        wanted = truth(small(), given)
        assert abs(logits(opened, given) - wanted).max() <= 0.05 * abs(wanted).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_network_of_the_catalogue_exports_and_agrees_with_torch(name):
    network = build(Network(name=name, width=0.125), classes=10, seed=0).eval()
    model = exported(network, image=(3, 32, 32))
    opened = session(model, threads=1)
    for count in (1, 5):
        given = images(count, shape=(3, 32, 32))
        wanted = truth(network, given)
        assert abs(logits(opened, given) - wanted).max() <= 1e-4 * abs(wanted).max()
    for how in (DynamicInt8(), StaticInt8(), Float16()):
        stored = stored_tensors(quantised(model, how, images=given))
        assert len(stored) < len(stored_tensors(model)) * (0.55 if how == Float16() else 0.5), how


def test_stored_tensors_hold_what_the_layers_hold(file):
    linear = small()[5]
    assert linear.weight.detach().numpy().astype("<f4").tobytes() in stored_tensors(file)
    names_of = {tensor.name: numpy_helper.to_array(tensor) for tensor in read(file).graph.initializer}
    np.testing.assert_array_equal(names_of["5.weight"], linear.weight.detach().numpy())
