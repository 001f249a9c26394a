"""Channels physically removed: a thinner network that computes the same function as the masked one."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from methods.core.cut import Cut
from methods.core.mask import Mask
from methods.core.units import dependencies, root_pruner

__all__ = ["fit_shapes", "remove", "sliced"]


def remove(network: nn.Module, cut: Cut, image: Tensor, *, mask: Mask | None = None) -> tuple[nn.Module, Mask]:
    """Return a copy of the network without the cut's channels, and the mask cut down to its shapes.

    ``image`` is a batch of one, shape (1, C, H, W), to trace the network on. ``mask`` holds weights at zero in
    the network given; the mask returned holds those of them that remain. The network given is left as it was.
    """
    mask = mask or Mask({})
    thin = _without(network, cut, image)
    if not cut.channels:
        return thin, mask
    keep = sliced(network, cut, image, {name: kept.to(image.dtype) for name, kept in mask.keep.items()})
    return thin, Mask({name: kept != 0 for name, kept in keep.items()})


def sliced(network: nn.Module, cut: Cut, image: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cut tensors that belong to parameters, such as an optimiser's momentum, down to the thin network's shapes.

    ``tensors`` maps a parameter's name to a tensor of its shape in the network given.
    """
    if not tensors or not cut.channels:
        return dict(tensors)
    # The same removal on a network whose parameters are the tensors themselves slices them the same way.
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for name, tensor in tensors.items():
            twin.get_parameter(name).copy_(tensor)
    thin_twin = _without(twin, cut, image)
    return {name: thin_twin.get_parameter(name).detach() for name in tensors}


def fit_shapes(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Narrow the network's layers to the shapes of ``state`` and load it, in place.

    A thin network is its dense architecture plus tensors: the shapes say the widths. Raises ValueError where
    a tensor is missing, left over, or belongs to a layer of a type that cannot be narrowed.
    """
    own = network.state_dict()
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise ValueError(f"these tensors belong to another network: {', '.join(odd[:4])}")
    for name, module in network.named_modules():
        narrowed = {
            entry: tensor
            for entry, tensor in (
                *module.named_parameters(recurse=False),
                *module.named_buffers(recurse=False),
            )
            if tensor.shape != state[f"{name}.{entry}" if name else entry].shape
        }
        if not narrowed:
            continue
        for entry, tensor in narrowed.items():
            shape = state[f"{name}.{entry}"].shape
            fitted = tensor.detach().new_empty(shape)
            setattr(module, entry, nn.Parameter(fitted) if isinstance(tensor, nn.Parameter) else fitted)
        match module:
            case nn.Conv2d():
                grouped = module.groups > 1
                module.out_channels = module.weight.shape[0]
                module.in_channels = module.weight.shape[0] if grouped else module.weight.shape[1]
                module.groups = module.weight.shape[0] if grouped else 1
            case nn.Linear():
                module.out_features, module.in_features = module.weight.shape
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                module.num_features = len(module.weight)
            case _:
                raise ValueError(f"layer {name} is a {type(module).__name__}, which cannot be narrowed")
    network.load_state_dict(state)


def _without(network: nn.Module, cut: Cut, image: Tensor) -> nn.Module:
    thin = copy.deepcopy(network)
    graph = dependencies(thin, image)
    for layer, gone in cut.channels.items():
        root = thin.get_submodule(layer)
        graph.get_pruning_group(root, root_pruner(root), idxs=gone.tolist()).prune()
    for parameter in thin.parameters():
        parameter.grad = None
    return thin
