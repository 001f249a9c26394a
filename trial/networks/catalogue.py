"""The networks that prunefront brings, and the widths and first weights they share."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from trial.registry import Registry

__all__ = ["NETWORKS", "Builder", "has_scales", "initialise", "register", "scaled", "start_scales"]


class Builder(Protocol):
    """A function that builds a network for 3×32×32 images."""

    def __call__(self, *, classes: int, width: float) -> nn.Module:
        """Build it; the weights may be drawn from torch's global generator, which `build` seeds."""
        ...


NETWORKS: Registry[Builder] = Registry("trial.networks", noun="network")
register = NETWORKS.register


def scaled(channels: int, width: float) -> int:
    """Channels of a convolution at a width factor: max(1, round(width · channels)), halves to even.

    >>> [scaled(64, 1.0), scaled(64, 0.25), scaled(5, 0.5), scaled(3, 0.1)]
    [64, 16, 2, 1]
    """
    return max(1, round(width * channels))


def initialise(network: nn.Module) -> None:
    """Draw first weights: N(0, 2/(kh·kw·out)) for convolutions [He 2015, eq. 14], biases 0.

    Batch norm starts at scale 1 and shift 0. Linear layers keep torch's own, U(−1/√in, 1/√in).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def start_scales(network: nn.Module, value: float) -> None:
    """Set every batch-norm scale to its first value, in place."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, value)


def has_scales(name: str) -> bool:
    """Whether one of our networks has batch norm."""
    # A narrow network has what a wide one has. The first use of torch's meta device takes seconds.
    with torch.random.fork_rng(devices=[]):
        network = NETWORKS[name](classes=2, width=1 / 64)
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
