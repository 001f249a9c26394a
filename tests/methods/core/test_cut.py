import itertools
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from methods.core.cut import Cut, count, select

Scope = Literal["layer", "global"]
Layers = dict[str, list[float]]

# Few distinct values, so that most lists hold ties.
LAYERS = st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 3).map(float), max_size=6), max_size=4)
RATIOS = st.integers(0, 100).map(lambda percent: percent / 100)


def chosen(layers: Layers, ratio: float, *, scope: Scope, keep_min: int = 1) -> tuple[Layers, int, dict[str, int]]:
    goes, asked, floored = select(tensors(layers), ratio, scope=scope, keep_min=keep_min)
    return {layer: gone.tolist() for layer, gone in goes.items()}, asked, floored


def tensors(layers: Mapping[str, list[float]]) -> dict[str, Tensor]:
    return {layer: torch.tensor(scores, dtype=torch.float64) for layer, scores in layers.items()}


def literal(layers: Layers, ratio: float, *, scope: Scope, keep_min: int) -> tuple[Layers, int, dict[str, int]]:
    """`select` by sorting (score, layer, index) and walking up the list, one unit at a time."""
    if scope == "layer":
        parts = [literal({layer: scores}, ratio, scope="global", keep_min=keep_min) for layer, scores in layers.items()]
        goes = {layer: gone for part, _, _ in parts for layer, gone in part.items()}
        floored = {layer: spared for _, _, part in parts for layer, spared in part.items()}
        return goes, sum(asked for _, asked, _ in parts), floored
    ranked = sorted(
        (score, place, index, layer)
        for place, (layer, scores) in enumerate(layers.items())
        for index, score in enumerate(scores)
    )
    asked = int((Decimal(str(ratio)) * len(ranked)).to_integral_value(ROUND_FLOOR))
    gone: Layers = {layer: [] for layer in layers}
    for _, _, index, layer in ranked:
        if sum(map(len, gone.values())) < asked and len(layers[layer]) - len(gone[layer]) > keep_min:
            gone[layer].append(index)
    lowest = [layer for *_, layer in ranked[:asked]]
    floored = {layer: lowest.count(layer) - len(gone[layer]) for layer in layers}
    return (
        {layer: sorted(indices) for layer, indices in gone.items() if indices},
        asked,
        {layer: spared for layer, spared in floored.items() if spared > 0},
    )


@given(percent=st.integers(0, 100), units=st.integers(0, 10_000))
def test_count_is_that_of_the_decimal_written(percent: int, units: int) -> None:
    assert count(percent / 100, units) == percent * units // 100


@given(thousandths=st.integers(0, 1000), units=st.integers(0, 20_000_000))
def test_count_is_decimal_arithmetic(thousandths: int, units: int) -> None:
    exact = Decimal(thousandths) / 1000 * units
    assert count(thousandths / 1000, units) == int(exact.to_integral_value(ROUND_FLOOR))


def test_count_where_floating_point_gives_one_too_few() -> None:
    assert [count(0.29, 100), int(0.29 * 100)] == [29, 28]
    assert count(1e-05, 300_000) == 3


@pytest.mark.parametrize("scope", ["layer", "global"])
@given(layers=LAYERS, ratio=RATIOS, keep_min=st.integers(1, 4))
def test_select_is_the_sorted_list_walked_up(scope: Scope, layers: Layers, ratio: float, keep_min: int) -> None:
    assert chosen(layers, ratio, scope=scope, keep_min=keep_min) == literal(
        layers, ratio, scope=scope, keep_min=keep_min
    )


@pytest.mark.parametrize("scope", ["layer", "global"])
@given(layers=LAYERS, ratios=st.tuples(RATIOS, RATIOS), keep_min=st.integers(1, 3))
def test_larger_ratio_contains_smaller_cut(
    scope: Scope, layers: Layers, ratios: tuple[float, float], keep_min: int
) -> None:
    smaller, larger = (chosen(layers, ratio, scope=scope, keep_min=keep_min)[0] for ratio in sorted(ratios))
    for layer, gone in smaller.items():
        assert set(gone) <= set(larger[layer])


@given(layers=LAYERS, ratio=RATIOS, keep_min=st.integers(1, 4))
def test_floor_keeps_the_total_while_units_may_go(layers: Layers, ratio: float, keep_min: int) -> None:
    gone, asked, floored = chosen(layers, ratio, scope="global", keep_min=keep_min)
    may_go = sum(max(len(scores) - keep_min, 0) for scores in layers.values())
    assert sum(map(len, gone.values())) == min(asked, may_go)
    for layer, scores in layers.items():
        assert len(scores) - len(gone.get(layer, [])) >= min(keep_min, len(scores))
    assert all(spared > 0 for spared in floored.values())


