"""The weights that are small beside the spread of their own layer go."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from methods.core.deviation import DeviationRule, deviation

__all__ = ["MagnitudeLayerStd"]


@dataclass(frozen=True, kw_only=True)
class MagnitudeLayerStd(DeviationRule):
    """Cut the weights below a multiple of their layer's standard deviation.

    |w_u| < q·σ(layer), σ the population standard deviation                        [Han 2015, §4.1]

    Needs no data; how much goes is an outcome. In a later round σ is taken of the weights that survived. Departs
    from the paper in one q for all layers, where it tunes them, and in leaving each weight tensor its largest
    weight.
    """

    def deviations(self, survivors: Mapping[str, Tensor]) -> dict[str, float]:
        """Each layer's own σ."""
        return {name: deviation([weights]) for name, weights in survivors.items()}
