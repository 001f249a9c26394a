"""Which layers read the channels of a group, and in which of their input columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.core.units import WEIGHTED, ChannelGroup, dependencies, root_pruner

__all__ = ["Reader", "readers"]


@dataclass(frozen=True)
class Reader:
    """A layer whose input holds a group's channels.

    ``columns``: the positions along dimension 1 of its weight that belong to each channel, shape (channels,
    columns of a channel); several columns of a channel where a flatten or a repeated concatenation makes them so.
    """

    name: str
    columns: Tensor


def readers(network: nn.Module, groups: Iterable[ChannelGroup], image: Tensor) -> dict[str, list[Reader]]:
    """The readers of each group by its name; ``image`` is a batch of one, shape (1, C, H, W), to trace on.

    A depthwise convolution passes its channels on: it is a member of the group, not a reader. Raises ValueError
    for another grouped convolution as a reader: a channel is a column of some of its outputs only.
    """
    graph = dependencies(network, image)
    names = {module: name for name, module in network.named_modules()}
    found = {}
    for group in groups:
        columns: dict[nn.Module, list[tuple[int, int]]] = {}
        root = network.get_submodule(group.name)
        for item in graph.get_pruning_group(root, root_pruner(root), idxs=list(range(group.size))):
            module = item.dep.target.module
            if isinstance(module, WEIGHTED) and not graph.is_out_channel_pruning_fn(item.dep.handler):
                columns.setdefault(module, []).extend(zip(item.root_idxs, item.idxs, strict=True))
        for module in columns:
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                raise ValueError(
                    f"{names[module]}, which reads the channels of {group.name}, is a convolution in "
                    f"{module.groups} groups: only ordinary convolutions and linear layers can be reconstructed"
                )
        found[group.name] = [
            Reader(names[module], torch.tensor([column for _, column in sorted(pairs)]).view(group.size, -1))
            for module, pairs in columns.items()
        ]
    return found
