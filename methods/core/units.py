"""The weights and channels of a network, and which channels are coupled.

Coupling comes from Torch-Pruning's dependency graph: channels that a residual addition or a concatenation ties
together go together, and one group stands for them. Layers whose channels the network gives out are never cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn

from methods.core.modes import in_eval_mode

__all__ = [
    "ChannelGroup",
    "Layer",
    "channel_groups",
    "dependencies",
    "output_layer",
    "root_pruner",
    "traced_once",
    "weighted_layers",
]

WEIGHTED = (nn.Conv2d, nn.Linear)
_found: ContextVar[dict[nn.Module, list[ChannelGroup]] | None] = ContextVar("_found", default=None)


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer as a method sees it.

    ``norm`` is the layer's own batch norm: the only one that reads its output, which nothing else reads either. A
    norm in front of the next convolution, where an addition or a concatenation also reads the output, is no layer's.
    """

    name: str
    module: nn.Conv2d | nn.Linear
    norm: nn.BatchNorm2d | None = None

    @property
    def weight(self) -> Tensor:
        """W, shape (out, in, kh, kw) or (out, in), detached."""
        return self.module.weight.detach()

    @property
    def is_linear(self) -> bool:
        """Whether the layer is a linear one."""
        return isinstance(self.module, nn.Linear)


@dataclass(frozen=True)
class ChannelGroup:
    """Layers whose output channels go together.

    ``layers[0]`` gives the group its name and is the root that removal starts from. Channel i of the root is
    channel ``places[m][i]`` of ``layers[m]``: i itself, except where a concatenation stands between them.
    """

    layers: tuple[Layer, ...]
    places: tuple[Tensor, ...]

    @property
    def name(self) -> str:
        """The root layer's name."""
        return self.layers[0].name

    @property
    def size(self) -> int:
        """How many channels there are to cut."""
        return int(self.layers[0].weight.shape[0])


def weighted_layers(network: nn.Module) -> Iterator[Layer]:
    """Every convolution and linear layer, in the order of the network's modules."""
    for name, module in network.named_modules():
        if isinstance(module, WEIGHTED):
            yield Layer(name, module)


def output_layer(network: nn.Module, image: Tensor) -> str:
    """The name of the layer that gives the logits: the last weighted one that a forward pass runs through.

    ``image`` is a batch of one, shape (1, C, H, W).
    """
    order: list[str] = []
    hooks = [
        layer.module.register_forward_hook(lambda *_, name=layer.name: order.append(name))
        for layer in weighted_layers(network)
    ]
    try:
        with in_eval_mode(network), torch.no_grad():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    if not order:
        raise ValueError("the network runs through no convolution and no linear layer: there is nothing to cut")
    return order[-1]


def dependencies(network: nn.Module, image: Tensor) -> Any:
    """Torch-Pruning's dependency graph of the network, traced on one image, shape (1, C, H, W)."""
    needed_gradient = {parameter: parameter.requires_grad for parameter in network.parameters()}
    try:
        # The tracer follows gradients, so parameters must ask for them while it runs.
        network.requires_grad_(True)
        with in_eval_mode(network), torch.enable_grad():
            return tp.DependencyGraph().build_dependency(network, example_inputs=image)
    finally:
        for parameter, needed in needed_gradient.items():
            parameter.requires_grad_(needed)


@contextmanager
def traced_once() -> Iterator[None]:
    """Inside the block the channel groups of a network are found once, however often they are asked for.

    What is in the block leaves networks as they are, and shows them images of one shape. Tracing is most of what a cut
    by weights takes.
    """
    if _found.get() is not None:
        yield
        return
    outside = _found.set({})
    try:
        yield
    finally:
        _found.reset(outside)


def channel_groups(network: nn.Module, image: Tensor) -> list[ChannelGroup]:
    """The network's groups of coupled channels, in the order of their root layers.

    Channels that the network gives out as logits, or as a part of them, and whatever is coupled with them, are left
    out, and so are layers that a forward pass does not run through or whose output it does not use. A layer that is
    added to a concatenation is no root: the concatenated layers' groups share its channels out.
    """
    found = _found.get()
    if found is None:
        return _groups(network, image)
    if network not in found:
        found[network] = _groups(network, image)
    return list(found[network])


def _groups(network: nn.Module, image: Tensor) -> list[ChannelGroup]:
    graph = dependencies(network, image)
    names = {module: name for name, module in network.named_modules()}
    output = output_layer(network, image)
    seen: set[str] = set()
    groups = []
    for layer in weighted_layers(network):
        if layer.name in seen or layer.module not in graph.module2node:
            continue
        members, norms, given_out = _coupled(graph, layer.module)
        if any(module.weight.shape[0] < layer.weight.shape[0] for module in members):
            continue
        coupled = [names[module] for module in members]
        seen.update(coupled)
        if given_out or output in coupled:
            continue
        layers = (Layer(names[module], module, norms.get(module)) for module in members)
        groups.append(ChannelGroup(tuple(layers), tuple(members.values())))
    return groups


def root_pruner(layer: nn.Module) -> Any:
    """Torch-Pruning's function that removes output channels of a layer of this type."""
    return tp.prune_linear_out_channels if isinstance(layer, nn.Linear) else tp.prune_conv_out_channels


def _coupled(
    graph: Any, root: nn.Conv2d | nn.Linear
) -> tuple[dict[nn.Conv2d | nn.Linear, Tensor], dict[nn.Module, nn.BatchNorm2d], bool]:
    """The layers whose output channels go with the root's, root first, at which places, and each one's own norm.

    And whether the network's output has these channels.
    """
    members: dict[nn.Conv2d | nn.Linear, Tensor] = {}
    norms: dict[nn.Module, nn.BatchNorm2d] = {}
    given_out = False
    for item in graph.get_pruning_group(root, root_pruner(root), idxs=list(range(root.weight.shape[0]))):
        node = item.dep.target
        module = node.module
        is_out = graph.is_out_channel_pruning_fn(item.dep.handler)
        # Nothing reads the graph's last node; a layer there gives its outputs out, not what it reads.
        given_out |= not node.outputs and (is_out or not isinstance(module, WEIGHTED))
        if isinstance(module, WEIGHTED) and is_out:
            places = [place for _, place in sorted(zip(item.root_idxs, item.idxs, strict=True))]
            members.setdefault(module, torch.tensor(places))
        elif isinstance(module, nn.BatchNorm2d):
            norms |= {
                each.module: module
                for each in node.inputs
                if isinstance(each.module, WEIGHTED) and all(reader is node for reader in each.outputs)
            }
    return members, norms, given_out
