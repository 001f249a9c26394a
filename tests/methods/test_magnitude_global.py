import torch
from torch import nn

from methods.magnitude_global import MagnitudeGlobal
from tests.methods.examples import evidence, network


def cut(given: nn.Module, ratio: float) -> dict[str, list[int]]:
    chosen = MagnitudeGlobal(ratio=ratio).cut(given, evidence(), ratio=ratio)
    return {layer: gone.tolist() for layer, gone in chosen.weights.items()}


def two_layers(first: list[float], second: list[float]) -> nn.Sequential:
    made = nn.Sequential(nn.Linear(1, len(first)), nn.Linear(len(second), 1)).double()
    with torch.no_grad():
        made[0].weight.copy_(torch.tensor(first)[:, None])
        made[1].weight.copy_(torch.tensor(second)[None])
    return made


def test_is_the_sorted_list_of_all_weights() -> None:
    given = network("flat")
    ranked = sorted(
        (abs(weight), place, position)
        for place, name in enumerate(("0", "3", "6", "8"))
        for position, weight in enumerate(given.get_parameter(f"{name}.weight").flatten().tolist())
    )
    wanted = len(ranked) * 29 // 100
    gone = {(place, position) for _, place, position in ranked[:wanted]}
    made = cut(given, 0.29)
    assert {
        (("0", "3", "6", "8").index(name), position) for name, places in made.items() for position in places
    } == gone


def test_sign_does_not_matter_and_layers_share_one_ranking() -> None:
    assert cut(two_layers([0.1, -3.0, 2.0], [-0.2, 5.0, -4.0]), 0.5) == {"0": [0, 2], "1": [0]}


def test_ties_go_by_layer_then_position() -> None:
    assert cut(two_layers([1.0, -1.0, 1.0], [1.0, 1.0, -1.0]), 0.67) == {"0": [0, 1], "1": [0, 1]}


def test_a_layer_of_small_weights_keeps_its_largest() -> None:
    given = two_layers([0.1, 0.3, 0.2], [5.0, 4.0, 6.0])
    chosen = MagnitudeGlobal(ratio=0.67).cut(given, evidence(), ratio=0.67)
    assert {layer: gone.tolist() for layer, gone in chosen.weights.items()} == {"0": [0, 2], "1": [0, 1]}
    assert dict(chosen.floored) == {"0": 1}


def test_output_weights_are_cut_biases_and_norms_are_not_counted() -> None:
    given = network("normed")
    chosen = MagnitudeGlobal(ratio=0.995).cut(given, evidence(), ratio=0.995)
    assert chosen.units == 8 * 3 * 9 + 12 * 8 * 9 + 4 * 12
    assert set(chosen.weights) == {"0", "4", "9"}
