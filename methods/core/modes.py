"""A network's modes: evaluate for a moment and leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["in_eval_mode"]


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Put every module in eval mode inside the block; each gets its own mode back, whatever happens."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
