"""Gradients of the mean cross-entropy over images, for criteria that read them; the network is left as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from methods.core.method import BATCH, Evidence
from methods.core.modes import in_eval_mode

__all__ = ["batch_gradients", "mean_gradients"]


def batch_gradients(
    network: nn.Module, evidence: Evidence, parameters: Sequence[Tensor]
) -> Iterator[tuple[int, list[Tensor]]]:
    """For each batch its size and the gradients of its mean loss, detached, in the parameters' order and shapes.

    A parameter that the loss does not depend on has a gradient of zeros. The network is in eval mode while it is
    looked at, and as it was between batches. Raises ValueError where a parameter or the loss is NaN.
    """
    for name, parameter in network.named_parameters():
        if parameter.isnan().any():
            raise ValueError(f"{name} holds NaN: the loss has no gradient")
    batches = zip(torch.split(evidence.images, BATCH), torch.split(evidence.labels, BATCH), strict=True)
    for images, labels in batches:
        with in_eval_mode(network), _asking_for_gradients(network, parameters), torch.enable_grad():
            loss = nn.functional.cross_entropy(network(images), labels)
            if loss.isnan():
                raise ValueError("the loss on the images is NaN: it has no gradient")
            made = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        yield len(images), [gradient.detach() for gradient in made]


def mean_gradients(network: nn.Module, evidence: Evidence, parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of the mean loss over all images: those of the batches, each by its share of the images."""
    sums = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
    for size, gradients in batch_gradients(network, evidence, parameters):
        for total, gradient in zip(sums, gradients, strict=True):
            total.add_(gradient, alpha=size / len(evidence.images))
    return sums


@contextmanager
def _asking_for_gradients(network: nn.Module, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block these parameters ask for gradients and no others do."""
    asked = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    wanted = set(map(id, parameters))
    try:
        for parameter, _ in asked:
            parameter.requires_grad_(id(parameter) in wanted)
        yield
    finally:
        for parameter, before in asked:
            parameter.requires_grad_(before)
