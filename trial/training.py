"""The training loop: images on the device, one permutation an epoch, nothing per image in Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from methods.core.modes import in_eval_mode
from trial.augmentation import draw, normalised, prepared
from trial.data import ImageSet, Splits
from trial.leaving import Leaves, stays
from trial.numerics import autocast
from trial.schedules import Schedule, rate_at
from trial.seeds import seeded
from trial.weights import nonzero_weights, weights_total

__all__ = ["Epoch", "Training", "TrainingDiverged", "evaluate", "train"]

CHECKED = 64
"""Steps after which losses are looked at: a GPU need not be waited for at each."""


class Training(BaseModel):
    """How a network is trained: SGD, its rate and what keeps it from overfitting."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: Annotated[int, Field(ge=0, description="Passes over the training images.")]
    rate: Annotated[float, Field(ge=1e-9, le=1e30, description="The highest learning rate.")] = 0.1
    schedule: Annotated[Schedule, Field(description="How the rate changes from step to step.")] = "one-cycle"
    batch: Annotated[int, Field(ge=2, description="Images per step.")] = 128
    momentum: Annotated[float, Field(ge=0, lt=1, description="Nesterov momentum; 0 is plain SGD.")] = 0.9
    weight_decay: Annotated[float, Field(ge=0, description="L2 penalty on every parameter.")] = 5e-4
    label_smoothing: Annotated[
        float, Field(ge=0, le=0.95, description="Share of the target that is spread evenly over the classes.")
    ] = 0.0
    clip: Annotated[
        float | None,
        Field(gt=0, description="The largest L2 norm of all gradients together; longer ones are scaled down to it."),
    ] = None
    augment: Annotated[bool, Field(description="Change training images as the data settings say.")] = True


