"""The filters whose weights have the smallest statistic go."""

from dataclasses import dataclass

from torch import Tensor

from methods.core.method import ChannelMethod, Evidence
from methods.core.statistics import Statistic, statistic
from methods.core.units import Layer

__all__ = ["Parameter"]


@dataclass(frozen=True, kw_only=True)
class Parameter(ChannelMethod):
    """Cut the filters with the smallest statistic of their weights.

    s_i = stat_{c,u,v} W[i, c, u, v], one ranking over all convolutions            [after Li 2017, §3.1]

    Needs no data. ``statistic`` is the mean, maximum or minimum of the weights or of their absolute values; the
    paper's sum is abs-mean times the number of weights, which one ranking over layers of several sizes divides
    out. Linear layers are left alone.
    """

    statistic: Statistic = "abs-mean"

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:  # noqa: ARG002
        """The statistic of each filter, float64, shape (out,)."""
        # In float64, so that filters of the same weights in another order tie.
        return statistic(layer.weight.double().flatten(1), self.statistic)
