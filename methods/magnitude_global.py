"""The smallest weights of the whole network go, whatever their layer."""

from dataclasses import dataclass

from torch import Tensor

from methods.core.method import Evidence, WeightRanking
from methods.core.units import Layer

__all__ = ["MagnitudeGlobal"]


@dataclass(frozen=True, kw_only=True)
class MagnitudeGlobal(WeightRanking):
    """Cut the weights of smallest magnitude, in one ranking over all layers.

    s_u = |w_u|                                                                   [Han 2015, §3]

    Needs no data. The paper sets a threshold per layer by hand; one ranking over all layers is what is
    compared with it everywhere since [Blalock 2020].
    """

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:  # noqa: ARG002
        """|w| of every weight."""
        return layer.weight.abs()
