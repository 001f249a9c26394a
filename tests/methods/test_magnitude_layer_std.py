import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from methods.core.cut import Cut, Past
from methods.core.knobs import knobs
from methods.magnitude_layer_std import MagnitudeLayerStd
from tests.methods.examples import evidence, network
from tests.methods.laws import units
from tests.methods.test_magnitude_global import two_layers


def deviation(weights: list[float]) -> float:
    """σ = √(Σ (w − mean)² / n), the population's."""
    mean = sum(weights) / len(weights)
    return math.sqrt(sum((w - mean) ** 2 for w in weights) / len(weights))


def literal(weights: list[float], q: float, *, gone: list[int]) -> list[int]:
    """What is gone, and every |w| < q·σ of what is not; the last of the largest stays."""
    threshold = q * deviation([w for position, w in enumerate(weights) if position not in gone])
    goes = [position for position, w in enumerate(weights) if position in gone or abs(w) < threshold]
    if len(goes) == len(weights):
        goes.remove(max((abs(w), position) for position, w in enumerate(weights) if position not in gone)[1])
    return goes


def places(chosen: Cut) -> dict[str, list[int]]:
    return {layer: gone.tolist() for layer, gone in chosen.weights.items()}


def cut(given: nn.Module, q: float, past: dict[str, list[int]] | None = None) -> Cut:
    held = {layer: torch.tensor(gone) for layer, gone in (past or {}).items()}
    return MagnitudeLayerStd(q=q).cut(given, replace(evidence(), past=Past(weights=held)), ratio=0.0)


@pytest.mark.parametrize("q", [0.1, 0.5, 1.0, 1.7, 2.5])
@pytest.mark.parametrize("past", [{}, {"3": [0, 7, 100], "8": [1, 2, 47]}], ids=["first", "later"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_is_the_rule_written_out(q: float, past: dict[str, list[int]], dtype: torch.dtype) -> None:
    given = network("flat", dtype=dtype)
    chosen = cut(given, q, past)
    layers = {name: given.get_parameter(f"{name}.weight").flatten().tolist() for name in ("0", "3", "6", "8")}
    expected = {name: literal(weights, q, gone=past.get(name, [])) for name, weights in layers.items()}
    assert places(chosen) == {name: goes for name, goes in expected.items() if goes}
    assert chosen.asked == chosen.size + sum(chosen.floored.values())
    assert chosen.units == sum(map(len, layers.values()))


def test_each_layer_has_a_deviation_of_its_own() -> None:
    # σ is 2 of ±2 and √8.5 of 4, -4, 1, -1.
    assert places(cut(two_layers([2.0, -2.0], [4.0, -4.0, 1.0, -1.0]), 1.0)) == {"1": [2, 3]}
    assert places(cut(two_layers([2.0, -2.0], [4.0, -4.0, 1.0, -1.0]), 1.1)) == {"0": [0], "1": [2, 3]}


def test_the_deviation_is_the_populations_about_the_mean() -> None:
    # About the mean of 3, σ = √2 = 1.41; the sample's is 1.58, the root of the mean square 3.3.
    given = two_layers([1.0, 2.0, 3.0, 4.0, 5.0], [1.0])
    assert places(cut(given, 1.0)) == {"0": [0]}
    assert places(cut(given, 1.4)) == {"0": [0]}
    assert places(cut(given, 1.5)) == {"0": [0, 1]}


def test_a_weight_at_the_threshold_stays() -> None:
    assert places(cut(two_layers([3.0, -3.0, 3.0, -3.0], [1.0]), 1.0)) == {}


def test_the_last_of_the_largest_stays_and_floored_says_so() -> None:
    chosen = cut(two_layers([3.0, -3.0, 3.0, -3.0], [5.0, 7.0]), 2.5)
    assert places(chosen) == {"0": [0, 1, 2]}
    assert (chosen.asked, chosen.size, dict(chosen.floored)) == (4, 3, {"0": 1})


def test_a_single_weight_and_equal_weights_have_no_spread_and_stay() -> None:
    assert places(cut(two_layers([0.25], [0.3, 0.3, 0.3]), 2.5)) == {}


def test_a_later_round_takes_the_deviation_of_the_survivors() -> None:
    given = two_layers([0.0, 0.0, 0.0, 0.0, 2.0, -4.0], [1.0])
    # σ is 1.80 with the zeros in it and 3 without.
    assert places(cut(given, 0.8)) == {"0": [0, 1, 2, 3]}
    assert places(cut(given, 0.8, {"0": [0, 1, 2, 3]})) == {"0": [0, 1, 2, 3, 4]}


def test_the_floor_of_a_later_round_is_of_the_survivors() -> None:
    chosen = cut(two_layers([9.0, 2.0, -2.0], [1.0]), 2.5, {"0": [0]})
    assert places(chosen) == {"0": [0, 1]}
    assert dict(chosen.floored) == {"0": 1}


@pytest.mark.parametrize("name", ["flat", "normed", "residual"])
def test_larger_q_contains_smaller_cut(name: str) -> None:
    cuts = [units(cut(network(name), tenths / 10)) for tenths in range(1, 26)]
    assert all(smaller <= larger for smaller, larger in itertools.pairwise(cuts))
    assert len({len(gone) for gone in cuts}) > 10


def test_the_ratio_is_an_outcome() -> None:
    assert MagnitudeLayerStd(q=1.0).target is None
    assert "ratio" not in {knob.name for knob in knobs(MagnitudeLayerStd)}
    given = network("flat")
    made = [MagnitudeLayerStd(q=1.0).cut(given, evidence(), ratio=ratio) for ratio in (0.0, 0.9)]
    assert places(made[0]) == places(made[1])
    assert made[0].ratio == made[0].size / made[0].units


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_nan_and_infinite_weights_name_their_layer(broken: float) -> None:
    with pytest.raises(ValueError, match="layer 1: its weights hold"):
        cut(two_layers([1.0, 2.0], [1.0, broken, 3.0]), 1.0)
