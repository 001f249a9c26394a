from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from methods.core.cut import Past
from methods.core.units import Layer
from methods.lamp import Lamp
from tests.methods.examples import evidence, network
from tests.methods.test_magnitude_global import two_layers


def scores(weights: list[float], *, gone: list[int] | None = None, dtype: torch.dtype = torch.float64) -> list[float]:
    layer = nn.Linear(len(weights), 1, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weights], dtype=torch.float64))
    past = Past(weights={} if gone is None else {"layer": torch.tensor(gone)})
    made: list[float] = Lamp(ratio=0.5).scores(Layer("layer", layer), replace(evidence(), past=past)).flatten().tolist()
    return made


def literal(weights: list[float]) -> list[float]:
    """w_u² / Σ_{v at or after u} w_v² in exact rationals; the order is by |w|, then by position."""
    order = sorted(range(len(weights)), key=lambda position: (abs(weights[position]), position))
    squares = [Fraction(weights[position]) ** 2 for position in order]
    made = [0.0] * len(weights)
    for rank, position in enumerate(order):
        made[position] = float(squares[rank] / sum(squares[rank:])) if squares[rank] else 0.0
    return made


def cut(given: nn.Module, ratio: float) -> dict[str, list[int]]:
    chosen = Lamp(ratio=ratio).cut(given, evidence(), ratio=ratio)
    return {layer: gone.tolist() for layer, gone in chosen.weights.items()}


# Few distinct values, so that most lists hold ties, and sizes far apart.
WEIGHTS = st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 3.0, 1e-30, -1e-8, 1e8]), min_size=1, max_size=9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(weights=WEIGHTS)
def test_scores_are_the_papers_quotients(dtype: torch.dtype, weights: list[float]) -> None:
    as_held = torch.tensor(weights, dtype=dtype).tolist()
    assert scores(weights, dtype=dtype) == pytest.approx(literal(as_held), rel=1e-12, abs=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_four_equal_weights_score_by_position(dtype: torch.dtype) -> None:
    assert scores([0.1, -0.1, 0.1, -0.1], dtype=dtype) == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1], rel=1e-15)


def test_the_largest_scores_1_and_a_weight_alone_too() -> None:
    assert scores([0.5, -2.0, 1.0])[1] == 1
    assert scores([-1e-300]) == [1]


def test_a_layer_of_zeros_scores_0() -> None:
    assert scores([0.0, -0.0, 0.0]) == [0, 0, 0]


@pytest.mark.parametrize(("dtype", "size"), [(torch.float64, 1e200), (torch.float64, 1e-200), (torch.float32, 1e38)])
def test_squares_neither_overflow_nor_vanish(dtype: torch.dtype, size: float) -> None:
    assert scores([3 * size, size], dtype=dtype) == pytest.approx([1, 0.1], rel=1e-6)


def test_what_is_gone_does_not_disturb_the_others() -> None:
    left = [2.0, -1.0, 1.0]
    assert scores([2.0, 0.0, -1.0, 0.0, 1.0], gone=[1, 3]) == [
        literal(left)[0],
        0,
        literal(left)[1],
        0,
        literal(left)[2],
    ]
    # As good as zero, even where the network holds something else there.
    assert scores([2.0, 5.0, -1.0, 1e-9, 1.0], gone=[1, 3]) == scores([2.0, 0.0, -1.0, 0.0, 1.0], gone=[1, 3])


def test_small_tails_keep_their_digits() -> None:
    """Subtracting from the layer's whole sum would leave nothing of the two small weights' own sum."""
    assert scores([1e8, 1e-4, 1e-4])[1:] == pytest.approx(literal([1e8, 1e-4, 1e-4])[1:], rel=1e-12)
    weights = [1e-9, 2e-9, 4e-9, 1e9]
    assert scores(weights) == pytest.approx(literal(weights), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_many_weights_never_contradict_their_order(dtype: torch.dtype) -> None:
    stream = torch.Generator().manual_seed(0)
    layer = nn.Linear(1000, 300, bias=False, dtype=dtype)
    with torch.no_grad():
        # Rounded, so that most weights are tied with many others.
        layer.weight.copy_(torch.randn(300, 1000, generator=stream, dtype=dtype).mul(50).round().div(50))
    sizes = layer.weight.detach().abs().flatten().numpy()
    order = np.lexsort((np.arange(len(sizes)), sizes))
    made = Lamp(ratio=0.5).scores(Layer("layer", layer), evidence()).flatten().numpy()[order]
    assert (np.diff(made) >= 0).all()
    squares = sizes[order].astype(np.longdouble) ** 2
    exact = squares / squares[::-1].cumsum()[::-1]
    np.testing.assert_allclose(made, exact.astype(np.float64), rtol=1e-10)


def test_one_ranking_over_layers_is_the_sorted_list_of_all_scores() -> None:
    network_ = network("flat")
    names = ("0", "3", "6", "8")
    ranked = sorted(
        (score, place, position)
        for place, name in enumerate(names)
        for position, score in enumerate(literal(network_.get_parameter(f"{name}.weight").flatten().tolist()))
    )
    expected: dict[str, list[int]] = {}
    for _, place, position in sorted(ranked[: len(ranked) * 6 // 10], key=lambda entry: entry[1:]):
        expected.setdefault(names[place], []).append(position)
    assert cut(network_, 0.6) == expected


def test_a_layer_of_small_weights_is_as_good_as_a_layer_of_large_ones() -> None:
    small = two_layers([0.03, 0.01, 0.02], [-20.0, 10.0, 30.0])
    assert cut(small, 0.34) == {"0": [1], "1": [1]}
    assert cut(small, 0.67) == {"0": [1, 2], "1": [0, 1]}


def test_the_network_keeps_its_weights() -> None:
    """Scores once might have been written into the memory that the weights share with numpy."""
    layer = nn.Linear(3, 1, bias=False)
    before = layer.weight.detach().clone()
    Lamp(ratio=0.5).scores(Layer("layer", layer), replace(evidence(), past=Past(weights={"layer": torch.tensor([0])})))
    assert torch.equal(layer.weight, before)
