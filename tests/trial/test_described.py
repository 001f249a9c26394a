"""A network described by its operations: plain torch computes the same, on any batch."""

import json

import pytest
import safetensors.torch
import torch
from torch import nn

from analysis.errors import WrongInput
from tests.trial.tiny import made
from trial.described import LINES, described, load, program, to_bytes
from trial.networks import Network, build, names


class Branching(nn.Module):
    """Constants, a buffer that is not persistent, a concatenation, keywords, the number of images in a shape."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("shift", torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1), persistent=False)
        self.last = nn.Linear(8, 3)

    def forward(self, images):
        found = torch.relu(self.conv(images) + self.shift) * torch.tensor(0.5)
        both = torch.cat([found, found + found], dim=1).mean(dim=(2, 3), keepdim=True)
        return self.last(both.view(images.size(0), -1))


class Spoken(nn.Module):
    """What it does to images is no operation of ATen's."""

    def forward(self, images):
        return images.flatten(1) * (images.size(0) * 2)


class Twice(nn.Module):
    """A keyword that ATen takes by name alone."""

    def forward(self, images):
        return torch.add(images, images, alpha=2).flatten(1)


def agree(network, *, shape):
    back = load(to_bytes(network, image=shape, about={"trial": "x"}), where="model.safetensors").eval()
    for count in (1, 5):
        images = torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            assert torch.allclose(back(images), network.eval()(images), rtol=1e-5, atol=1e-6)
    return back


def test_a_network_of_branches_constants_and_keywords_comes_back():
    assert agree(Branching(), shape=(3, 6, 6)).about == {"trial": "x", "format": "pt"}


def test_a_described_network_is_the_same_bytes_each_time_and_stays_as_it_is():
    network = made(classes=3).train()
    assert to_bytes(network, image=(3, 32, 32), about={"b": "1", "a": "2"}) == to_bytes(
        network, image=(3, 32, 32), about={"b": "1", "a": "2"}
    )
    assert network.training


def test_the_description_is_names_numbers_and_lists():
    tensors, graph = described(program(made(classes=3), image=(3, 32, 32)))
    assert json.loads(json.dumps(graph)) == [list(each) for each in graph]
    assert [name for _, name, _ in graph if name in {"conv2d", "batch_norm", "linear"}] == [
        "conv2d", "batch_norm", "conv2d", "batch_norm", "linear",
    ]  # fmt: skip
    assert graph[0][2][:2] == ["images", "0.weight"]
    assert graph[-1][0] == "logits"
    assert set(tensors) == set(made(classes=3).state_dict())
    assert "import" not in LINES


def test_what_is_no_operation_on_tensors_or_takes_more_than_they_list_is_refused():
    with pytest.raises(WrongInput, match="the network cannot be described: mul is not ATen's"):
        described(program(Spoken(), image=(3, 4, 4)))
    with pytest.raises(WrongInput, match="the network cannot be described: aten::add takes alpha by name"):
        described(program(Twice(), image=(3, 4, 4)))


def crafted(graph, **tensors):
    return safetensors.torch.save({"w": torch.ones(2), **tensors}, {"graph": json.dumps(graph)})


@pytest.mark.parametrize(
    "graph",
    [
        [["text", "chr", [65]], ["logits", "from_file", ["text", True, 8]]],
        [["s", "sparse_coo_tensor", ["i", "w", [4]]], ["logits", "to_dense", ["s"]]],  # writes where i says
        [["s", "manual_seed", [5]], ["logits", "relu", ["images"]]],
        [["logits", "name", ["images"]]],
        [["logits", "__init__", ["images"]]],
    ],
)
def test_an_operation_that_no_network_needs_is_refused(graph):
    with pytest.raises(WrongInput, match="which no network needs"):
        load(crafted(graph, i=torch.tensor([[10**9, 0]])), where="model.safetensors")


def test_an_object_in_place_of_a_list_is_refused():
    with pytest.raises(WrongInput, match="does not describe a network: TypeError: relu takes no list"):
        load(crafted([["logits", "relu", {"images": 0}]]), where="model.safetensors")


def test_a_graph_too_deep_to_read_is_refused():
    data = safetensors.torch.save({"w": torch.ones(2)}, {"graph": "[" * 100_000})
    with pytest.raises(WrongInput, match="does not describe a network"):
        load(data, where="model.safetensors")


def test_an_operation_that_cannot_take_its_tensors_is_one_line():
    network = load(crafted([["logits", "conv2d", ["images", "w"]]]), where="model.safetensors")
    with pytest.raises(WrongInput, match="cannot compute conv2d: RuntimeError: weight should have"):
        network(torch.zeros(1, 3, 4, 4))
    with pytest.raises(WrongInput, match="gives int, no tensor"):
        load(crafted([["logits", "sym_size", ["images", 0]]]), where="f")(torch.zeros(1, 3, 4, 4))


def test_the_lines_of_the_card_give_no_operation_the_name_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spelt = [[f"c{each}", "chr", [ord(each)]] for each in "ab"]
    graphs = (
        [*spelt, ["name", "add", ["ca", "cb"]], ["logits", "from_file", ["name", True, 2]]],
        [["logits", "save", {"w": 0, str(tmp_path / "ab"): 0}]],
    )
    for graph in graphs:
        (tmp_path / "model.safetensors").write_bytes(crafted(graph))
        given = {"json": json, "safetensors": safetensors, "torch": torch, "images": torch.zeros(1, 3, 4, 4)}
        with pytest.raises((AttributeError, KeyError)):
            exec(LINES, given)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_network_of_the_catalogue_comes_back(name):
    agree(build(Network(name=name, width=0.125), classes=10, seed=0), shape=(3, 32, 32))
