"""The weights that pruning counts: those of convolutions and linear layers, without biases and batch norm."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

__all__ = ["counted_weights", "nonzero_weights", "weights_total"]


def counted_weights(network: nn.Module) -> Iterator[Tensor]:
    """The weight of each convolution and linear layer, in the order of the modules."""
    return (module.weight for module in network.modules() if isinstance(module, _ConvNd | nn.Linear))


def weights_total(network: nn.Module) -> int:
    """How many weights are stored."""
    return sum(weight.numel() for weight in counted_weights(network))


def nonzero_weights(network: nn.Module) -> int:
    """How many stored weights are not exactly zero; NaN counts as not zero."""
    counts = [torch.count_nonzero(weight) for weight in counted_weights(network)]
    # Summed before it is read, so that a GPU is waited for once.
    return int(torch.stack(counts).sum()) if counts else 0
