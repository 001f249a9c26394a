"""Channels whose joint removal changes the next layer's output least go; those that stay are scaled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from methods.core.patches import draw, read
from methods.core.readers import Reader
from methods.core.reconstruction import Reading, ReconstructingMethod, Thinning

__all__ = ["ThiNet", "greedy"]

TIE = 1e-12
"""Sums this near to the least, relative to the largest of one channel alone, differ by rounding only."""


@dataclass(frozen=True, kw_only=True)
class ThiNet(ReconstructingMethod):
    """Cut the channels whose joint removal changes the next layer's output least, then scale the others.

    T grows by argmin_c Σ_n(Σ_{j∈T∪c} x̂_nj)² until |T| = k; then ŵ = argmin ‖y − X̂_kept ŵ‖²
    scales what the kept channels feed                                            [Luo 2017, eq. 6 and 7]

    x̂_nc is what channel c gives to the n-th sampled output entry (image, output channel and position drawn
    together) of a layer that reads it, y the sum over c: the entry without its bias, in the network as cut and
    scaled so far. Several readers' rows are stacked, and each reader is scaled on its own. ``linear`` says what
    becomes of hidden linear layers: neurons chosen by the same rule, single weights cut by magnitude at the same
    ratio, or nothing. Departs from the paper: scales that the samples do not determine stay at one, and
    ``reconstruct=False`` leaves the scaling out.
    """

    linear: Literal["channel", "magnitude", "leave"] = "channel"

    @property
    def linear_units(self) -> Literal["channel", "magnitude", "leave"]:
        """The linear knob."""
        return self.linear

    def rows(self, places: int, outputs: int) -> int:
        """A row is one entry of the output."""
        return places * outputs

    def reading(self, reader: Reader, thinning: Thinning, *, targets: Mapping[str, Tensor], seed: int) -> Reading:  # noqa: ARG002
        """Sum up products of contributions; as the whole output is their sum, every channel's weight is one."""
        weight = _own(reader, thinning)
        columns = reader.columns.to(weight.device)
        outputs = len(weight)
        entries = draw(
            len(thinning.images) * thinning.places[reader.name] * outputs, self.samples, seed=seed, name=reader.name
        )
        output = entries % outputs
        gram = weight.new_zeros(len(columns), len(columns))

        def see(_: str, rows: slice, patches: Tensor, outputs: Tensor) -> None:  # noqa: ARG001
            given = patches[:, columns].flatten(2).double()
            contributions = (given * weight[output[rows].to(weight.device)]).sum(2)
            gram.addmm_(contributions.T, contributions)

        read(thinning.network, thinning.images, {reader.name: entries // outputs}, see)
        return Reading(gram[:, None, :, None], gram.sum(1)[:, None, None], torch.ones_like(gram[:, :1, None]))

    def stay(self, readings: Sequence[Reading], may_go: Tensor, *, going: int) -> Tensor:
        """The channels that the greedy rule leaves."""
        products = torch.stack([reading.gram[:, 0, :, 0] for reading in readings]).sum(0)
        inside = may_go.to(products.device)
        goes = greedy(products[inside][:, inside].cpu().numpy(), going=going)
        return may_go[np.setdiff1d(np.arange(len(may_go)), goes)]

    def rebuilt(self, reader: Reader, thinning: Thinning, reading: Reading, *, stay: Tensor) -> Tensor:
        """The reader's weights with each channel's times its scale."""
        return _own(reader, thinning).permute(1, 2, 0) * reading.solved(stay, ridge=self.ridge)


def _own(reader: Reader, thinning: Thinning) -> Tensor:
    """The reader's weights for the group's channels, shape (live, C, K)."""
    weight = thinning.weight(reader.name)
    return weight[:, reader.columns.to(weight.device)].flatten(2)


def greedy(products: np.ndarray, *, going: int) -> list[int]:
    """Which channels go, one by one: the next is the one with which Σ_n(Σ_{c∈T} x̂_nc)² is least.

    ``products``: x̂ᵀx̂, shape (C, C). A step costs O(C): adding c brings G_cc + 2 Σ_{j∈T} G_cj. Of equal ones
    the first goes.
    """
    gone: list[int] = []
    increase = products.diagonal().copy()
    tie = TIE * increase.max(initial=0)
    for _ in range(going):
        increase[gone] = np.inf
        gone.append(int(np.flatnonzero(increase <= increase.min() + tie)[0]))
        increase += 2 * products[gone[-1]]
    return gone
