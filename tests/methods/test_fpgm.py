import itertools
import math

import pytest
import torch
from torch import nn

from methods.core.units import Layer
from methods.fpgm import Fpgm
from tests.methods.examples import evidence, network
from tests.methods.test_filter_l1 import filters


def literal(weight: torch.Tensor) -> list[float]:
    """s_i = Σ_j ‖W[i] − W[j]‖₂, one pair and one weight at a time."""
    flat = [filter_.flatten().tolist() for filter_ in weight.double()]
    return [math.fsum(math.dist(one, other) for other in flat) for one in flat]


def scores(weight: torch.Tensor) -> list[float]:
    layer = nn.Conv2d(weight.shape[1], len(weight), 1, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight)
    made: list[float] = Fpgm(ratio=0.5).scores(Layer("layer", layer), evidence()).tolist()
    return made


def column(*values: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Filters of one weight each."""
    return torch.tensor(values, dtype=dtype)[:, None, None, None]


def cut(given: nn.Module, ratio: float) -> dict[str, list[int]]:
    chosen = Fpgm(ratio=ratio).cut(given, evidence(), ratio=ratio)
    return {layer: gone.tolist() for layer, gone in chosen.channels.items()}


@pytest.mark.parametrize(("name", "layer"), [("flat", "0"), ("flat", "3"), ("depthwise", "3"), ("inception", "wide")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_are_the_sums_of_distances(name: str, layer: str, dtype: torch.dtype) -> None:
    weight = network(name, dtype=dtype).get_parameter(f"{layer}.weight").detach()
    assert scores(weight) == pytest.approx(literal(weight), rel=1e-12)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_on_a_line_scores_are_distances_and_follow_their_filters(order: tuple[int, ...]) -> None:
    # 0, 1, 3, 7: distances add up to 11, 9, 9 and 17.
    places, sums = [0.0, 1.0, 3.0, 7.0], [11.0, 9.0, 9.0, 17.0]
    assert scores(column(*(places[i] for i in order))) == [sums[i] for i in order]


@pytest.mark.parametrize(("dtype", "gap"), [(torch.float32, 2**-10), (torch.float64, 2**-30)])
def test_filters_near_one_another_are_told_apart(dtype: torch.dtype, gap: float) -> None:
    """‖a‖² + ‖b‖² − 2ab gives distances of 0 or NaN here."""
    weight = column(1000.0, 1000.0 + gap, 1000.0 + 3 * gap, dtype=dtype)
    assert scores(weight) == [4 * gap, 3 * gap, 5 * gap]


def test_each_layer_loses_the_filters_near_its_median() -> None:
    # The small filter 0 stands far from the others: FPGM keeps what a norm would cut.
    assert cut(filters([0.0, 10.0, 10.5], [5.0, -5.0, 0.5, -1.0]), 0.34) == {"0": [1], "1": [2]}
    assert cut(filters([0.0, 10.0, 10.5], [5.0, -5.0, 0.5, -1.0]), 0.67) == {"0": [1, 2], "1": [2, 3]}


def test_moving_all_filters_together_changes_nothing() -> None:
    weight = network("flat").get_parameter("0.weight").detach()
    assert scores(weight + 0.75) == pytest.approx(scores(weight), rel=1e-12)


def test_equal_filters_score_0_and_go_from_the_front() -> None:
    assert scores(column(2.0, 2.0, 2.0)) == [0, 0, 0]
    assert cut(filters([1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]), 0.5) == {"0": [0, 1], "1": [0, 1]}


def test_filters_with_the_same_distances_tie_wherever_they_stand() -> None:
    # The distances .1, .2 and .3 added from the left and from the right differ in the last bit.
    made = scores(column(0.0, 0.1, 0.3, 0.6) - 0.3)
    mirrored = scores(0.3 - column(0.0, 0.1, 0.3, 0.6))
    assert made == mirrored
    square = torch.tensor([[0.1, 0.3], [0.3, 0.1], [-0.1, 0.3], [-0.3, -0.1]], dtype=torch.float64)[:, :, None, None]
    for order in itertools.permutations(range(4)):
        permuted = scores(square[list(order)])
        assert permuted == [scores(square)[i] for i in order]


def test_one_filter_has_no_distances() -> None:
    assert scores(column(3.0)) == [0]


def test_linear_layers_are_left_alone() -> None:
    assert set(cut(network("flat"), 0.5)) == {"0", "3"}


def test_one_nan_weight_names_its_layer() -> None:
    given = network("flat")
    with torch.no_grad():
        given.get_parameter("3.weight")[1, 2, 0, 1] = torch.nan
    with pytest.raises(ValueError, match=r"^fpgm cannot rank layer 3: its weights hold NaN$"):
        cut(given, 0.5)
