"""What a law compares: the whole of a network's state, and a cut as plain numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from methods.core.cut import Cut
from methods.core.mask import Mask
from methods.core.removal import remove

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def state(network: nn.Module) -> dict[str, Any]:
    """Everything that a cut must leave as it was: bits, modes, gradients, hooks, and the global random stream."""
    return {
        "tensors": {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()},
        "modes": [module.training for module in network.modules()],
        "hooks": [len(getattr(module, hooks)) for module in network.modules() for hooks in HOOKS],
        "tensor hooks": [len(parameter._backward_hooks or ()) for parameter in network.parameters()],
        "asks for gradients": [parameter.requires_grad for parameter in network.parameters()],
        "has gradients": [parameter.grad is not None for parameter in network.parameters()],
        "attributes": [sorted(vars(module)) for module in network.modules()],
        "random": torch.get_rng_state().tolist(),
        "follows gradients": torch.is_grad_enabled(),
    }


def removal_difference(network: nn.Module, cut: Cut, images: Tensor) -> float:
    """How far the thin network's logits lie from the masked one's, relative to the largest; masks the network."""
    network.load_state_dict({**network.state_dict(), **cut.replaced})
    mask = Mask.of_weights(network, cut)
    mask.zero_weights(network)
    thin, _ = remove(network, cut, images[:1], mask=mask)
    Mask.of_channels(network, cut, images[:1]).zero_weights(network)
    with torch.no_grad():
        masked, removed = network(images), thin(images)
    return float((masked - removed).abs().max() / masked.abs().max())


def plain(cut: Cut) -> dict[str, Any]:
    """The cut as numbers and lists, to be compared with ==."""
    return {
        "units": cut.units,
        "asked": cut.asked,
        "removed": cut.removed,
        "channels": {layer: gone.tolist() for layer, gone in cut.channels.items()},
        "weights": {layer: gone.tolist() for layer, gone in cut.weights.items()},
        "replaced": {name: values.tolist() for name, values in cut.replaced.items()},
        "floored": dict(cut.floored),
    }


def units(cut: Cut) -> set[tuple[str, str, int]]:
    """The units that go, as a set."""
    return {
        (kind, layer, place)
        for kind, gone in (("channel", cut.channels), ("weight", cut.weights))
        for layer, places in gone.items()
        for place in places.tolist()
    }
