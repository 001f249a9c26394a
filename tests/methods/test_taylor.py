from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from methods.core.method import Evidence
from methods.core.units import channel_groups
from methods.taylor import Taylor, TaylorScores
from tests.methods.core.test_gradients import loss, many, scaling, slope_at_one
from tests.methods.examples import images, network

# What gates a channel of each convolution: γ and β of the norm that alone reads it, its own weights where none does.
GATES = {
    "plain": {"0": ["0.weight"], "2": ["2.weight"]},
    "normed": {"0": ["1.weight", "1.bias"], "4": ["5.weight", "5.bias"]},
    "flat": {"0": ["1.weight", "1.bias"], "3": ["3.weight"]},
    "residual": {name: [f"{name}_norm.weight", f"{name}_norm.bias"] for name in ("stem", "first", "second")},
    "concatenated": {name: [f"{name}.weight"] for name in ("stem", "first", "second")},
    "inception": {name: [f"{name}.weight"] for name in ("wide", "left", "right")},
}


def literal(given: nn.Module, seen: Evidence, gates: list[str]) -> list[float]:
    """(∂L/∂z_i)² for a gate z_i = 1 on channel i, numerically, squared per batch of 64 and averaged over them."""
    channels = len(given.get_parameter(gates[0]))
    batches = [
        replace(seen, images=seen.images[start : start + 64], labels=seen.labels[start : start + 64])
        for start in range(0, len(seen.images), 64)
    ]
    made = []
    for channel in range(channels):
        squares = []
        for batch in batches:
            parts = [given.get_parameter(gate).detach()[channel] for gate in gates]
            squares.append(
                sum(slope_at_one(scaling(part, lambda batch=batch: loss(given, batch))) for part in parts) ** 2
            )
        made.append(sum(squares) / len(squares))
    return made


def scores(given: nn.Module, seen: Evidence) -> dict[str, Tensor]:
    return dict(TaylorScores().observe(given, seen))


def cut(given: nn.Module, seen: Evidence, ratio: float) -> dict[str, list[int]]:
    chosen = Taylor(ratio=ratio).cut(given, seen, ratio=ratio)
    return {layer: gone.tolist() for layer, gone in chosen.channels.items()}


@pytest.mark.parametrize("name", GATES)
def test_scores_are_the_papers_squares(name: str) -> None:
    given, seen = network(name), many()
    made = scores(given, seen)
    assert set(made) == set(GATES[name])
    for layer, gates in GATES[name].items():
        assert made[layer].dtype == torch.float64
        assert made[layer].tolist() == pytest.approx(literal(given, seen, gates), rel=2e-4, abs=1e-10)


def test_a_gate_with_both_parts_at_once_is_the_same() -> None:
    """The paper's gate multiplies the norm's output: γ and β together."""
    given, seen = network("normed"), many(5)
    norm = given[1]
    stacked = torch.stack([norm.weight.detach(), norm.bias.detach()])
    made = []
    for channel in range(8):

        def gated(channel: int = channel) -> float:
            before = norm.weight.detach().clone(), norm.bias.detach().clone()
            with torch.no_grad():
                norm.weight[channel], norm.bias[channel] = stacked[:, channel]
            found = loss(given, seen)
            with torch.no_grad():
                norm.weight.copy_(before[0])
                norm.bias.copy_(before[1])
            return found

        made.append(slope_at_one(scaling(stacked[:, channel], gated)) ** 2)
    assert scores(given, seen)["0"].tolist() == pytest.approx(made, rel=2e-4, abs=1e-10)


def test_squares_are_taken_per_batch() -> None:
    """Two batches of opposite gradients cancel if they are averaged first."""
    given = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        given[0].weight.copy_(torch.tensor([1.0, 1.0])[:, None, None, None])
        given[2].weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    seen = Evidence(torch.ones(128, 1, 1, 1, dtype=torch.float64), torch.arange(128) // 64, 0)
    # Equal logits: of class 0, ∂L/∂h = (−½, ½)·2, of class 1 the negative.
    assert scores(given, seen)["0"].tolist() == [1.0, 1.0]
    half = replace(seen, images=seen.images[::2], labels=seen.labels[::2])
    assert scores(given, half)["0"].tolist() == [0.0, 0.0]


def test_one_ranking_over_convolutions_and_coupled_channels_share_a_mean() -> None:
    given, seen = network("residual"), many()
    made = {layer: score.tolist() for layer, score in scores(given, seen).items()}
    means = [(stem + second) / 2 for stem, second in zip(made["stem"], made["second"], strict=True)]
    names = ("stem", "first")
    ranked = sorted(
        (score, place, channel)
        for place, group in enumerate((means, made["first"]))
        for channel, score in enumerate(group)
    )
    expected = {
        name: sorted(channel for _, of, channel in ranked[:7] if of == place) for place, name in enumerate(names)
    }
    assert cut(given, seen, 0.35) == expected


def test_a_norm_without_scales_leaves_it_to_the_weights() -> None:
    given, seen = network("normed"), many(5)
    given[1] = nn.BatchNorm2d(8, affine=False).double().eval()
    assert scores(given, seen)["0"].tolist() == pytest.approx(literal(given, seen, ["0.weight"]), rel=2e-4, abs=1e-10)


def test_a_channel_that_nothing_reads_scores_0() -> None:
    given, seen = network("normed"), many(5)
    with torch.no_grad():
        given.get_parameter("9.weight")[:, 5] = 0
    assert scores(given, seen)["4"][5] == 0
    assert 5 in cut(given, seen, 0.25)["4"]


def test_ratios_share_what_was_seen_and_linear_layers_are_left_alone() -> None:
    assert Taylor(ratio=0.1).observer == Taylor(ratio=0.9).observer
    given, seen = network("flat"), many()
    stored = replace(seen, seen=scores(given, seen), images=torch.zeros_like(seen.images))
    assert cut(given, stored, 0.6) == cut(given, seen, 0.6)
    assert set(scores(given, seen)) == {"0", "3"}


def test_a_network_of_linear_layers_has_nothing_to_rank() -> None:
    given = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.ReLU(), nn.Linear(5, 4)).double()
    assert [group.name for group in channel_groups(given, images(1))] == ["1"]
    assert cut(given, many(5), 0.5) == {}
