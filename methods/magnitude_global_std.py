"""The weights that are small beside the spread of all weights go."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from methods.core.deviation import DeviationRule, deviation

__all__ = ["MagnitudeGlobalStd"]


@dataclass(frozen=True, kw_only=True)
class MagnitudeGlobalStd(DeviationRule):
    """Cut the weights below a multiple of the standard deviation of all weights.

    |w_u| < q·σ(all weights together), σ the population standard deviation         [after Han 2015, §4.1]

    Needs no data; how much goes is an outcome. The paper's σ is the layer's; with one for all layers, layers of
    small weights lose more. σ is of the layers that are ranked, in a later round of the weights that survived.
    Each weight tensor keeps its largest weight.
    """

    def deviations(self, survivors: Mapping[str, Tensor]) -> dict[str, float]:
        """One σ for every layer."""
        return dict.fromkeys(survivors, deviation(list(survivors.values())))
