"""How a network recovers from a cut: a training of its own, in which the dense network may teach."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trial.augmentation import normalised
from trial.data import Splits
from trial.numerics import autocast
from trial.schedules import Schedule
from trial.seeds import generator
from trial.training import Training

__all__ = ["TEMPERATURE", "Recovery", "distillation_loss", "recalibrate"]

TEMPERATURE = 4.0
"""Of the softened outputs in distillation [Hinton 2015, §3: 2.5 to 4 for small networks]."""


class Recovery(Training):
    """Training after a cut; in a spec ``recovery: none`` is no training at all.

    ``schedule: original`` trains with the rate and the schedule of dense training again [Renda 2020].
    """

    schedule: Annotated[
        Schedule | Literal["original"], Field(description="How the rate changes; original: as in dense training.")
    ] = "one-cycle"  # type: ignore[assignment]  # one more than any training knows
    distillation: Annotated[
        float, Field(ge=0, le=1, description="Share of the loss that compares with the dense network's outputs.")
    ] = 0.0
    recalibrate: Annotated[
        int, Field(ge=0, le=10_000, description="Training batches that batch-norm statistics are taken anew from.")
    ] = 0

    def training(self, dense: Training) -> Training:
        """The training to run, its schedule and rate settled."""
        settings = {name: getattr(self, name) for name in Training.model_fields}
        if self.schedule == "original":
            settings |= {"schedule": dense.schedule, "rate": dense.rate}
        return Training(**settings)


def distillation_loss(logits: Tensor, taught: Tensor) -> Tensor:
    """T²·KL(softmax(taught/T) ‖ softmax(logits/T)), the mean over a batch [Hinton 2015, §2].

    Args:
        logits: Of the network that learns, shape (N, classes).
        taught: Of the one that teaches, the same shape; no gradient flows into it.
    """
    own = functional.log_softmax(logits / TEMPERATURE, 1)
    others = functional.log_softmax(taught.detach() / TEMPERATURE, 1)
    return functional.kl_div(own, others, reduction="batchmean", log_target=True) * TEMPERATURE**2


def recalibrate(network: nn.Module, splits: Splits, *, batches: int, batch: int, seed: int) -> None:
    """Take every batch norm's running statistics anew, as plain means over training batches, in place.

    Args:
        network: On the device that holds the splits; left in eval mode, its parameters unchanged.
        splits: The training part is read without augmentation, in an order drawn by ``seed``.
        batches: How many batches; 0 changes nothing. There are never more than an epoch has.
        batch: Images in a batch.
        seed: Of the order.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if batches == 0 or not norms:
        return
    momenta = [norm.momentum for norm in norms]
    order = torch.randperm(len(splits.train), generator=generator(seed, "recalibrate")).to(splits.train.labels.device)
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    with torch.no_grad(), autocast(order.device):
        for start in range(0, min(batches * batch, len(order)), batch):
            chosen = order[start : start + batch]
            if len(chosen) > 1:
                network(normalised(splits.train.images[chosen], splits))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