@given(layers=LAYERS, ratio=RATIOS)
def test_doubled_scores_choose_the_same(layers: Layers, ratio: float) -> None:
    doubled = {layer: [2 * score for score in scores] for layer, scores in layers.items()}
    for scope in ("layer", "global"):
        assert chosen(layers, ratio, scope=scope) == chosen(doubled, ratio, scope=scope)


@pytest.mark.parametrize("order", list(itertools.permutations([1.0, 2.0, 3.0])), ids=str)
def test_lowest_go_wherever_they_stand(order: tuple[float, ...]) -> None:
    # Among the six orders are the 3-cycles, which tell positions from ranks; sorted and reversed lists do not.
    gone, _, _ = chosen({"a": list(order)}, 0.67, scope="global")
    assert gone == {"a": sorted([order.index(1.0), order.index(2.0)])}


def test_ties_go_by_layer_then_index() -> None:
    equal = {"b": [1.0] * 4, "a": [1.0] * 4}
    assert chosen(equal, 0.625, scope="global")[0] == {"b": [0, 1, 2], "a": [0, 1]}
    assert chosen(equal, 0.5, scope="layer")[0] == {"b": [0, 1], "a": [0, 1]}


def test_floor_takes_the_next_lowest_elsewhere_and_says_so() -> None:
    layers = {"low": [3.0, 1.0, 2.0], "high": [9.0, 7.0, 8.0, 6.0]}
    assert chosen(layers, 0.43, scope="global") == ({"low": [1, 2], "high": [3]}, 3, {"low": 1})
    assert chosen(layers, 0.43, scope="global", keep_min=2) == ({"low": [1], "high": [1, 3]}, 3, {"low": 2})


def test_floored_counts_what_the_plain_ranking_would_have_cut() -> None:
    """Asked 6 of 10: the six lowest are a's four and b's first two, so two of a are stood in for, whoever stands in.

    b is protected only once it stands in for a; it loses no fewer than the plain ranking asked of it.
    """
    layers = {"a": [1.0, 1.1, 1.2, 1.3], "b": [2.0, 2.1, 2.2, 2.3], "c": [3.0, 3.1]}
    assert chosen(layers, 0.6, scope="global", keep_min=2) == ({"a": [0, 1], "b": [0, 1]}, 6, {"a": 2})


def test_a_layer_with_nothing_to_spare_is_not_said_to_be_floored() -> None:
    """`floored` once listed a layer smaller than keep_min with 0 units spared."""
    assert chosen({"small": [5.0], "a": [1.0, 2.0, 3.0, 4.0]}, 0.4, scope="global", keep_min=2)[2] == {}


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_everything_asked_leaves_the_floor(scope: Scope) -> None:
    layers = {"a": [2.0, 3.0, 1.0], "b": [5.0]}
    assert chosen(layers, 1.0, scope=scope) == ({"a": [0, 2]}, 4, {"a": 1, "b": 1})


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_nothing_asked_nothing_there_and_one_unit(scope: Scope) -> None:
    assert chosen({"a": [2.0, 1.0]}, 0.0, scope=scope) == ({}, 0, {})
    assert chosen({}, 0.5, scope=scope) == ({}, 0, {})
    assert chosen({"a": []}, 0.5, scope=scope) == ({}, 0, {})
    assert chosen({"a": [1.0]}, 0.95, scope=scope) == ({}, 0, {})
    assert chosen({"a": [1.0]}, 1.0, scope=scope) == ({}, 1, {"a": 1})


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_nan_names_its_layer(scope: Scope) -> None:
    with pytest.raises(ValueError, match="layer conv3 hold NaN"):
        chosen({"conv2": [1.0], "conv3": [1.0, float("nan")]}, 0.5, scope=scope)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_infinite_scores_are_ranked_last(scope: Scope) -> None:
    assert chosen({"a": [float("inf"), 1.0, float("-inf")]}, 0.67, scope=scope)[0] == {"a": [1, 2]}


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_inputs_are_unchanged_and_positions_are_ascending_int64(scope: Scope) -> None:
    given_scores = {"a": torch.tensor([[3.0, 1.0], [2.0, 1.0]], requires_grad=True)}
    before = given_scores["a"].detach().clone()
    goes, _, _ = select(given_scores, 0.75, scope=scope, keep_min=1)
    assert torch.equal(given_scores["a"].detach(), before)
    assert goes["a"].dtype == torch.int64
    assert goes["a"].tolist() == [1, 2, 3]


def test_cut_counts_channels_and_weights() -> None:
    cut = Cut(units=10, asked=4, channels={"a": torch.tensor([0, 2])}, weights={"b": torch.tensor([5])})
    assert (cut.size, cut.ratio) == (3, 0.3)
    assert Cut(units=0, asked=0).ratio == 0.0
