"""Channels that a LASSO leaves out of the next layer's output go; the next layer's weights are solved anew."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.core.patches import draw, read
from methods.core.readers import Reader
from methods.core.reconstruction import Reading, ReconstructingMethod, Thinning

__all__ = ["ChannelLasso", "lasso_path", "support"]

ZERO = 1e-10
"""Coefficients below this share of the largest are zero: where an entry leaves, the path keeps its rounding."""


@dataclass(frozen=True, kw_only=True)
class ChannelLasso(ReconstructingMethod):
    """Cut the channels that a LASSO leaves out of the next layer's output, then solve its weights anew.

    β = argmin (1/2N)‖Y − Σ_i β_i X_i W_iᵀ‖² + λ‖β‖₁, λ raised until at most c' entries are nonzero; then
    W' = argmin ‖Y − X' W'ᵀ‖²                                                     [He 2017, eq. 2 and 4]

    X_i are the patches of channel i in the network as cut and solved so far, Y the original network's outputs
    there, ``samples`` positions for each layer that reads the channels. Several readers' rows are stacked, and
    each reader is solved on its own; where one reads other channels too, Y is less what those give. Hidden linear
    layers are left alone. Departs from the paper: W_i is not normalised, λ is read off the exact path rather than
    raised in steps, one pass of each step, and weights that the samples do not determine stay as they are.
    ``reconstruct=False`` stops after the choice of channels.
    """

    def rows(self, places: int, outputs: int) -> int:  # noqa: ARG002
        """A row is an output position, all its outputs together."""
        return places

    def targets(self, readers: Sequence[str], thinning: Thinning, *, seed: int) -> dict[str, Tensor]:
        """The original network's outputs less the bias at each reader's positions, shape (rows, out)."""
        positions = {name: self._positions(name, thinning, seed=seed) for name in readers}
        found: dict[str, list[Tensor]] = {name: [] for name in positions}

        def see(name: str, rows: slice, patches: Tensor, outputs: Tensor) -> None:  # noqa: ARG001
            bias = thinning.layers[name].bias
            found[name].append(outputs if bias is None else outputs - bias)

        read(thinning.network, thinning.images, positions, see)
        return {name: torch.cat(blocks) for name, blocks in found.items()}

    def reading(self, reader: Reader, thinning: Thinning, *, targets: Mapping[str, Tensor], seed: int) -> Reading:
        """Sum up patches against patches, and against what the group's channels should give."""
        name, live = reader.name, thinning.live[reader.name]
        weight = thinning.weight(name)
        columns = reader.columns.to(weight.device)
        own = weight[:, columns].flatten(2).permute(1, 2, 0).contiguous()
        others = weight.clone()
        others[:, columns.flatten()] = 0
        has_others = columns.numel() < weight.shape[1]
        size = own.shape[0] * own.shape[1]
        gram, cross = weight.new_zeros(size, size), weight.new_zeros(size, own.shape[2])

        def see(_: str, rows: slice, patches: Tensor, outputs: Tensor) -> None:  # noqa: ARG001
            given = patches.double()
            target = targets[name][rows][:, live].double()
            if has_others:
                target = target - given.flatten(1) @ others.flatten(1).T
            group = given[:, columns].flatten(1)
            gram.addmm_(group.T, group)
            cross.addmm_(group.T, target)

        read(thinning.network, thinning.images, {name: self._positions(name, thinning, seed=seed)}, see)
        return Reading(gram.view(*own.shape[:2], *own.shape[:2]), cross.view_as(own), own)

    def stay(self, readings: Sequence[Reading], may_go: Tensor, *, going: int) -> Tensor:
        """The channels with the last nonzero coefficients when λ is raised."""
        products = torch.stack([_products(reading) for reading in readings]).sum(0)
        with_output = torch.stack([(reading.cross * reading.weight).sum((1, 2)) for reading in readings]).sum(0)
        inside = may_go.to(products.device)
        chosen = support(
            products[inside][:, inside].cpu().numpy(), with_output[inside].cpu().numpy(), entries=len(may_go) - going
        )
        return may_go[torch.from_numpy(chosen)]

    def rebuilt(self, reader: Reader, thinning: Thinning, reading: Reading, *, stay: Tensor) -> Tensor:  # noqa: ARG002
        """The weights with which the staying channels come nearest to Y."""
        return reading.solved(stay, ridge=self.ridge)

    def _positions(self, reader: str, thinning: Thinning, *, seed: int) -> Tensor:
        return draw(len(thinning.images) * thinning.places[reader], self.samples, seed=seed, name=reader)


def _products(reading: Reading) -> Tensor:
    """Σ_{n,o} Z_i[n, o] Z_j[n, o] of the channels' contributions Z_i = X_i W_iᵀ, shape (C, C).

    That is the sum over the block (i, j) of (XᵀX) ∘ (WWᵀ): no contribution is ever formed.
    """
    flat = reading.weight.flatten(0, 1)
    return (flat @ flat.T).view_as(reading.gram).mul_(reading.gram).sum((1, 3))


def lasso_path(products: np.ndarray, with_output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The LASSO's solutions at the knots of its path, from the λ at which all is zero down to λ = 0.

    ``products``: ZᵀZ, shape (C, C), not all zero. ``with_output``: ZᵀY, shape (C,). Returns λ, shape (knots,),
    falling, and β, shape (C, knots), of ½‖Y − Zβ‖² + λ‖β‖₁.
    """
    from sklearn.linear_model import lars_path_gram  # loading it costs a worker a second

    # Its tolerances are absolute, so the problem is brought to the size of one.
    size = products.diagonal().max()
    with warnings.catch_warnings():
        # Channels that are copies of others never enter, and the path ends early where nothing is left to explain.
        warnings.simplefilter("ignore")
        alphas, _, betas = lars_path_gram(
            with_output / size, products / size, n_samples=1, method="lasso", max_iter=16 * len(products)
        )
    betas = np.where(np.abs(betas) > ZERO * np.abs(betas).max(axis=0), betas, 0)
    return alphas * size, betas


def support(products: np.ndarray, with_output: np.ndarray, *, entries: int) -> np.ndarray:
    """Which ``entries`` of β stay nonzero when λ is raised from 0 until no more do; positions, ascending.

    Where several leave at once, those that had the largest coefficients just before complete the number; entries
    that no λ makes nonzero go first, in order of position.
    """
    size = len(products)
    if not products.diagonal().any():
        return np.arange(size - entries, size)
    _, betas = lasso_path(products, with_output)
    counts = np.count_nonzero(betas, axis=0)
    # Between two knots nonzero is what is nonzero at either, so the first λ with few enough is a knot.
    first = max(knot for knot in range(len(counts)) if counts[knot] <= entries)
    chosen: list[int] = np.flatnonzero(betas[:, first]).tolist()
    for knot in range(first + 1, len(counts)):
        if len(chosen) >= entries:
            break
        left = [int(entry) for entry in np.flatnonzero(betas[:, knot]) if entry not in chosen]
        chosen += sorted(left, key=lambda entry: -abs(betas[entry, knot]))
    chosen += [entry for entry in reversed(range(size)) if entry not in chosen]
    return np.sort(np.array(chosen[:entries], dtype=np.int64))
