"""Weights of a hidden linear layer, cut in rounds in which its columns go with a channel method's channels."""

from fractions import Fraction
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from methods.core.cut import Past
from methods.core.removal import fit_shapes
from methods.filter_l1 import FilterL1
from tests.trial.images import splits
from trial import cutting
from trial.networks import Network, build
from trial.store import Product
from trial.weights import weights_total

CONV, LINEAR, PLACES = "features.9.weight", "classifier.0.weight", 4 * 4
SMALL = Network(name="seed-cnn", width=0.25)
METHOD = FilterL1(ratio=0.9, linear="magnitude")


def network_of(product: Product) -> nn.Module:
    network = build(SMALL, classes=3, seed=0)
    fit_shapes(network, dict(product.tensors))
    return network.eval()


def cut(
    network: nn.Module, ratio: Fraction, apply: Literal["remove", "mask"], *, before: Product | None = None
) -> Product:
    data = splits(train=40)
    past = cutting.past(before) if before else Past()
    seen = cutting.evidence(data, METHOD, seed=0, past=past)
    mask, total = before.mask if before else None, weights_total(build(SMALL, classes=3, seed=0))
    return cutting.cut(network, data, METHOD, seen, ratio=ratio, apply=apply, dense_weights=total, mask=mask)


def moved(product: Product, *, seed: int) -> nn.Module:
    """The network of a cut as a recovery may leave it: every weight elsewhere, zeros where they were."""
    network = network_of(product)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in (CONV, LINEAR):
            weight = network.get_parameter(name)
            weight.mul_(torch.rand(weight.shape, generator=generator) + 0.5)
    return network


def literal(conv: Tensor, linear: Tensor, *, ratio: Fraction, channels: int) -> tuple[list[int], list[list[float]]]:
    """The channels that stay and the rows of the layer behind them, as one writes it down.

    Of C channels ⌊r·C⌋ have gone, those with the smallest Σ|w|; of the n weights that the layer has now ⌊r·n⌋ are zero,
    the smallest, a zero being as small as can be; then the columns of the channels go.
    """
    sums = [conv[channel].double().abs().sum().item() for channel in range(len(conv))]
    stay = sorted(
        sorted(range(len(conv)), key=lambda channel: sums[channel])[int(ratio * channels) - (channels - len(conv)) :]
    )
    flat = linear.abs().flatten().tolist()
    zero = set(sorted(range(len(flat)), key=lambda place: (flat[place], place))[: int(ratio * len(flat))])
    width = linear.shape[1]
    return stay, [
        [
            0.0 if row * width + column in zero else linear[row, column].item()
            for channel in stay
            for column in range(channel * PLACES, (channel + 1) * PLACES)
        ]
        for row in range(len(linear))
    ]


@pytest.mark.parametrize("ratio", [Fraction(1, 2), Fraction(9, 10)])
def test_of_the_weights_that_are_left_the_ratio_is_cut_in_every_round(ratio: Fraction) -> None:
    """They were to make up for columns that went whole: after five rounds to .9 one weight was left."""
    rounds, before = 4, None
    network = build(SMALL, classes=3, seed=0)
    channels = len(network.get_parameter(CONV))
    for number in range(1, rounds + 1):
        asked = ratio * number / rounds
        given = (network.get_parameter(name).detach().clone() for name in (CONV, LINEAR))
        stay, want = literal(*given, ratio=asked, channels=channels)
        before = cut(network, asked, "remove", before=before)
        assert len(before.tensors[CONV]) == len(stay) == channels - int(asked * channels)
        got = before.tensors[LINEAR]
        assert got.tolist() == want
        assert (got == 0).double().mean().item() == pytest.approx(float(asked), abs=0.05)
        assert before.record["ratio_achieved"] == pytest.approx(float(asked), abs=1e-3)
        network = moved(before, seed=number)


def test_held_at_zero_or_removed_the_same_weights_go() -> None:
    networks, before = {}, {}
    for number in (1, 2, 3):
        for apply in ("remove", "mask"):
            network = networks.get(apply) or build(SMALL, classes=3, seed=0)
            before[apply] = cut(network, Fraction(number, 4), apply, before=before.get(apply))
            networks[apply] = network_of(before[apply])
        kept = [product.tensors[LINEAR] for product in before.values()]
        assert kept[0].shape < kept[1].shape
        assert torch.equal(kept[0], kept[1][:, (kept[1] != 0).any(0)])


def test_what_went_stays_gone_where_it_is_more_than_the_ratio_of_what_is_left() -> None:
    """Columns with few zeros go, and a share that grows by little asks for fewer zeros than there are."""
    network = build(SMALL, classes=3, seed=0)
    with torch.no_grad():
        conv, linear = network.get_parameter(CONV), network.get_parameter(LINEAR)
        conv[:8] *= 1e-3  # these channels go
        linear[:, : 4 * PLACES] += 100  # and columns of half of them would have stayed
    first = cut(network, Fraction(1, 2), "remove")
    zeros, left = int((first.tensors[LINEAR] == 0).sum()), first.tensors[LINEAR].numel()
    assert zeros == pytest.approx(left * 2 / 3, rel=0.01)
    second = cut(network_of(first), Fraction(6, 10), "remove", before=first)
    more = zeros - int(Fraction(6, 10) * left)
    assert second.record["ratio_reason"].endswith(f": earlier rounds had cut {more} more of what is left")
    third = cut(network_of(second), Fraction(8, 10), "remove", before=second)
    assert third.record["ratio_reason"] is None
