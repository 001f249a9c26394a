import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from methods.core.cut import Cut, Past
from methods.magnitude_global_std import MagnitudeGlobalStd
from tests.methods.examples import evidence, network
from tests.methods.laws import units
from tests.methods.test_magnitude_global import two_layers
from tests.methods.test_magnitude_layer_std import deviation, places

LAYERS = ("0", "3", "6", "8")


def cut(given: nn.Module, q: float, past: dict[str, list[int]] | None = None, *, spare: str = "") -> Cut:
    held = {layer: torch.tensor(gone) for layer, gone in (past or {}).items()}
    method = MagnitudeGlobalStd(q=q, spare=spare)
    return method.cut(given, replace(evidence(), past=Past(weights=held)), ratio=0.0)


@pytest.mark.parametrize("q", [0.1, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("past", [{}, {"3": [0, 7, 100], "8": [1, 2, 47]}], ids=["first", "later"])
def test_is_the_rule_written_out(q: float, past: dict[str, list[int]]) -> None:
    given = network("flat")
    layers = {name: given.get_parameter(f"{name}.weight").flatten().tolist() for name in LAYERS}
    survivors = [w for name in LAYERS for position, w in enumerate(layers[name]) if position not in past.get(name, [])]
    threshold = q * deviation(survivors)
    expected = {}
    for name, weights in layers.items():
        goes = {position for position, w in enumerate(weights) if abs(w) < threshold} | set(past.get(name, []))
        if len(goes) == len(weights):
            goes.remove(max(range(len(weights)), key=lambda position: (abs(weights[position]), position)))
        if goes:
            expected[name] = sorted(goes)
    assert places(cut(given, q, past)) == expected


def test_one_deviation_for_all_layers() -> None:
    # All six together have mean 0 and σ = √6; the second layer's own is √8.5, the first's 1.
    given = two_layers([1.0, -1.0], [4.0, -4.0, 1.0, -1.0])
    assert places(cut(given, 0.4)) == {}
    assert places(cut(given, 0.5)) == {"0": [0], "1": [2, 3]}


def test_a_layer_of_small_weights_keeps_its_last_largest_and_nothing_stands_in() -> None:
    chosen = cut(two_layers([0.1, -0.3, 0.3], [5.0, -4.0, 6.0]), 0.5)
    assert places(chosen) == {"0": [0, 1]}
    assert (chosen.asked, chosen.size, dict(chosen.floored)) == (3, 2, {"0": 1})


def test_spared_layers_do_not_count_in_the_deviation() -> None:
    given = two_layers([1.0, -1.0, 0.5], [40.0, -40.0])
    assert set(places(cut(given, 0.5))) == {"0"}
    assert places(cut(given, 0.5, spare="1")) == {}


def test_a_later_round_takes_the_deviation_of_the_survivors() -> None:
    given = two_layers([0.0, 0.0, 0.0, 2.0], [0.0, -4.0])
    held = {"0": [0, 1, 2], "1": [0]}
    # σ is 1.80 with the zeros in it and 3 without.
    assert places(cut(given, 0.8)) == held
    chosen = cut(given, 0.8, held)
    assert places(chosen) == held
    assert (chosen.asked, dict(chosen.floored)) == (5, {"0": 1})


@pytest.mark.parametrize("name", ["flat", "normed", "residual"])
def test_larger_q_contains_smaller_cut(name: str) -> None:
    cuts = [units(cut(network(name), tenths / 10)) for tenths in range(1, 26)]
    assert all(smaller <= larger for smaller, larger in itertools.pairwise(cuts))
    assert len({len(gone) for gone in cuts}) > 10


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_nan_and_infinite_weights_name_their_layer(broken: float) -> None:
    with pytest.raises(ValueError, match="layer 1: its weights hold"):
        cut(two_layers([1.0, 2.0], [1.0, broken, 3.0]), 1.0)
