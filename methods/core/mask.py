"""Masks: units set to zero and kept at zero while training goes on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from methods.core.cut import Cut
from methods.core.units import dependencies, root_pruner

__all__ = ["HeldMask", "Mask"]


class Mask:
    """Which entries of a network's parameters stay; the others are held at exactly zero.

    ``keep`` maps a parameter's name to a boolean tensor of its shape; parameters that it does not name are
    free. Training holds it `on` its network, zeroing gradients before each step and weights after it: with a
    gradient of zero momentum never starts, and weight decay of zero is zero, so a cut entry cannot come back.
    """

    def __init__(self, keep: Mapping[str, Tensor]) -> None:
        self.keep = dict(keep)

    @classmethod
    def of_weights(cls, network: nn.Module, cut: Cut) -> Mask:
        """The mask of a cut's single weights."""
        keep = {}
        for layer, gone in cut.weights.items():
            weight = network.get_parameter(f"{layer}.weight")
            kept = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
            kept[gone.to(weight.device)] = False
            keep[f"{layer}.weight"] = kept.view(weight.shape)
        return cls(keep)

    @classmethod
    def of_channels(cls, network: nn.Module, cut: Cut, image: Tensor, *, readers: bool = True) -> Mask:
        """The mask of a cut's channels: everything that a channel owns, its norms and its readers' columns.

        Zeroing a filter alone would leave γ·(0−μ)/σ+β alive behind it. ``readers=False`` leaves the columns out.
        """
        names = {module: name for name, module in network.named_modules()}
        keep: dict[str, Tensor] = {}
        graph = dependencies(network, image)
        for layer, gone in cut.channels.items():
            root = network.get_submodule(layer)
            for dependency, indices in graph.get_pruning_group(root, root_pruner(root), idxs=gone.tolist()):
                module = dependency.target.module
                if module not in names:
                    continue
                rows = graph.is_out_channel_pruning_fn(dependency.handler)
                if not (rows or readers):
                    continue
                for name, parameter in module.named_parameters(prefix=names[module], recurse=False):
                    kept = keep.setdefault(name, torch.ones_like(parameter, dtype=torch.bool))
                    if rows or (parameter.dim() == 1 and not name.endswith(".bias")):
                        kept[indices] = False
                    elif parameter.dim() > 1:
                        kept[:, indices] = False
        return cls(keep)

    def merged(self, other: Mask) -> Mask:
        """Both masks at once: an entry stays where both keep it."""
        keep = dict(self.keep)
        for name, kept in other.keep.items():
            keep[name] = keep[name] & kept if name in keep else kept
        return Mask(keep)

    def on(self, network: nn.Module) -> HeldMask:
        """The mask made ready for one network, for whoever applies it at every step."""
        return HeldMask(network, self)

    def zero_weights(self, network: nn.Module) -> None:
        """Set the cut entries of the network's parameters to zero, in place."""
        self.on(network).zero_weights()

    def applied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors that belong to parameters, such as an optimiser's momentum, with the cut entries at zero."""
        return {name: tensor * self.keep[name] if name in self.keep else tensor for name, tensor in tensors.items()}


class HeldMask:
    """A mask on one network, its entries 0 and 1 of each parameter's own type and memory layout.

    As booleans in another layout they would take ten times as long, at every step.
    """

    def __init__(self, network: nn.Module, mask: Mask) -> None:
        self._parameters: list[Tensor] = [network.get_parameter(name) for name in mask.keep]
        self._factors = [
            torch.empty_like(parameter).copy_(kept)
            for parameter, kept in zip(self._parameters, mask.keep.values(), strict=True)
        ]

    def zero_weights(self) -> None:
        """Set the cut entries of the network's parameters to zero, in place."""
        if self._parameters:
            with torch.no_grad():
                torch._foreach_mul_(self._parameters, self._factors)

    def zero_gradients(self) -> None:
        """Set the cut entries of the network's gradients to zero, in place."""
        held = [
            (parameter.grad, factor)
            for parameter, factor in zip(self._parameters, self._factors, strict=True)
            if parameter.grad is not None
        ]
        if held:
            torch._foreach_mul_([gradient for gradient, _ in held], [factor for _, factor in held])
