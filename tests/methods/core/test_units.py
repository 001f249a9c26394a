import pytest
import torch
from torch import Tensor, nn

from methods.core.units import channel_groups, output_layer, traced_once
from tests.methods.examples import NETWORKS, images, network

GROUPS = {
    "plain": [["0"], ["2"], ["6"]],
    "normed": [["0"], ["4"]],
    "flat": [["0"], ["3"], ["6"]],
    "residual": [["stem", "second"], ["first"]],
    "concatenated": [["stem"], ["first"], ["second"]],
    "depthwise": [["0", "3"], ["6"]],
    "inception": [["left", "wide"], ["right", "wide"]],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_coupled_channels_are_one_group_and_the_output_is_in_none(name: str) -> None:
    groups = channel_groups(network(name), images(1))
    assert [[layer.name for layer in group.layers] for group in groups] == GROUPS[name]
    for group in groups:
        for places in group.places:
            assert len(places) == group.size


def test_a_concatenations_groups_share_out_the_layer_it_is_added_to() -> None:
    left, right = channel_groups(network("inception"), images(1))
    assert [places.tolist() for places in left.places] == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert [places.tolist() for places in right.places] == [[0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9, 10, 11]]


@pytest.mark.parametrize(
    ("name", "norms"),
    [
        ("normed", {"0": "1", "4": "5"}),
        ("flat", {"0": "1", "3": None, "6": None}),
        ("residual", {"stem": "stem_norm", "second": "second_norm", "first": "first_norm"}),
        ("depthwise", {"0": "1", "3": "4", "6": None}),
        ("concatenated", {"stem": None, "first": None, "second": None}),
    ],
)
def test_a_layers_norm_is_the_one_that_alone_reads_it(name: str, norms: dict[str, str | None]) -> None:
    given = network(name)
    names = {module: entry for entry, module in given.named_modules()}
    found = {layer.name: layer.norm for group in channel_groups(given, images(1)) for layer in group.layers}
    assert {layer: names[norm] if norm else None for layer, norm in found.items()} == norms


@pytest.mark.parametrize(("name", "output"), [("plain", "8"), ("residual", "out"), ("depthwise", "8")])
def test_the_output_layer_is_the_last_that_runs(name: str, output: str) -> None:
    assert output_layer(network(name), images(1)) == output


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to cut"):
        output_layer(nn.Sequential(nn.Flatten()), images(1))


class Bypassed(nn.Module):
    """The first convolution's output goes past its norm as well, the second's does not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)
        self.second, self.own, self.out = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.Linear(8, 4)

    def forward(self, given: Tensor) -> Tensor:
        first = self.first(given)
        logits: Tensor = self.out((first + self.own(self.second(self.norm(first).relu()))).mean((2, 3)))
        return logits


def test_a_norm_beside_an_addition_is_not_the_layers_own() -> None:
    given = Bypassed()
    (group,) = channel_groups(given, images(1, dtype=torch.float32))
    assert {layer.name: layer.norm for layer in group.layers} == {"first": None, "second": given.own}


class Heads(nn.Module):
    """Two layers whose outputs together, joined in one of several ways, are the logits."""

    def __init__(self, join: str) -> None:
        super().__init__()
        self.join = join
        self.stem, self.unused = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 6, 1)
        self.one, self.other = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, given: Tensor) -> Tensor:
        features = self.stem(given).relu().mean((2, 3))
        one, other = self.one(features), self.other(features)
        match self.join:
            case "mean":
                return (one + other) / 2
            case "cat":
                return torch.cat([one, other], 1)
            case "weighted":
                return torch.cat([2 * one, other], 1).log_softmax(1)
            case _:
                return one.relu()


@pytest.mark.parametrize("join", ["mean", "cat", "weighted", "first"])
def test_no_part_of_the_logits_and_nothing_that_does_not_run_is_cut(join: str) -> None:
    groups = channel_groups(Heads(join), images(1, dtype=torch.float32))
    assert [[layer.name for layer in group.layers] for group in groups] == [["stem"]]


def test_inside_the_block_each_network_is_traced_once_and_after_it_anew() -> None:
    runs: list[nn.Module] = []

    def seen(given: nn.Module) -> list[list[str]]:
        return [[layer.name for layer in group.layers] for group in channel_groups(given, images(1))]

    first, second = network("plain"), network("plain")
    for given in (first, second):
        given.register_forward_hook(lambda module, *_: runs.append(module))
    seen(first)
    once = len(runs)
    with traced_once():
        with traced_once():
            assert seen(first) == seen(first) == GROUPS["plain"]
        assert seen(first) == GROUPS["plain"]
        assert runs.count(first) == 2 * once
        seen(second)
        assert runs.count(second) == once
    seen(first)
    assert runs.count(first) == 3 * once