@dataclass(frozen=True)
class Epoch:
    """What was seen in one epoch. Accuracies lie in [0, 1], losses are mean cross entropies in nats."""

    epoch: int
    """From 1."""
    train_loss: float
    """Of the augmented images and smoothed labels, while the weights were changing."""
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    sparsity: float
    """1 − nonzero weights / weights of the dense network, of convolutions and linear layers."""
    rate: float
    """Of the epoch's last step."""


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite."""


def _nothing() -> None:
    """Stand in for a hook that is not needed."""


def _cross_entropy(images: Tensor, logits: Tensor, cross_entropy: Tensor) -> Tensor:  # noqa: ARG001
    """Leave the loss as it is."""
    return cross_entropy


def train(
    network: nn.Module,
    splits: Splits,
    training: Training,
    *,
    seed: int,
    before_step: Callable[[], None] = _nothing,
    after_step: Callable[[], None] = _nothing,
    loss_of: Callable[[Tensor, Tensor, Tensor], Tensor] = _cross_entropy,
    momentum: dict[str, Tensor] | None = None,
    dense_weights: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    first: int = 0,
    last: int | None = None,
    leaves: Leaves = stays,
) -> list[Epoch]:
    """Train a network in place and leave it in eval mode.

    Passes are computed as `trial.numerics.computing` says; weights, gradients and momentum are float32.
    On a CPU the result is the same bits for the same seed, thread count and torch, whatever the state of torch's
    global generator, which is left as it was; and whether a training runs in one piece or in several, each going
    on with the network and the momentum that the one before left: all that an epoch draws is drawn by its number.

    Args:
        network: On the device that holds the splits.
        splits: The images; the last, smaller batch of an epoch is used, except if it is a single image, from which
            batch norm cannot take a variance.
        training: The settings; 0 epochs change nothing.
        seed: Of order and augmentation.
        before_step: Called after the gradients are there and before they are clipped and used.
        after_step: Called after the weights changed.
        loss_of: Makes the loss of a batch's normalised images, its logits (float32) and their cross entropy.
        momentum: The momentum of each parameter by its name; taken up at the start where there is any, and left
            here at the end.
        dense_weights: `weights_total` of the unpruned network, which sparsity is a share of; None where this is it.
        on_epoch: Called with each epoch as it ends; what it raises ends the training.
        first: Epochs that were done before, 0 ≤ first; rate, order and changes go on as if they had been done here.
        last: The number of the epoch after which to stop, first ≤ last ≤ ``training.epochs``, which the schedule is
            spread over; None runs all of them.
        leaves: Asked after each epoch; True ends the training there, as ``last`` would have.

    Raises:
        TrainingDiverged: A step's loss or the validation loss was NaN or infinite; looked at every 64 steps
            and at an epoch's end.
    """
    last = training.epochs if last is None else last
    assert 0 <= first <= last <= training.epochs
    parameters = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    optimiser = _optimiser(parameters, training, momentum or {})
    n, device = len(splits.train), splits.train.images.device
    batches = [slice(start, min(start + training.batch, n)) for start in range(0, n, training.batch)]
    batches = [batch for batch in batches if batch.stop - batch.start > 1]
    assert batches, "a training set has at least two images"
    steps = training.epochs * len(batches)
    epochs = []
    for epoch in range(first, last):
        with seeded(seed, "training", epoch, device=device):
            network.train()
            changes = draw(n, splits.augment if training.augment else (), seed=seed, epoch=epoch, device=device)
            labels = splits.train.labels[changes.order]
            losses = torch.empty(len(batches), device=device)
            correct = torch.zeros((), dtype=torch.int64, device=device)
            rate = training.rate
            for number, batch in enumerate(batches):
                rate = rate_at(training.schedule, epoch * len(batches) + number, steps=steps, rate=training.rate)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                images = prepared(splits, changes, batch)
                with autocast(device):
                    # In float32 from here on: a logit of bfloat16 has three digits.
                    logits = network(images).float()
                    smoothed = functional.cross_entropy(logits, labels[batch], label_smoothing=training.label_smoothing)
                    loss = loss_of(images, logits, smoothed)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                before_step()
                if training.clip is not None:
                    # After the hook, which adds a penalty's subgradient or zeroes what is masked: the bound is on the
                    # gradient that is used. Before the optimiser, which adds weight decay and momentum to it.
                    nn.utils.clip_grad_norm_(parameters.values(), training.clip)
                optimiser.step()
                after_step()
                losses[number] = loss.detach()
                correct += (logits.detach().argmax(1) == labels[batch]).sum()
                if (number + 1) % CHECKED == 0:
                    _check_finite(losses[: number + 1], of=len(batches), epoch=epoch + 1)
            _check_finite(losses, of=len(batches), epoch=epoch + 1)
            sizes = torch.tensor([batch.stop - batch.start for batch in batches], device=device)
            val_loss, val_accuracy = evaluate(network, splits.validation, splits)
            if not math.isfinite(val_loss):
                raise TrainingDiverged(
                    f"the validation loss was {val_loss} after epoch {epoch + 1}: a lower rate may help"
                )
            epochs.append(
                Epoch(
                    epoch=epoch + 1,
                    train_loss=float((losses.double() * sizes).sum() / sizes.sum()),
                    train_accuracy=int(correct) / int(sizes.sum()),
                    val_loss=val_loss,
                    val_accuracy=val_accuracy,
                    sparsity=1 - nonzero_weights(network) / max(1, dense_weights or weights_total(network)),
                    rate=rate,
                )
            )
        if on_epoch is not None:
            on_epoch(epochs[-1])
        if leaves():
            break
    if momentum is not None:
        states = {name: optimiser.state[parameter].get("momentum_buffer") for name, parameter in parameters.items()}
        momentum |= {name: buffer for name, buffer in states.items() if buffer is not None}
    network.eval()
    return epochs


def evaluate(network: nn.Module, images: ImageSet, splits: Splits, *, batch: int | None = None) -> tuple[float, float]:
    """Mean cross entropy in nats and accuracy in [0, 1], in eval mode; each module's own mode is restored.

    The pass is computed as `trial.numerics.computing` says, the loss in float32.

    Args:
        network: On the device that holds the images.
        images: At least one.
        splits: For the training part's mean and standard deviation.
        batch: Images at a time; None: 500 on a GPU, and 50 on a CPU, whose caches hold what lies between layers of so
            many, which is twice as fast.
    """
    device = images.images.device
    batch = batch or (500 if device.type == "cuda" else 50)
    total = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with in_eval_mode(network), torch.inference_mode(), autocast(device):
        for start in range(0, len(images), batch):
            labels = images.labels[start : start + batch]
            logits = network(normalised(images.images[start : start + batch], splits)).float()
            total += functional.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
    return float(total) / len(images), int(correct) / len(images)


def _optimiser(
    parameters: Mapping[str, nn.Parameter], training: Training, momentum: Mapping[str, Tensor]
) -> torch.optim.Optimizer:
    """SGD over all parameters in one pass, its momentum taken up where there is any."""
    optimiser = torch.optim.SGD(
        parameters.values(),
        lr=training.rate,
        momentum=training.momentum,
        nesterov=training.momentum > 0,
        weight_decay=training.weight_decay,
        fused=True,
    )
    for name, buffer in momentum.items():
        # In the parameter's own memory layout: the fused optimiser walks both as they lie.
        optimiser.state[parameters[name]]["momentum_buffer"] = torch.empty_like(parameters[name]).copy_(buffer)
    return optimiser


def _check_finite(losses: Tensor, *, of: int, epoch: int) -> None:
    finite = losses.isfinite()
    if not finite.all():
        step = int(finite.logical_not().int().argmax())
        raise TrainingDiverged(
            f"the loss was {float(losses[step])} at step {step + 1} of {of} in epoch {epoch}: a lower rate may help"
        )
