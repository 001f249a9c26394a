"""Parameters that a training leaves as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["Trainable", "everything", "only"]

Trainable = Callable[[str], bool]
"""Says by its name whether a parameter may change; of a buffer, whether its layer may."""


def everything(name: str) -> bool:  # noqa: ARG001
    """Every parameter may change."""
    return True


@contextmanager
def only(network: nn.Module, trainable: Trainable) -> Iterator[None]:
    """Let a training inside the block change the parameters that are ``trainable``, and nothing else.

    The others ask for no gradient: `train` hands them to no optimiser, so that weight decay and momentum leave them
    too, and the backward pass ends where nothing below it trains. A frozen batch norm works by its running
    statistics, as in eval mode, and leaves them. Dropout goes on. Afterwards every parameter asks for gradients as
    it did: criteria need those of all weights.
    """
    frozen = [
        parameter for name, parameter in network.named_parameters() if parameter.requires_grad and not trainable(name)
    ]
    norms = [
        module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and not trainable(f"{name}.running_mean")
    ]
    # Just before it is run: the loop puts the whole network in training mode at every epoch.
    hooks = [norm.register_forward_pre_hook(_into_eval_mode) for norm in norms]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        for hook in hooks:
            hook.remove()


def _into_eval_mode(norm: nn.Module, given: tuple[Tensor, ...]) -> None:  # noqa: ARG001
    norm.eval()
