import pytest
from torch import nn

from methods.core.units import channel_groups, output_layer
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
    ],
)
def test_a_layers_norm_is_the_one_behind_it(name: str, norms: dict[str, str | None]) -> None:
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
