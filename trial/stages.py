"""The stages of a trial, each a function from networks to a product; none knows the store.

``VERSIONS`` counts a stage's meaning: raise the number when a change to a stage changes its result, and results
stored by the old one are no longer found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from methods.core.cut import Cut
from methods.core.mask import Mask
from methods.core.method import Evidence, Method
from methods.core.penalties import Penalty, add_subgradient
from methods.core.removal import remove
from trial.augmentation import normalised
from trial.data import Splits
from trial.store import Product
from trial.training import Epoch, Training, evaluate, train

__all__ = ["VERSIONS", "RemovalDiffers", "cut", "dense", "recover", "sparsify"]

VERSIONS = {"dense": 1, "sparsity": 1, "cut": 1, "recovery": 1, "measure": 1}

TOLERANCE = 1e-4
"""How far logits of the thin network may lie from the masked one's, relative to the largest logit (float32)."""

OnEpoch = Callable[[Epoch], None]


class RemovalDiffers(RuntimeError):
    """The thinner network does not compute what the masked one computes: the cut was carried out wrongly."""


def dense(
    network: nn.Module, splits: Splits, training: Training, *, seed: int, on_epoch: OnEpoch | None = None
) -> Product:
    """Train the unpruned network."""
    curve = train(network, splits, training, seed=seed, on_epoch=on_epoch)
    return _product(network, curve)


def sparsify(network: nn.Module, splits: Splits, training: Training, penalty: Penalty, *, seed: int) -> Product:
    """Train on with the penalty's subgradient added to the gradients of the batch-norm scales."""
    curve = train(network, splits, training, seed=seed, before_step=lambda: add_subgradient(network, penalty))
    return _product(network, curve)


def cut(network: nn.Module, splits: Splits, method: Method, *, seed: int) -> Product:
    """Cut the network by the method: channels are removed, single weights masked.

    The record has the ratio achieved, and accuracy and loss before recovery. Raises RemovalDiffers where the
    thinner network computes something else than the masked one.
    """
    images = normalised(splits.train.images[:64], splits)
    chosen = method.cut(network, Evidence(images, splits.train.labels[:64], seed), ratio=method.target or 0.0)
    with torch.no_grad():
        for name, values in chosen.replaced.items():
            network.get_parameter(name).copy_(values)
    mask = Mask.of_weights(network, chosen)
    mask.zero_weights(network)
    thin, thin_mask = remove(network, chosen, images[:1], mask=mask)
    if chosen.channels:
        _check_removal(network, thin, chosen, images)
    loss, accuracy = evaluate(thin, splits.validation, splits)
    record = {
        "ratio_achieved": chosen.ratio,
        "units": chosen.units,
        "asked": chosen.asked,
        "floored": dict(chosen.floored),
        "val_loss_before": loss,
        "val_accuracy_before": accuracy,
    }
    return Product(thin.state_dict(), thin_mask, record)


def recover(network: nn.Module, mask: Mask, splits: Splits, training: Training, *, seed: int) -> Product:
    """Train the cut network, its masked weights held at zero."""
    curve = train(
        network,
        splits,
        training,
        seed=seed,
        before_step=lambda: mask.zero_gradients(network),
        after_step=lambda: mask.zero_weights(network),
    )
    return _product(network, curve, mask)


def _product(network: nn.Module, curve: list[Epoch], mask: Mask | None = None) -> Product:
    record: dict[str, Any] = {"curve": [vars(epoch) for epoch in curve], "epochs": len(curve)}
    return Product(network.state_dict(), mask or Mask({}), record)


def _check_removal(network: nn.Module, thin: nn.Module, chosen: Cut, images: Tensor) -> None:
    Mask.of_channels(network, chosen, images[:1]).zero_weights(network)
    with torch.inference_mode():
        masked, removed = network.eval()(images), thin.eval()(images)
    difference = (masked - removed).abs().max() / masked.abs().max().clamp_min(1e-12)
    if not difference <= TOLERANCE:
        raise RemovalDiffers(
            f"logits of the thin network differ from the masked one's by {difference:.1e} of the largest, "
            f"more than {TOLERANCE:.0e}"
        )
