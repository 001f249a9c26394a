from dataclasses import replace

import pytest
import torch
from torch import nn

from methods.core.method import Evidence
from methods.core.units import Layer, weighted_layers
from methods.snip import LossGradient, Snip
from tests.methods.core.test_gradients import loss, many, scaling, slope_at_one
from tests.methods.examples import network


def sensitivities(given: nn.Module, seen: Evidence) -> dict[str, list[float]]:
    """|∂L(c ⊙ w)/∂c_u| at c = 1 for each connection on its own, numerically, as the paper defines it."""
    return {
        layer.name: [
            abs(slope_at_one(scaling(layer.weight.view(-1)[place], lambda: loss(given, seen))))
            for place in range(layer.weight.numel())
        ]
        for layer in weighted_layers(given)
    }


def cut(given: nn.Module, seen: Evidence, ratio: float) -> dict[str, list[int]]:
    chosen = Snip(ratio=ratio).cut(given, seen, ratio=ratio)
    return {layer: gone.tolist() for layer, gone in chosen.weights.items()}


def test_scores_are_the_papers_sensitivities_over_all_images() -> None:
    given, seen = network("plain"), many()
    seen = replace(seen, seen=LossGradient().observe(given, seen))
    for name, expected in sensitivities(given, seen).items():
        scores = Snip(ratio=0.5).scores(Layer(name, given.get_submodule(name)), seen)
        assert scores.shape == given.get_parameter(f"{name}.weight").shape
        assert scores.flatten().tolist() == pytest.approx(expected, rel=1e-4, abs=1e-8)


def test_one_ranking_over_layers_in_closed_form() -> None:
    """Two logits a·x and b·x of one number x = 1, class 0: p = (½, ½), so ∂L/∂a = −½ and ∂L/∂b = ½."""
    given = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        given[0].weight.copy_(torch.tensor([1.0, 3.0])[:, None, None, None])
        given[2].weight.copy_(torch.tensor([[4.0, 0.5], [1.0, 1.5]]))
    seen = Evidence(torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.tensor([0]), 0)
    # The logits are 5.5 and 5.5: |w·∂L/∂w| is ½·|w|·h in the last layer, ½·|w|·|Δ| in the first.
    stored = replace(seen, seen=LossGradient().observe(given, seen))
    made = {name: Snip(ratio=0.5).scores(Layer(name, given.get_submodule(name)), stored) for name in ("0", "2")}
    assert made["0"].flatten().tolist() == [1.5, 1.5]
    assert made["2"].tolist() == [[2.0, 0.75], [0.5, 2.25]]
    assert cut(given, seen, 0.5) == {"0": [0], "2": [1, 2]}
    assert cut(given, seen, 0.67) == {"0": [0], "2": [0, 1, 2]}


def test_the_order_of_the_images_does_not_matter() -> None:
    given, seen = network("normed"), many()
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    shuffled = replace(seen, images=seen.images[order], labels=seen.labels[order])
    assert cut(given, shuffled, 0.6) == cut(given, seen, 0.6)
    assert cut(given, replace(seen, labels=seen.labels[order]), 0.6) != cut(given, seen, 0.6), "labels count"


def test_ratios_share_what_was_seen() -> None:
    assert Snip(ratio=0.1).observer == Snip(ratio=0.9).observer
    given, seen = network("normed"), many()
    stored = replace(seen, seen=LossGradient().observe(given, seen))
    nothing = replace(stored, images=torch.zeros_like(seen.images))
    assert cut(given, nothing, 0.6) == cut(given, seen, 0.6)


def test_small_products_are_told_apart() -> None:
    """In float32 both products are 0 and the first would go, which is the larger."""
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2e-30, 1e-30]]))
    seen = replace(many(), seen={"layer": torch.full((1, 2), 1e-20)})
    larger, smaller = Snip(ratio=0.5).scores(Layer("layer", layer), seen).flatten().tolist()
    assert larger == 2 * smaller > 0
