"""The stages of a trial, those of cutting apart: each a function from networks to a product; none knows the store.

``VERSIONS`` counts a stage's meaning: raise the number when a change to a stage changes its result, and results
stored by the old one are no longer found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from methods.core.penalties import Penalty, add_subgradient
from trial import gates
from trial.augmentation import normalised
from trial.cutting import CHECKED, drawn, examples
from trial.data import Splits
from trial.freezing import Trainable, everything, only
from trial.latency import torch_latency_ms
from trial.leaving import EndedEarly, Leaves, stays
from trial.measures import costs, measure
from trial.recovery import Recovery, distillation_loss, recalibrate
from trial.store import Product
from trial.training import Epoch, Training, evaluate, train

__all__ = [
    "CHECKED_LOSS",
    "VERSIONS",
    "Part",
    "costed",
    "dense",
    "finish",
    "recalibrated",
    "recover",
    "scratch",
    "sparsify",
    "timed",
]

VERSIONS = {
    "dense": 3,
    "sparsity": 3,
    "scores": 1,
    "cut": 5,
    "recalibration": 1,
    "recovery": 5,
    "scratch": 2,
    "costs": 1,
    "measure": 2,
    "latency": 1,
    "file_latency": 1,
    "export": 1,
    "quantise": 1,
}

OnEpoch = Callable[[Epoch], None]

CHECKED_LOSS = "checked_loss"
"""The entry of a record with the loss on a few images, as a training leaves the network and as it is measured."""


@dataclass(frozen=True)
class Part:
    """Which epochs of a training a stage runs, and what came before; as it stands, all of them."""

    before: Product = field(default_factory=lambda: Product({}))
    """What the training starts from, or what its first ``first`` epochs left: its mask and momentum are taken up."""
    first: int = 0
    last: int | None = None
    """The epoch after which to stop, None for the training's last."""
    keeps_momentum: bool = False
    """For whoever trains on."""
    on_epoch: OnEpoch | None = None
    leaves: Leaves = stays
    """Whether to end after the epoch that runs, with what is there by then."""

    def product(self, network: nn.Module, curve: list[Epoch], momentum: dict[str, Tensor], splits: Splits) -> Product:
        """What the training has left by now; its record has all epochs since the training's first."""
        earlier = self.before.record["curve"] if self.first else []
        record: dict[str, Any] = {"curve": [*earlier, *(vars(epoch) for epoch in curve)]}
        if record["curve"]:
            record[CHECKED_LOSS] = _checked_loss(network, splits)
        return Product(network.state_dict(), self.before.mask, record, momentum if self.keeps_momentum else {})


WHOLE = Part()


def dense(
    network: nn.Module,
    splits: Splits,
    training: Training,
    *,
    seed: int,
    part: Part = WHOLE,
    trainable: Trainable = everything,
) -> Product:
    """Train the unpruned network."""
    return _trained(network, splits, training, part, seed=seed, trainable=trainable)


def sparsify(
    network: nn.Module,
    splits: Splits,
    training: Training,
    penalty: Penalty,
    *,
    seed: int,
    part: Part = WHOLE,
    trainable: Trainable = everything,
) -> Product:
    """Train on with the penalty's subgradient added to the gradients of the batch-norm scales."""
    return _trained(
        network,
        splits,
        training,
        part,
        seed=seed,
        trainable=trainable,
        before_step=lambda: add_subgradient(network, penalty),
    )


def recalibrated(
    network: nn.Module, before: Product, splits: Splits, *, batches: int, batch: int, seed: int
) -> Product:
    """Take the batch norms' statistics anew, as `trial.recovery.recalibrate` says, and see what that gives."""
    recalibrate(network, splits, batches=batches, batch=batch, seed=seed)
    loss, accuracy = evaluate(network, splits.validation, splits)
    record = {"val_loss": loss, "val_accuracy": accuracy}
    return Product(network.state_dict(), before.mask, record, before.momentum)


def recover(
    network: nn.Module,
    splits: Splits,
    recovery: Recovery,
    *,
    part: Part,
    dense: Training,
    dense_weights: int,
    seed: int,
    teacher: nn.Module | None = None,
    trainable: Trainable = everything,
) -> Product:
    """Train the cut network, its masked weights held at zero.

    ``dense`` is the dense network's training, which some recoveries follow; ``teacher`` the dense network, where it
    teaches.
    """

    def loss_of(images: Tensor, logits: Tensor, cross_entropy: Tensor) -> Tensor:
        if teacher is None:
            return cross_entropy
        with torch.no_grad():
            taught = teacher(images)
        return (1 - recovery.distillation) * cross_entropy + recovery.distillation * distillation_loss(logits, taught)

    return _trained(
        network,
        splits,
        recovery.training(dense),
        part,
        seed=seed,
        trainable=trainable,
        loss_of=loss_of,
        dense_weights=dense_weights,
    )


def scratch(
    network: nn.Module, splits: Splits, training: Training, *, part: Part, dense_weights: int, seed: int
) -> Product:
    """Train an architecture whose weights were drawn anew, what is masked held at zero."""
    part.before.mask.zero_weights(network)
    return _trained(network, splits, training, part, seed=seed, trainable=everything, dense_weights=dense_weights)


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


def costed(network: nn.Module, splits: Splits, *, dense_weights: int) -> Product:
    """Take the measures of a cut network that recovery hardly changes, for whoever compares it before its end."""
    return Product({}, record=costs(network, splits, dense_weights=dense_weights))


def timed(network: nn.Module, splits: Splits) -> Product:
    """Time a forward pass of one image; whoever calls this has seen to it that nobody else works on the machine."""
    image = normalised(splits.validation.images[:1], splits)
    return Product({}, record={"torch_latency_ms": torch_latency_ms(network, image)})


def _trained(
    network: nn.Module,
    splits: Splits,
    training: Training,
    part: Part,
    *,
    seed: int,
    trainable: Trainable,
    **further: Any,
) -> Product:
    """Train a part of a training, what is masked held at zero; ``further`` is what `train` takes besides.

    Raises EndedEarly where the part's ``leaves`` ends it.
    """
    held, momentum = part.before.mask.on(network), dict(part.before.momentum)
    hooks = {"before_step": held.zero_gradients} | further
    with only(network, trainable):
        curve = train(
            network,
            splits,
            training,
            seed=seed,
            after_step=held.zero_weights,
            momentum=momentum,
            on_epoch=part.on_epoch,
            first=part.first,
            last=part.last,
            leaves=part.leaves,
            **hooks,
        )
    done = part.first + len(curve)
    if done < (training.epochs if part.last is None else part.last):
        # For whoever goes on elsewhere, and needs the momentum.
        raise EndedEarly(replace(part, keeps_momentum=True).product(network, curve, momentum, splits), done)
    return part.product(network, curve, momentum, splits)


def _checked_loss(network: nn.Module, splits: Splits) -> float:
    return evaluate(network, drawn(splits, min(CHECKED, len(splits.train)), seed=0), splits)[0]
