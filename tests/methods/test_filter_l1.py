import itertools
from typing import Literal

import pytest
import torch
from torch import nn

from methods.core.units import Layer
from methods.filter_l1 import FilterL1
from tests.methods.examples import evidence, network


def norms(weight: torch.Tensor, *, scope: Literal["layer", "global"]) -> list[float]:
    """s_i = Σ_{c,u,v} |W[i, c, u, v]|, divided by the number of weights in a filter where scope is global."""
    made = []
    for filter_ in weight.double().reshape(len(weight), weight.shape[1], *weight.shape[2:]).tolist():
        total = 0.0
        for channel in filter_:
            for row in channel if isinstance(channel, list) else [[channel]]:
                for w in row:
                    total += abs(w)
        made.append(total / weight[0].numel() if scope == "global" else total)
    return made


def filters(*rows: list[float]) -> nn.Sequential:
    """Two 1×1 convolutions with these weights, in front of an output layer."""
    first, second = rows
    made = nn.Sequential(
        nn.Conv2d(3, len(first), 1), nn.Conv2d(len(first), len(second), 1), nn.Conv2d(len(second), 4, 1)
    ).double()
    with torch.no_grad():
        made[0].weight.copy_(torch.tensor(first)[:, None, None, None].expand_as(made[0].weight))
        made[1].weight.copy_(torch.tensor(second)[:, None, None, None].expand_as(made[1].weight))
    return made


def cut(method: FilterL1, given: nn.Module) -> dict[str, list[int]]:
    chosen = method.cut(given, evidence(), ratio=method.ratio)
    return {layer: gone.tolist() for layer, gone in chosen.channels.items()}


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize(("name", "layer"), [("flat", "0"), ("flat", "3"), ("flat", "6"), ("depthwise", "3")])
def test_scores_are_the_papers_sums(scope: Literal["layer", "global"], name: str, layer: str) -> None:
    module = network(name).get_submodule(layer)
    scores = FilterL1(ratio=0.5, scope=scope).scores(Layer(layer, module), evidence())
    assert scores.tolist() == pytest.approx(norms(module.weight.detach(), scope=scope), rel=1e-12)


@pytest.mark.parametrize("signs", list(itertools.product([1, -1], repeat=3)))
def test_each_layer_loses_its_own_share(signs: tuple[int, int, int]) -> None:
    first = [sign * size for sign, size in zip(signs, [3.0, 1.0, 2.0], strict=True)]
    assert cut(FilterL1(ratio=0.5), filters(first, [30.0, 10.0, 20.0, 40.0])) == {"0": [1], "1": [1, 2]}


def test_global_ranks_means_so_that_wide_filters_do_not_win() -> None:
    # Sums are 3·.3, 3·.9 and 4·.5, 4·.2 (smallest sum .8, smallest mean .2); by sum .9 comes second, by mean .3.
    given = filters([0.3, 0.9, 1.0, 1.0], [0.26, 0.2, 1.0, 1.0])
    assert cut(FilterL1(ratio=0.25, scope="global"), given) == {"1": [0, 1]}
    assert cut(FilterL1(ratio=0.375, scope="global"), given) == {"0": [0], "1": [0, 1]}


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_equal_filters_go_from_the_front(scope: Literal["layer", "global"]) -> None:
    given = filters([1.0, -1.0, 1.0, 1.0], [1.0, 1.0, -1.0, 1.0])
    expected = {"layer": {"0": [0, 1], "1": [0, 1]}, "global": {"0": [0, 1, 2], "1": [0]}}
    assert cut(FilterL1(ratio=0.5, scope=scope), given) == expected[scope]


def test_global_floor_stands_in_elsewhere() -> None:
    given = filters([0.1, 0.3, 0.2], [4.0, 6.0, 5.0])
    assert cut(FilterL1(ratio=0.67, scope="global", keep_min=2), given) == {"0": [0], "1": [0]}
    assert cut(FilterL1(ratio=0.67, scope="global"), given) == {"0": [0, 2], "1": [0, 2]}


def test_coupled_channels_are_ranked_by_the_mean_of_their_members() -> None:
    given = network("residual")
    both = [norms(given.get_parameter(f"{name}.weight").detach(), scope="layer") for name in ("stem", "second")]
    means = [(stem + second) / 2 for stem, second in zip(*both, strict=True)]
    expected = sorted(sorted(range(8), key=lambda channel: means[channel])[:4])
    assert cut(FilterL1(ratio=0.5), given)["stem"] == expected


def test_a_concatenations_members_are_read_at_their_places() -> None:
    given = network("inception")
    right, wide = (norms(given.get_parameter(f"{name}.weight").detach(), scope="layer") for name in ("right", "wide"))
    means = [(right[channel] + wide[4 + channel]) / 2 for channel in range(8)]
    expected = sorted(sorted(range(8), key=lambda channel: means[channel])[:4])
    assert cut(FilterL1(ratio=0.5), given)["right"] == expected


def test_three_treatments_of_hidden_linear_layers() -> None:
    given = network("flat")
    cuts = {
        linear: FilterL1(ratio=0.5, linear=linear).cut(given, evidence(), ratio=0.5)
        for linear in ("channel", "magnitude", "leave")
    }
    for chosen in cuts.values():
        assert chosen.channels["0"].tolist() == cuts["leave"].channels["0"].tolist()
        assert "8" not in chosen.channels, "the output layer"
    assert (cuts["channel"].units, cuts["channel"].size) == (8 + 4 + 12, 4 + 2 + 6)
    assert set(cuts["channel"].channels) == {"0", "3", "6"}
    assert not cuts["channel"].weights
    assert (cuts["leave"].units, cuts["leave"].size) == (8 + 4, 4 + 2)
    assert set(cuts["leave"].channels) == {"0", "3"}
    assert not cuts["leave"].weights
    assert set(cuts["magnitude"].channels) == {"0", "3"}
    assert set(cuts["magnitude"].weights) == {"6"}
    assert (cuts["magnitude"].units, cuts["magnitude"].size) == (8 + 4 + 12 * 36, 4 + 2 + 6 * 36)
    sizes = given.get_parameter("6.weight").detach().abs().flatten().tolist()
    lowest = sorted(range(len(sizes)), key=lambda position: (sizes[position], position))[: 6 * 36]
    assert cuts["magnitude"].weights["6"].tolist() == sorted(lowest)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_filters_of_the_same_weights_in_another_order_tie(scope: Literal["layer", "global"]) -> None:
    """Added up in float32 the small ones vanish behind the large one, and count in front of it."""
    weights = [1.0, *[2.0**-24] * 7]
    layer = nn.Conv2d(8, 2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weights, weights[::-1]])[:, :, None, None])
    scores = FilterL1(ratio=0.5, scope=scope).scores(Layer("0", layer), evidence())
    assert scores[0] == scores[1]
