"""The stages of a trial, those of cutting apart: each a function from networks to a product; none knows the store.

``VERSIONS`` counts a stage's meaning: raise the number when a change to a stage changes its result, and results
stored by the old one are no longer found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from methods.core.mask import Mask
from methods.core.penalties import Penalty, add_subgradient
from trial import gates
from trial.augmentation import normalised
from trial.cutting import CHECKED, drawn, examples
from trial.data import Splits
from trial.freezing import Trainable, everything, only
from trial.latency import torch_latency_ms
from trial.measures import measure
from trial.recovery import Recovery, distillation_loss, recalibrate
from trial.store import Product
from trial.training import Epoch, Training, evaluate, train

__all__ = [
    "CHECKED_LOSS",
    "VERSIONS",
    "dense",
    "finish",
    "recover",
    "scratch",
    "sparsify",
    "timed",
]

VERSIONS = {
    "dense": 3,
    "sparsity": 3,
    "scores": 1,
    "cut": 4,
    "recovery": 4,
    "scratch": 2,
    "measure": 2,
    "latency": 1,
}

OnEpoch = Callable[[Epoch], None]

CHECKED_LOSS = "checked_loss"
"""The entry of a record with the loss on a few images, as a training leaves the network and as it is measured."""


def dense(
    network: nn.Module,
    splits: Splits,
    training: Training,
    *,
    seed: int,
    trainable: Trainable = everything,
    on_epoch: OnEpoch | None = None,
) -> Product:
    """Train the unpruned network."""
    with only(network, trainable):
        return _product(network, train(network, splits, training, seed=seed, on_epoch=on_epoch), splits)


def sparsify(
    network: nn.Module,
    splits: Splits,
    training: Training,
    penalty: Penalty,
    *,
    seed: int,
    trainable: Trainable = everything,
) -> Product:
    """Train on with the penalty's subgradient added to the gradients of the batch-norm scales."""
    with only(network, trainable):
        curve = train(network, splits, training, seed=seed, before_step=lambda: add_subgradient(network, penalty))
    return _product(network, curve, splits)


def recover(
    network: nn.Module,
    before: Product,
    splits: Splits,
    recovery: Recovery,
    *,
    dense: Training,
    dense_weights: int,
    seed: int,
    teacher: nn.Module | None = None,
    first: int = 0,
    last: int | None = None,
    goes_on: bool = False,
    trainable: Trainable = everything,
) -> Product:
    """Train the cut network, its masked weights held at zero.

    ``before`` is what the network was made from: its cut, or this recovery's first ``first`` epochs; ``last`` is the
    epoch to stop after, None the recovery's last. ``dense`` is the dense network's training, which some recoveries
    follow; ``teacher`` the dense network, where it teaches. ``goes_on`` keeps the momentum, for whoever trains on.
    """
    training = recovery.training(dense)
    if first == 0:
        recalibrate(network, splits, batches=recovery.recalibrate, batch=training.batch, seed=seed)

    def loss_of(images: Tensor, logits: Tensor, cross_entropy: Tensor) -> Tensor:
        if teacher is None:
            return cross_entropy
        with torch.no_grad():
            taught = teacher(images)
        return (1 - recovery.distillation) * cross_entropy + recovery.distillation * distillation_loss(logits, taught)

    momentum = dict(before.momentum)
    with only(network, trainable):
        curve = train(
            network,
            splits,
            training,
            seed=seed,
            loss_of=loss_of,
            before_step=lambda: before.mask.zero_gradients(network),
            after_step=lambda: before.mask.zero_weights(network),
            momentum=momentum,
            dense_weights=dense_weights,
            first=first,
            last=last,
        )
    return replace(_product(network, curve, splits, before.mask), momentum=momentum if goes_on else {})


def scratch(
    network: nn.Module, mask: Mask, splits: Splits, training: Training, *, dense_weights: int, seed: int
) -> Product:
    """Train an architecture whose weights were drawn anew, what is masked held at zero."""
    mask.zero_weights(network)
    curve = train(
        network,
        splits,
        training,
        seed=seed,
        before_step=lambda: mask.zero_gradients(network),
        after_step=lambda: mask.zero_weights(network),
        dense_weights=dense_weights,
    )
    return _product(network, curve, splits, mask)


def finish(
    network: nn.Module,
    product: Product,
    splits: Splits,
    *,
    again: Callable[[Product], nn.Module],
    dense_weights: int,
    seed: int,
) -> Product:
    """Take the measures of a trial's last network, once it is known to be whole.

    A trained network was validated at the end of its last epoch, and is not again: on CIFAR-10 that would cost a
    trial of four epochs one percent.

    Args:
        network: The one to measure, which ``again`` made of the product.
        product: What its last stage left.
        splits: The images.
        again: Builds a network of a product's widths and loads its tensors.
        dense_weights: `weights_total` of the unpruned network.
        seed: Of the images on which logits are compared.

    Raises:
        GateFailed: A layer is empty, a weight is NaN, or the network does not load back as it was.
    """
    gates.no_layer_is_empty(network, product.mask)
    gates.finite_network(network)

    def loaded() -> nn.Module:
        return again(Product.from_bytes(Product(network.state_dict()).to_bytes(), {}))

    gates.loads_back(network, loaded, examples(splits, seed=seed))
    validated = (curve[-1]["val_loss"], curve[-1]["val_accuracy"]) if (curve := product.record.get("curve")) else None
    record = measure(network, splits, dense_weights=dense_weights, validated=validated)
    return Product({}, record=record | {CHECKED_LOSS: _checked_loss(network, splits)})


def timed(network: nn.Module, splits: Splits) -> Product:
    """Time a forward pass of one image; whoever calls this has seen to it that nobody else works on the machine."""
    image = normalised(splits.validation.images[:1], splits)
    return Product({}, record={"torch_latency_ms": torch_latency_ms(network, image)})


def _product(network: nn.Module, curve: list[Epoch], splits: Splits, mask: Mask | None = None) -> Product:
    record: dict[str, Any] = {"curve": [vars(epoch) for epoch in curve], "epochs": len(curve)}
    if curve:
        record[CHECKED_LOSS] = _checked_loss(network, splits)
    return Product(network.state_dict(), mask or Mask({}), record)


def _checked_loss(network: nn.Module, splits: Splits) -> float:
    return evaluate(network, drawn(splits, min(CHECKED, len(splits.train)), seed=0), splits)[0]
