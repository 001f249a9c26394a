"""The filters with the smallest L1 norm go."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from methods.core.method import ChannelMethod, Evidence
from methods.core.units import Layer

__all__ = ["FilterL1"]


@dataclass(frozen=True, kw_only=True)
class FilterL1(ChannelMethod):
    """Cut the filters with the smallest L1 norm.

    s_i = Σ_{c,u,v} |W[i, c, u, v]|                                               [Li 2017, §3.1]

    Needs no data. Departs from the paper in nothing; with ``scope="global"`` norms are divided by the number
    of weights in a filter, so that wide layers do not always win. ``linear`` says what becomes of hidden
    linear layers: neurons ranked by the same norm, single weights cut by magnitude at the same ratio, or
    nothing.
    """

    scope: Literal["layer", "global"] = "layer"
    linear: Literal["channel", "magnitude", "leave"] = "channel"

    @property
    def ranking(self) -> Literal["layer", "global"]:
        """The scope knob."""
        return self.scope

    @property
    def linear_units(self) -> Literal["channel", "magnitude", "leave"]:
        """The linear knob."""
        return self.linear

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:  # noqa: ARG002
        """One norm per output channel, float64, shape (out,); the mean instead of the sum where scope is global."""
        # In float64, so that filters of the same weights in another order tie.
        sizes = layer.weight.double().abs().flatten(1)
        return sizes.mean(1) if self.scope == "global" else sizes.sum(1)
