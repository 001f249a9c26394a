"""Bytes alive at once, by hand: float32, an image of 3×8×8 is 768 bytes."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from methods.core.cut import Past
from methods.core.removal import fit_shapes
from methods.filter_l1 import FilterL1
from tests.trial.images import splits
from trial import cutting
from trial.networks import Network, build
from trial.peak_memory import peak_memory
from trial.weights import weights_total

IMAGE = (3, 8, 8)
PIXELS = 3 * 8 * 8
MAPS = 4 * 8 * 8


def chain(*, inplace: bool = False) -> nn.Sequential:
    """Convolution 3→4, 3×3 with bias, ReLU, linear 256→2: 112 + 514 parameters."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace), nn.Flatten(), nn.Linear(MAPS, 2))


def test_a_chain_holds_its_image_and_two_activations() -> None:
    assert peak_memory(chain(), image=IMAGE) == 4 * (112 + 514 + PIXELS + MAPS + MAPS)


def test_an_operation_in_place_holds_one_less() -> None:
    # The maximum is at the linear layer then: its two outputs beside the maps.
    assert peak_memory(chain(inplace=True), image=IMAGE) == 4 * (112 + 514 + PIXELS + MAPS + 2)


def test_buffers_count_and_views_and_copies_of_a_reference_do_not() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.zeros(1000))
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)[:, ::2].mul_(self.scale)[:, :5]

    assert peak_memory(Views(), image=IMAGE) == 4 * (1000 + 1 + PIXELS)


def test_what_is_no_longer_needed_is_let_go() -> None:
    deep = nn.Sequential(*(nn.Conv2d(3, 3, 1, bias=False) for _ in range(10)))
    # The image is held by whoever called, and of the maps only the last two.
    assert peak_memory(deep, image=IMAGE) == 4 * (10 * 9 + 3 * PIXELS)


def test_a_residual_sum_holds_its_branch() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(2))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            kept = self.first(images)
            return kept + self.second(kept)

    assert peak_memory(Residual(), image=IMAGE) == 4 * (2 * 81 + 4 * PIXELS)


@pytest.mark.parametrize("name", ["seed-cnn", "vgg16-bn", "resnet20", "densenet40"])
def test_the_number_is_the_same_twice_and_in_any_memory_layout(name: str) -> None:
    network = build(Network(name=name, width=0.25), classes=3, seed=0)
    before = {entry: tensor.clone() for entry, tensor in network.state_dict().items()}
    first = peak_memory(network, image=(3, 32, 32))
    assert peak_memory(network, image=(3, 32, 32)) == first
    assert peak_memory(network.to(memory_format=torch.channels_last), image=(3, 32, 32)) == first
    assert network.training
    assert all(torch.equal(before[entry], tensor) for entry, tensor in network.state_dict().items())
    assert first > 4 * sum(parameter.numel() for parameter in network.parameters())


def test_a_thin_network_needs_less_and_a_masked_one_as_much() -> None:
    data, method = splits(), FilterL1(ratio=0.5)
    seen = cutting.evidence(data, method, seed=0, past=Past())
    peaks = {}
    for apply in ("remove", "mask"):
        network = build(Network(name="seed-cnn", width=0.25), classes=3, seed=0)
        dense, total = peak_memory(network, image=(3, 32, 32)), weights_total(network)
        options = {"ratio": Fraction(1, 2), "apply": apply, "dense_weights": total}
        product = cutting.cut(network, data, method, seen, **options)
        again = build(Network(name="seed-cnn", width=0.25), classes=3, seed=0)
        fit_shapes(again, dict(product.tensors))
        peaks[apply] = peak_memory(again, image=(3, 32, 32))
    assert peaks["remove"] < peaks["mask"] == dense
