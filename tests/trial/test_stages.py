"""How a cut is carried out, and what is left of it after training."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import nn

from methods.core.cut import Past
from methods.core.removal import fit_shapes
from methods.filter_l1 import FilterL1
from methods.magnitude_global import MagnitudeGlobal
from tests.trial.images import splits
from trial import cutting, stages
from trial.augmentation import normalised
from trial.networks import Network, build
from trial.recovery import Recovery
from trial.store import Product
from trial.training import Training
from trial.weights import nonzero_weights, weights_total

DATA = splits()
DENSE = Training(epochs=1, rate=0.05, batch=32)
HALF = Fraction(1, 2)


def dense(name: str = "vgg16-bn") -> nn.Module:
    network = build(Network(name=name, width=0.0625), classes=3, seed=0)
    stages.dense(network, DATA, DENSE, seed=0)
    return network


def cut(network: nn.Module, method: FilterL1 | MagnitudeGlobal, apply: str, **given: object) -> Product:
    seen = cutting.evidence(DATA, method, seed=0, past=given.pop("past", Past()))
    total = weights_total(network)
    given = {"dense_weights": total, "ratio": HALF, **given}
    return cutting.cut(network, DATA, method, seen, apply=apply, **given)


def network_of(product: Product, name: str = "vgg16-bn") -> nn.Module:
    network = build(Network(name=name, width=0.0625), classes=3, seed=0)
    fit_shapes(network, dict(product.tensors))
    return network.eval()


def recovered(product: Product, *, epochs: int = 2, goes_on: bool = False) -> Product:
    recovery = Recovery(epochs=epochs, rate=0.05, batch=32, schedule="constant")
    network = network_of(product)
    total = weights_total(network)
    part = stages.Part(product, keeps_momentum=goes_on)
    made = stages.recover(network, DATA, recovery, part=part, dense=DENSE, dense_weights=total, seed=0)
    # As a plan does for the round after this one.
    return replace(made, record={**made.record, cutting.PAST: product.record[cutting.PAST]})


def sparsity(product: Product, total: int) -> float:
    return 1 - nonzero_weights(network_of(product)) / total


def test_removed_masked_and_zeroed_channels_are_one_network_before_recovery() -> None:
    method = FilterL1(ratio=0.5)
    made = {apply: cut(dense(), method, apply) for apply in ("remove", "mask", "zero")}
    losses = {apply: product.record["val_loss_before"] for apply, product in made.items()}
    assert losses["mask"] == pytest.approx(losses["remove"], rel=1e-4)
    assert losses["zero"] == pytest.approx(losses["remove"], rel=1e-4)
    sizes = {apply: weights_total(network_of(product)) for apply, product in made.items()}
    assert sizes["remove"] < sizes["mask"] == sizes["zero"]
    assert {product.record["ratio_achieved"] for product in made.values()} == {0.5}


def test_masked_channels_stay_at_zero_through_recovery() -> None:
    product = cut(dense(), FilterL1(ratio=0.5), "mask")
    after = recovered(product)
    for name, kept in product.mask.keep.items():
        assert after.tensors[name][~kept].count_nonzero() == 0, name
    assert sparsity(after, weights_total(network_of(product))) == pytest.approx(
        sparsity(product, weights_total(network_of(product))), abs=1e-3
    )


def test_zeroed_weights_grow_back_at_the_first_retraining() -> None:
    method = MagnitudeGlobal(ratio=0.5)
    total = weights_total(dense())
    zeroed, masked = (cut(dense(), method, apply) for apply in ("zero", "mask"))
    assert sparsity(zeroed, total) == sparsity(masked, total) == pytest.approx(0.5, abs=1e-4)
    assert sparsity(recovered(zeroed, epochs=1), total) < 0.05
    assert sparsity(recovered(masked, epochs=1), total) >= 0.5
    assert zeroed.mask.keep == {}


def test_a_zeroed_filter_behind_a_relu_gets_no_gradient() -> None:
    """Nothing holds it, and it stays all the same: its output is exactly zero, where a ReLU's slope is 0."""
    product = cut(dense(), FilterL1(ratio=0.5), "zero")
    total = weights_total(network_of(product))
    assert sparsity(recovered(product), total) == sparsity(product, total) > 0.3


def test_momentum_is_sliced_with_the_network_and_taken_up() -> None:
    first = recovered(cut(dense(), FilterL1(ratio=0.25), "remove", ratio=Fraction(1, 4)), goes_on=True)
    assert {name: tensor.shape for name, tensor in first.momentum.items()} == {
        name: parameter.shape for name, parameter in network_of(first).named_parameters()
    }
    past = cutting.past(first)
    second = cut(network_of(first), FilterL1(ratio=0.5), "remove", past=past, momentum=first.momentum)
    thin = network_of(second)
    for name, parameter in thin.named_parameters():
        momentum = second.momentum[name]
        assert momentum.shape == parameter.shape, name
        assert set(momentum.flatten().tolist()) <= set(first.momentum[name].flatten().tolist()), name
    assert second.record["ratio_achieved"] == pytest.approx(0.5, abs=0.01)
    # What was taken up decides the first step: without it another network comes out.
    bare = Product(second.tensors, second.mask, second.record)
    one, other = recovered(second, epochs=1), recovered(bare, epochs=1)
    assert any(not torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


def test_masked_momentum_is_zero_where_the_mask_is() -> None:
    first = recovered(cut(dense(), MagnitudeGlobal(ratio=0.25), "mask", ratio=Fraction(1, 4)), goes_on=True)
    second = cut(
        network_of(first),
        MagnitudeGlobal(ratio=0.5),
        "mask",
        past=cutting.past(first),
        mask=first.mask,
        momentum=first.momentum,
    )
    for name, kept in second.mask.keep.items():
        assert second.momentum[name][~kept].count_nonzero() == 0
        assert first.momentum[name][~kept].count_nonzero() > 0, "nothing new was cut: this tests nothing"
        assert not (kept & ~first.mask.keep[name]).any(), "a weight came back"


def test_distillation_pulls_towards_the_teacher() -> None:
    product = cut(dense(), FilterL1(ratio=0.5), "remove")
    teacher = dense()
    trained = {}
    for share in (0.0, 1.0):
        recovery = Recovery(epochs=3, rate=0.02, batch=32, distillation=share)
        network = network_of(product)
        settings = {"dense": DENSE, "dense_weights": 1, "seed": 0, "teacher": teacher if share else None}
        stages.recover(network, DATA, recovery, part=stages.Part(product), **settings)
        with torch.no_grad():
            images = normalised(DATA.train.images, DATA)
            trained[share] = float((network(images) - teacher(images)).square().mean())
    assert trained[1.0] < trained[0.0]


def test_more_images_than_there_are_is_refused_by_name() -> None:
    class Reads(FilterL1):
        images_read = 151

    with pytest.raises(ValueError, match="is to read 151 images, and the training part has 150"):
        cutting.evidence(DATA, Reads(ratio=0.5), seed=0, past=Past())


def test_evidence_is_a_smaller_share_of_a_larger_one_and_of_the_training_part() -> None:
    def read(count: int) -> cutting.Evidence:
        class Reads(FilterL1):
            images_read = count

        return cutting.evidence(DATA, Reads(ratio=0.5), seed=3, past=Past())

    few, many = read(5), read(20)
    assert torch.equal(few.images, many.images[:5])
    assert torch.equal(few.labels, many.labels[:5])
    assert len(read(0).images) == 1
