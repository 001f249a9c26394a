"""What relevance, combined and mixed read in images: every statistic of every convolution's relevance at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from methods.core.lrp import Propagation
from methods.core.method import BATCH, Evidence, Observation
from methods.core.statistics import Statistic, statistic
from methods.core.units import Layer, weighted_layers

__all__ = ["Aggregate", "Relevances", "relevance_of"]

Aggregate = Literal["sample", "map"]
"""The knob ``aggregate``: a statistic over the samples' relevances, or over the map of their mean."""


@dataclass(frozen=True, kw_only=True)
class Relevances:
    """Reads each channel's relevance at its convolution's output, R of shape (N, C, H, W), in one pass.

    ``sample``: the statistic over samples n of r_n = Σ_{h,w} R[n, c, h, w]; an absolute value is taken of each r_n.
    ``map``: the statistic over places of the mean over samples; an absolute value is taken of the mean.
    """

    images: int

    def observe(self, network: nn.Module, evidence: Evidence) -> Observation:
        """All statistics by convolution: float64 on the CPU, shape (2, 6, C), in the order of the two Literals.

        Raises ValueError where relevance cannot be followed through the network (see `Propagation`), and for NaN
        in a layer's weights, naming the layer: it would spread to every other layer's relevance.
        """
        for layer in weighted_layers(network):
            if layer.weight.isnan().any():
                raise ValueError(f"relevance cannot follow layer {layer.name}: there are NaN in its weights")
        propagation = Propagation(network)
        propagation.agrees(network, evidence.images[:1])
        samples: dict[str, list[Tensor]] = {}
        maps: dict[str, Tensor] = {}
        for batch in torch.split(evidence.images, BATCH):
            for name, relevance in propagation.relevances(batch).items():
                exact = relevance.double()
                samples.setdefault(name, []).append(exact.sum(2))
                maps[name] = maps.get(name, torch.zeros_like(exact[0])) + exact.sum(0)
        return {
            name: torch.stack(
                [
                    torch.stack([statistic(values, each) for each in get_args(Statistic)])
                    for values in (torch.cat(samples[name]).T, maps[name] / len(evidence.images))
                ]
            ).cpu()
            for name in samples
        }


def relevance_of(layer: Layer, evidence: Evidence, *, aggregate: Aggregate, named: Statistic) -> Tensor:
    """One statistic of a convolution's relevance from what `Relevances` saw, float64, shape (out,)."""
    assert evidence.seen is not None
    return evidence.seen[layer.name][get_args(Aggregate).index(aggregate), get_args(Statistic).index(named)]
