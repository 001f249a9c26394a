"""The channels whose absence would change the loss least, to first order, go."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.core.gradients import batch_gradients
from methods.core.method import ChannelMethod, Evidence, Images, Observation, Observer
from methods.core.units import Layer, channel_groups

__all__ = ["Taylor", "TaylorScores"]


@dataclass(frozen=True)
class TaylorScores:
    """Sees every convolution's finished scores, by the layer's name."""

    def observe(self, network: nn.Module, evidence: Evidence) -> Observation:
        """The mean over batches of the squared first-order change, float64, shape (out,) of each convolution."""
        groups = channel_groups(network, evidence.images[:1])
        layers = [layer for group in groups for layer in group.layers if not layer.is_linear]
        if not layers:
            return {}
        owned = [_parameters(layer) for layer in layers]
        squares = [torch.zeros(len(layer.weight), dtype=torch.float64, device=layer.weight.device) for layer in layers]
        batches = 0
        for _, gradients in batch_gradients(network, evidence, [each for owner in owned for each in owner]):
            batches += 1
            taken = iter(gradients)
            for square, owner in zip(squares, owned, strict=True):
                square += torch.stack([_change(parameter, next(taken)) for parameter in owner]).sum(0).square()
        return {layer.name: square / batches for layer, square in zip(layers, squares, strict=True)}


@dataclass(frozen=True, kw_only=True)
class Taylor(ChannelMethod):
    """Cut the channels whose absence changes the loss least to first order, in one ranking over convolutions.

    s_i = mean over batches of (γ_i·∂L/∂γ_i + β_i·∂L/∂β_i)²                        [Molchanov 2019, §3]

    Where the layer has no batch norm with scales of its own, it is (Σ_{c,u,v} W[i, c, u, v]·∂L/∂W[i, c, u, v])²: the
    scales of a norm that reads a concatenation, or of one of two that read the layer, are a part of the channel only.
    L is the mean cross-entropy of a batch of 64 images; a last batch of fewer counts as much as the others. Linear
    layers are left alone. Departs from the paper in reading a trained network in eval mode, all channels cut at
    once, where it averages over steps of training and cuts some channels after each few; and in β, which its gate
    behind the batch norm implies.
    """

    needs = frozenset({"images", "gradients"})
    cost = "one forward and one backward pass over the images"

    images: Images = 256

    @property
    def observer(self) -> Observer:
        """The scores; ratios share them."""
        return TaylorScores()

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:
        """What the observer saw, shape (out,)."""
        assert evidence.seen is not None
        return evidence.seen[layer.name]


def _parameters(layer: Layer) -> list[Tensor]:
    """γ and β of the layer's own batch norm, W where it has none with scales."""
    norm = layer.norm
    return [norm.weight, norm.bias] if norm is not None and norm.affine else [layer.module.weight]


def _change(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The sum of parameter times gradient over everything of a channel, float64, shape (out,)."""
    return (parameter.detach().double() * gradient.double()).reshape(len(parameter), -1).sum(1)
