import pytest
import torch
from torch import nn

from methods.core.penalties import L1, MCP, RVSM, SCAD, TL1, Lp
from methods.slimming import Slimming
from tests.methods.examples import evidence, network

PENALTY = L1(lambda_=1e-4)


def scaled(first: list[float], second: list[float]) -> nn.Sequential:
    """Two convolutions whose norms have these scales."""
    made = nn.Sequential(
        *(nn.Conv2d(3, len(first), 3), nn.BatchNorm2d(len(first)), nn.ReLU()),
        *(nn.Conv2d(len(first), len(second), 3), nn.BatchNorm2d(len(second))),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(len(second), 4)),
    ).double()
    with torch.no_grad():
        made[1].weight.copy_(torch.tensor(first))
        made[4].weight.copy_(torch.tensor(second))
    return made


def cut(given: nn.Module, ratio: float, *, keep_min: int = 1) -> dict[str, list[int]]:
    chosen = Slimming(ratio=ratio, penalty=PENALTY, keep_min=keep_min).cut(given, evidence(), ratio=ratio)
    return {layer: gone.tolist() for layer, gone in chosen.channels.items()}


def test_is_the_sorted_list_of_all_scales() -> None:
    given = network("normed")
    ranked = sorted(
        (abs(gamma), place, channel)
        for place, norm in enumerate(("1", "5"))
        for channel, gamma in enumerate(given.get_parameter(f"{norm}.weight").tolist())
    )
    lowest = [(("0", "4")[place], channel) for _, place, channel in ranked[:9]]
    expected = {layer: sorted(channel for of, channel in lowest if of == layer) for layer in ("0", "4")}
    assert cut(given, 0.45) == expected


def test_sign_does_not_matter_and_layers_share_one_ranking() -> None:
    assert cut(scaled([0.1, -3.0, 2.0], [-0.2, 5.0, -4.0]), 0.5) == {"0": [0, 2], "3": [0]}


def test_equal_scales_go_in_order_of_position() -> None:
    """Public code drops every scale at the threshold, here all eight, and empties both layers."""
    assert cut(scaled([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, -0.5, 0.5]), 0.625) == {"0": [0, 1, 2], "3": [0, 1]}


def test_ratio_0_drops_no_channel() -> None:
    """A strict > against the lowest scale drops one."""
    assert cut(scaled([0.0, 1.0, 2.0], [3.0, 4.0, 5.0]), 0.0) == {}


def test_a_layer_of_zeros_keeps_its_floor_and_others_stand_in() -> None:
    given = scaled([0.0, 0.0, 0.0, 0.0], [1.0, 4.0, 2.0, 3.0])
    assert cut(given, 0.5) == {"0": [0, 1, 2], "3": [0]}
    assert cut(given, 0.5, keep_min=3) == {"0": [0], "3": [0]}


def test_convolutions_without_a_norm_behind_them_are_left_alone() -> None:
    chosen = Slimming(ratio=0.95, penalty=PENALTY).cut(network("flat"), evidence(), ratio=0.95)
    assert (chosen.units, set(chosen.channels)) == (8, {"0"})


def test_a_norm_without_scales_ranks_nothing() -> None:
    """Reading its scale once ended the trial with an AttributeError."""
    given = scaled([0.1, 0.2], [0.3, 0.4, 0.5, 0.6])
    given[1] = nn.BatchNorm2d(2, affine=False).double()
    assert cut(given, 0.5) == {"3": [0, 1]}


def test_coupled_scales_are_averaged() -> None:
    given = network("residual")
    stem, second = (given.get_parameter(f"{name}_norm.weight").abs().tolist() for name in ("stem", "second"))
    first = given.get_parameter("first_norm.weight").abs().tolist()
    ranked = sorted([((a + b) / 2, 0, i) for i, (a, b) in enumerate(zip(stem, second, strict=True))]
                    + [(gamma, 1, i) for i, gamma in enumerate(first)])[:10]  # fmt: skip
    chosen = cut(given, 0.5)
    assert chosen["stem"] == sorted(i for _, group, i in ranked if group == 0)
    assert chosen["first"] == sorted(i for _, group, i in ranked if group == 1)


@pytest.mark.parametrize(
    "penalty",
    [
        PENALTY,
        Lp(lambda_=1e-3, p=0.5),
        TL1(lambda_=1e-3, a=1.0),
        MCP(lambda_=1e-3, knee=0.5),
        SCAD(lambda_=1e-3, knee=0.5, a_scad=3.7),
        RVSM(lambda_=1e-3, c=0.1),
    ],
    ids=str,
)
def test_the_penalty_is_trained_with_and_does_not_change_the_ranking(
    penalty: L1 | Lp | TL1 | MCP | SCAD | RVSM,
) -> None:
    method = Slimming(ratio=0.5, penalty=penalty)
    assert method.sparsifier == penalty
    chosen = method.cut(network("normed"), evidence(), ratio=0.5)
    assert {layer: gone.tolist() for layer, gone in chosen.channels.items()} == cut(network("normed"), 0.5)


def refusal(given: nn.Module) -> str | None:
    return Slimming(ratio=0.5, penalty=PENALTY).refusal(given)


def test_a_network_without_a_norm_behind_a_convolution_is_refused_before_it_is_trained() -> None:
    behind = "slimming ranks channels by batch-norm scales, and the network has no batch norm behind a convolution"
    linear = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    for given in (linear, network("concatenated")):
        assert (refusal(given) or "").startswith(behind)
    plain = scaled([1.0, 2.0], [1.0, 2.0])
    assert refusal(plain) is None
    plain[4] = nn.Identity()
    assert refusal(plain) is None
    plain[1] = nn.BatchNorm2d(2, affine=False)
    assert "no batch norm" in (refusal(plain) or "")


def test_where_no_image_can_say_more_any_norm_of_maps_will_do() -> None:
    class Branching(nn.Sequential):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return super().forward(given) if given.sum() > 0 else super().forward(-given)  # type: ignore[no-any-return]

    assert refusal(Branching(*scaled([1.0, 2.0], [1.0, 2.0]))) is None
    assert refusal(Branching(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(4), nn.BatchNorm1d(4))) is not None


def test_channels_that_several_norms_read_are_not_ranked() -> None:
    chosen = Slimming(ratio=0.5, penalty=PENALTY).cut(network("concatenated"), evidence(), ratio=0.5)
    assert (chosen.units, chosen.channels) == (0, {})
