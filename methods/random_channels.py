"""Channels drawn at random go: the control that every criterion has to beat."""

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.core.method import ChannelMethod, Evidence
from methods.core.streams import stream_seed
from methods.core.units import ChannelGroup, Layer

__all__ = ["RandomChannels"]


@dataclass(frozen=True, kw_only=True)
class RandomChannels(ChannelMethod):
    """Cut channels uniformly at random over all convolutions, by seed.

    s_i ~ U(0, 1), one ranking over all convolutions                              [control; Mittal 2018]

    Needs no data. A larger ratio cuts a superset of a smaller one's channels, also in a later round that holds the
    earlier ones' at zero. Where they were removed the survivors are drawn for anew: every set of as many is as likely.
    """

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:
        """One draw per output channel, shape (out,), from a stream of the layer's own.

        A stream per layer keeps the draws of a layer the same whatever other layers the network has, and one per
        count of what is removed already keeps rounds apart.
        """
        # The same stream again would give the survivors, renumbered, the draws of those that went. All layers change
        # it together: one that lost nothing has high draws, and would lose too little again.
        removed = sum(evidence.past.lost.values())
        names = (layer.name, str(removed)) if removed else (layer.name,)
        stream = torch.Generator().manual_seed(stream_seed(evidence.seed, *names))
        return torch.rand(layer.weight.shape[0], generator=stream, dtype=torch.float64)

    def group_scores(self, group: ChannelGroup, evidence: Evidence) -> Tensor:
        """The root's draws: means of several would crowd around ½, and coupled channels would rarely go."""
        return self.scores(group.layers[0], evidence)
