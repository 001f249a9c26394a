"""The weights that carry the smallest share of what their layer has left go."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.core.method import Evidence, WeightRanking
from methods.core.units import Layer

__all__ = ["Lamp"]


@dataclass(frozen=True, kw_only=True)
class Lamp(WeightRanking):
    """Cut the weights with the smallest layer-adaptive magnitude (LAMP), in one ranking over all layers.

    s_u = w_u² / Σ_{v at or after u} w_v², in order of |w| within the layer        [Lee 2021, §2]

    Needs no data. Ties of magnitude stand in order of position, so four equal weights score 1/4, 1/3, 1/2, 1. A
    weight of zero scores 0, also where the whole layer is zero; weights that earlier rounds cut count as zero and
    leave the others' scores as they are.
    """

    cost = "a sort of each layer's weights"

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:
        """The share of each weight, in float64, shape of ``layer.weight``."""
        weight = layer.weight
        sizes = (weight if weight.dtype == torch.float64 else weight.float()).abs().flatten().cpu().numpy()
        gone = evidence.past.weights.get(layer.name)
        if gone is not None:
            sizes[gone.cpu().numpy()] = 0
        order = _ascending(sizes)
        # Relative to the largest no square overflows. Adding up from the top keeps every digit of the small tails
        # that decide, and both parts of the quotient monotone: within a layer scores never contradict magnitudes.
        squares = sizes[order].astype(np.float64)
        squares /= max(sizes.max(), np.finfo(sizes.dtype).tiny)
        squares *= squares
        ahead = np.cumsum(squares[::-1])[::-1]
        shares = np.empty_like(squares)
        shares[order] = np.divide(squares, ahead, out=squares, where=ahead != 0)
        return torch.from_numpy(shares).view_as(weight)


def _ascending(sizes: np.ndarray) -> np.ndarray:
    """Positions in order of size, equal ones in order of position; shape (n,) of numbers ≥ 0."""
    if sizes.dtype != np.float32:
        return np.argsort(sizes, kind="stable")
    # Bits of numbers ≥ 0 are ordered as the numbers are. With the position behind them no two keys are equal, and
    # a plain sort of whole numbers takes a sixth of a stable argsort's time.
    keys = sizes.view(np.uint32).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(len(sizes), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
