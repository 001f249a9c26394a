import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from methods.core.lrp import STABILISER
from tests.methods.core.test_lrp import built, relevances, same
from tests.methods.examples import NETWORKS, images

# The literal twin: a layer is the matrix A and the bias b of its units, one image at a time, every share a quotient
# of the formula, R_i = Σ_j (2·z⁺_ij/Σ_i z⁺_ij − z⁻_ij/Σ_i z⁻_ij)·R_j with z_ij = A_ji·x_i and b_j among them.


def convolution(layer: nn.Conv2d, norm: nn.BatchNorm2d | None, height: int, width: int) -> tuple[Tensor, Tensor]:
    weight, (stride, pad) = layer.weight.tolist(), (layer.stride[0], int(layer.padding[0]))
    sides = [(side + 2 * pad - layer.kernel_size[0]) // stride + 1 for side in (height, width)]
    matrix = torch.zeros(layer.out_channels, *sides, layer.in_channels, height, width, dtype=torch.float64)
    bias = torch.zeros(layer.out_channels, *sides, dtype=torch.float64)
    kernel = [range(size) for size in layer.kernel_size]
    for o, y, x in itertools.product(range(layer.out_channels), *map(range, sides)):
        scale, shift = 1.0, 0.0 if layer.bias is None else layer.bias[o].item()
        if norm is not None:
            scale = norm.weight[o].item() / (norm.running_var[o].item() + norm.eps) ** 0.5
            shift = (shift - norm.running_mean[o].item()) * scale + norm.bias[o].item()
        bias[o, y, x] = shift
        for c, u, v in itertools.product(range(layer.in_channels), *kernel):
            row, column = y * stride + u - pad, x * stride + v - pad
            if 0 <= row < height and 0 <= column < width:
                matrix[o, y, x, c, row, column] = scale * weight[o][c][u][v]
    return matrix.reshape(bias.numel(), -1), bias.flatten()


def handed_back(matrix: Tensor, bias: Tensor, inputs: Tensor, relevance: Tensor) -> Tensor:
    z, total = matrix * inputs, torch.zeros_like(inputs)
    for z_j, b, r in zip(z, bias.tolist(), relevance.tolist(), strict=True):
        positive = z_j.clamp(min=0).sum().item() + max(b, 0)
        negative = z_j.clamp(max=0).sum().item() + min(b, 0)
        if positive > 0:
            total += 2 * z_j.clamp(min=0) / (positive + STABILISER) * r
        if negative < 0:
            total -= z_j.clamp(max=0) / (negative - STABILISER) * r
    return total


def from_logits(out: nn.Linear, inputs: Tensor) -> Tensor:
    """Relevance of the last linear layer's inputs, from the predicted class's logit."""
    logits = [
        sum(w * x for w, x in zip(row, inputs.tolist(), strict=True)) + b
        for row, b in zip(out.weight.tolist(), out.bias.tolist(), strict=True)
    ]
    start = [logit if place == logits.index(max(logits)) else 0.0 for place, logit in enumerate(logits)]
    return handed_back(out.weight.detach(), out.bias.detach(), inputs, torch.tensor(start, dtype=torch.float64))


def mean_shared(values: Tensor, relevance: Tensor) -> Tensor:
    """Relevance of each channel's mean, shape (C,), shared out over its places, shape (C, places), by value."""
    shared = torch.zeros_like(values)
    for channel, mean in enumerate(values.mean(1).tolist()):
        assert mean >= 0, "behind a ReLU"
        if mean > 0:
            shared[channel] = values[channel] / values.shape[1] / (mean + STABILISER) * relevance[channel]
    return shared


class Chain(nn.Sequential):
    """All that a chain may hold; the third convolution reads negative values too."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)),
            *(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 4)),
        )


def chain_literal(given: Chain, image: Tensor) -> dict[str, Tensor]:
    side = image.shape[-1]
    first, second = convolution(given[0], given[1], side, side), convolution(given[4], given[5], side // 2, side // 2)
    third = convolution(given[6], None, side // 2, side // 2)
    one = first[0] @ image.flatten() + first[1]
    windows = one.clamp(min=0).reshape(4, side // 2, 2, side // 2, 2).permute(0, 1, 3, 2, 4).reshape(-1, 4)
    pooled = torch.tensor([max(window) for window in windows.tolist()], dtype=torch.float64)
    two = second[0] @ pooled + second[1]
    three = third[0] @ two + third[1]
    hidden = given[9].weight.detach() @ three.clamp(min=0) + given[9].bias.detach()
    at_hidden = from_logits(given[11], hidden.clamp(min=0))
    at_three = handed_back(given[9].weight.detach(), given[9].bias.detach(), three.clamp(min=0), at_hidden)
    at_two = handed_back(*third, two, at_three)
    at_pooled = handed_back(*second, pooled, at_two)
    at_one = torch.zeros(4, side, side, dtype=torch.float64)
    places = list(itertools.product(range(4), range(side // 2), range(side // 2)))
    for (c, y, x), window, relevance in zip(places, windows.tolist(), at_pooled.tolist(), strict=True):
        winner = window.index(max(window))
        at_one[c, 2 * y + winner // 2, 2 * x + winner % 2] = relevance
    return {"0": at_one.reshape(4, -1), "4": at_two.reshape(3, -1), "6": at_three.reshape(5, -1)}


def residual_literal(given: nn.Module, image: Tensor) -> dict[str, Tensor]:
    stem, first, second = (
        convolution(given.get_submodule(name), given.get_submodule(f"{name}_norm"), 8, 8)
        for name in ("stem", "first", "second")
    )
    one = (stem[0] @ image.flatten() + stem[1]).clamp(min=0)
    two = (first[0] @ one + first[1]).clamp(min=0)
    three = second[0] @ two + second[1]
    both = (one + three).clamp(min=0).reshape(8, -1)
    at_both = mean_shared(both, from_logits(given.out, both.mean(1))).flatten()
    sums = one + three
    quotients = torch.where(sums == 0, 0, at_both / (sums + STABILISER * torch.where(sums < 0, -1, 1)))
    at_three = three * quotients
    at_two = handed_back(*second, two, at_three)
    at_one = handed_back(*first, one, at_two) + one * quotients
    return {"stem": at_one.reshape(8, -1), "first": at_two.reshape(12, -1), "second": at_three.reshape(8, -1)}


def concatenated_literal(given: nn.Module, image: Tensor) -> dict[str, Tensor]:
    def normed(values: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        shifted = (values.reshape(len(scale), -1) - norm.running_mean[:, None]) * scale[:, None]
        return (shifted + norm.bias.detach()[:, None]).clamp(min=0).flatten()

    stem, first, second = (convolution(given.get_submodule(name), None, 8, 8) for name in ("stem", "first", "second"))
    one = stem[0] @ image.flatten() + stem[1]
    read_by_first = normed(one, given.first_norm)
    both = torch.cat([one, first[0] @ read_by_first + first[1]])
    read_by_second = normed(both, given.second_norm)
    three = torch.cat([both, second[0] @ read_by_second + second[1]])
    last = normed(three, given.last_norm).reshape(16, -1)
    at_three = mean_shared(last, from_logits(given.out, last.mean(1))).flatten()
    at_second = at_three[len(both) :]
    at_both = at_three[: len(both)] + handed_back(*second, read_by_second, at_second)
    at_first = at_both[len(one) :]
    at_one = at_both[: len(one)] + handed_back(*first, read_by_first, at_first)
    return {"stem": at_one.reshape(8, -1), "first": at_first.reshape(4, -1), "second": at_second.reshape(4, -1)}


@pytest.mark.parametrize(
    ("make", "literal", "side"),
    [
        (Chain, chain_literal, 8),
        (NETWORKS["residual"], residual_literal, 8),
        (NETWORKS["concatenated"], concatenated_literal, 8),
    ],
    ids=["chain", "residual", "concatenated"],
)
def test_relevance_is_the_formulas(
    make: Callable[[], nn.Module], literal: Callable[[nn.Module, Tensor], dict[str, Tensor]], side: int
) -> None:
    given, read = built(make), images(2, side=side)
    with torch.no_grad():
        each = [literal(given, image) for image in read]
    expected = {layer: torch.stack([one[layer] for one in each]) for layer in each[0]}
    computed = relevances(given, read)
    same({layer: computed[layer] for layer in expected}, expected, rel=1e-9)
    assert computed.keys() == expected.keys()
