"""The filters that the others of their layer can best stand in for go."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from methods.core.method import ChannelMethod, Evidence
from methods.core.units import Layer

__all__ = ["Fpgm"]


@dataclass(frozen=True, kw_only=True)
class Fpgm(ChannelMethod):
    """Cut the filters nearest to the geometric median of their layer's (FPGM).

    s_i = Σ_j ‖W[i] − W[j]‖₂ within the layer                                      [He 2019, §3.3]

    Needs no data. Each convolution loses its own share; linear layers are left alone. All are cut at once, by
    distances to all filters, as in the paper.
    """

    cost = "the distance of every two filters of a layer"

    @property
    def ranking(self) -> Literal["layer", "global"]:
        """Each layer on its own."""
        return "layer"

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:  # noqa: ARG002
        """The sum of each filter's distances to the others, shape (out,)."""
        filters = layer.weight.flatten(1).double()
        # From differences, not as ‖a‖² + ‖b‖² − 2ab, which cancels where filters are near one another.
        between = nn.functional.pdist(filters)
        distances = filters.new_zeros(len(filters), len(filters))
        one, other = torch.triu_indices(len(filters), len(filters), 1, device=filters.device)
        distances[one, other] = between
        distances[other, one] = between
        # Added up in order of size: filters with the same distances tie, wherever they stand.
        return distances.sort(1).values.sum(1)
