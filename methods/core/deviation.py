"""The rule of the methods that cut every weight below a multiple of a standard deviation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

import torch
from torch import Tensor

from methods.core.cut import Cut, select
from methods.core.knobs import Uniform
from methods.core.method import Evidence, WeightMethod

__all__ = ["DeviationRule", "deviation"]


@dataclass(frozen=True, kw_only=True)
class DeviationRule(WeightMethod):
    """A method that cuts the weights with |w| < q·σ; the ratio is an outcome.

    σ is taken of the weights that earlier rounds left: zeros held at zero would make it smaller each round. Each
    weight tensor keeps its largest weight, of equal ones the last.
    """

    q: Annotated[float, Uniform(0.1, 2.5, step=0.1)]

    @abstractmethod
    def deviations(self, survivors: Mapping[str, Tensor]) -> dict[str, float]:
        """σ for each layer, of its weights that earlier rounds left, shape (survivors,)."""

    def decide(self, network: torch.nn.Module, evidence: Evidence, *, ratio: float | Fraction) -> Cut:  # noqa: ARG002
        """Choose the weights below the threshold, and those that are gone already; ``asked`` counts both."""
        past = evidence.past.weights
        weights = {layer.name: layer.weight.flatten() for layer in self.layers(network)}
        stays = {name: _stays(each, past.get(name)) for name, each in weights.items()}
        sigma = self.deviations({name: each[stays[name]] for name, each in weights.items()})
        asked = 0
        goes: dict[str, Tensor] = {}
        floored: dict[str, int] = {}
        for name, each in weights.items():
            sizes = each.abs()
            below = (sizes.double() < self.q * sigma[name]) | ~stays[name]
            share = Fraction(int(below.sum()), len(below))
            gone, count, spared = select({name: sizes}, share, scope="layer", keep_min=1, gone=past)
            asked, goes, floored = asked + count, goes | gone, floored | spared
        return Cut(units=sum(map(len, weights.values())), asked=asked, weights=goes, floored=floored)


def deviation(weights: Sequence[Tensor]) -> float:
    """Population standard deviation of all values together, in float64; 0 of none, NaN where any is NaN."""
    values = torch.cat([torch.empty(0, dtype=torch.float64), *(each.double().cpu() for each in weights)])
    return values.std(correction=0).item() if len(values) else 0.0


def _stays(weights: Tensor, gone: Tensor | None) -> Tensor:
    """Which weights earlier rounds left, bool of the same shape (weights,)."""
    stays = torch.ones_like(weights, dtype=torch.bool)
    if gone is not None:
        stays[gone.to(weights.device)] = False
    return stays
