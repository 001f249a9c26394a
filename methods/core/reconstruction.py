"""Channels chosen by what the layers that read them lose, and those layers' weights solved anew.

Groups of coupled channels are cut front to back. A reader of a group is looked at where it computes sampled outputs:
row n of its matrix holds what feeds output n, in columns that belong to channels, and the output is that matrix times
its weights. Which channels go and what the weights become follows from the sums over rows alone.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from methods.core.cut import Cut
from methods.core.knobs import Log, Whole
from methods.core.mask import Mask
from methods.core.method import ChannelMethod, Evidence, Images
from methods.core.patches import places
from methods.core.readers import Reader, readers
from methods.core.units import ChannelGroup, Layer, channel_groups, weighted_layers

__all__ = ["Reading", "ReconstructingMethod", "Thinning"]


@dataclass(frozen=True)
class Reading:
    """Sums over a reader's sampled outputs, in float64; C channels of K columns each, M outputs a row.

    ``gram``: XᵀX, shape (C, K, C, K), X what the outputs are computed from. ``cross``: XᵀY, shape (C, K, M), Y
    what the outputs should be. ``weight``: the weights W, shape (C, K, M), so that the outputs are XW.
    """

    gram: Tensor
    cross: Tensor
    weight: Tensor

    def solved(self, stay: Tensor, *, ridge: float) -> Tensor:
        """The weights of the channels in ``stay`` with which XW comes nearest to Y; zero for the others.

        The change D of the weights is solved for, argmin ‖Y − X_s (W_s + D)‖² + r‖D‖², with r ``ridge`` times the
        mean of XᵀX's diagonal: what the rows do not determine (fewer rows than columns, channels that are
        copies of one another) stays as it is, and the error is never larger than with D = 0.
        """
        gram, cross = self.gram[stay][:, :, stay].flatten(2).flatten(0, 1), self.cross[stay].flatten(0, 1)
        weight = self.weight[stay].flatten(0, 1)
        solved = torch.zeros_like(self.weight)
        pull = ridge * float(gram.diagonal().mean())
        if pull > 0:
            missing = cross - gram @ weight
            gram.diagonal().add_(pull)
            weight = weight + torch.cholesky_solve(missing, torch.linalg.cholesky(gram))
        solved[stay] = weight.view_as(solved[stay])
        return solved


class Thinning:
    """A copy of a network in eval mode whose channels go group by group; the network given stays as it was."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        self.network = copy.deepcopy(network).eval()
        self.images = images
        self.layers = {layer.name: layer.module for layer in weighted_layers(self.network)}
        self.places = places(self.network, list(self.layers), images[:1])
        """How many output positions each layer that runs has on an image."""
        self.live = {
            name: torch.ones(len(module.weight), dtype=torch.bool, device=module.weight.device)
            for name, module in self.layers.items()
        }
        """Which outputs of each layer are still there."""

    def weight(self, reader: str) -> Tensor:
        """The reader's weights for its live outputs, float64, shape (live, in, kh·kw)."""
        weight = self.network.get_parameter(f"{reader}.weight").detach()[self.live[reader]]
        return weight.double().reshape(*weight.shape[:2], -1)

    def write(self, reader: Reader, solved: Tensor) -> None:
        """Set the weights of the group's channels for the live outputs, shape (C, K, live)."""
        weight = self.network.get_parameter(f"{reader.name}.weight")
        live, columns = self.live[reader.name].nonzero(), reader.columns.flatten().to(weight.device)
        values = solved.permute(2, 0, 1).reshape(len(live), len(columns), *weight.shape[2:])
        with torch.no_grad():
            weight[live, columns] = values.to(weight.dtype)

    def silence(self, group: ChannelGroup, gone: Tensor) -> None:
        """Let the channels, positions in the group, be gone."""
        cut = Cut(units=group.size, asked=len(gone), channels={group.name: gone})
        Mask.of_channels(self.network, cut, self.images[:1]).zero_weights(self.network)
        for layer, at in zip(group.layers, group.places, strict=True):
            self.live[layer.name][at[gone].to(self.live[layer.name].device)] = False


@dataclass(frozen=True, kw_only=True)
class ReconstructingMethod(ChannelMethod):
    """A method that chooses, layer by layer from the front, the channels whose readers can do without them best.

    ``samples`` rows are drawn for each reader by seed, without repetition; a reader that has fewer gives all it
    has. Where ``reconstruct``, the readers' weights for the channels that stay are solved anew, pulled towards
    those at hand by ``ridge``, relative to the mean diagonal of XᵀX: with about as many rows as unknowns least
    squares alone fits the sampled rows and spoils the network (docs/log.md).
    """

    needs = frozenset({"images"})
    cost = "one forward pass over the images and one system of linear equations for each group of channels"

    reconstruct: bool = True
    images: Images = 256
    samples: Annotated[int, Whole(1, 1_000_000)] = 5000
    ridge: Annotated[float, Log(1e-9, 1.0, grid=(1e-4, 1e-3, 1e-2, 1e-1))] = 1e-2

    @property
    def ranking(self) -> Literal["layer"]:
        """Each layer loses its own share."""
        return "layer"

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:  # noqa: ARG002
        """All alike, NaN where there are any: they say how many channels of a group go, not which."""
        return layer.weight.flatten(1).sum(1) * 0

    @abstractmethod
    def rows(self, places: int, outputs: int) -> int:
        """How many rows an image gives to a reader with so many output positions and outputs at each."""

    def targets(self, readers: Sequence[str], thinning: Thinning, *, seed: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        """What each reader's outputs should be, read before anything is cut; nothing where that is not looked at."""
        return {}

    @abstractmethod
    def reading(self, reader: Reader, thinning: Thinning, *, targets: Mapping[str, Tensor], seed: int) -> Reading:
        """Sum up what the reader computes from the group's channels as the network is now."""

    @abstractmethod
    def stay(self, readings: Sequence[Reading], may_go: Tensor, *, going: int) -> Tensor:
        """Which channels of ``may_go`` stay when ``going`` of them go, ascending; all others are gone already."""

    @abstractmethod
    def rebuilt(self, reader: Reader, thinning: Thinning, reading: Reading, *, stay: Tensor) -> Tensor:
        """The reader's weights for the group's channels, shape (C, K, live)."""

    def decide(self, network: nn.Module, evidence: Evidence, *, ratio: float | Fraction) -> Cut:
        """Choose ⌊ratio · channels⌋ channels of each group, and new weights for the layers that read them.

        Raises ValueError where more samples are asked for than any layer that reads channels has, or NaN is met.
        """
        counted = super().decide(network, evidence, ratio=ratio)
        image = evidence.images[:1]
        every = channel_groups(network, image)
        groups = [group for group in every if group.name in counted.channels]
        if not groups:
            return counted
        try:
            found = readers(network, every, image)
        except ValueError as error:
            raise ValueError(f"{self.name()} cannot cut this network: {error}") from None
        thinning = Thinning(network, evidence.images)
        self._check_samples(thinning, {reader.name for read in found.values() for reader in read})
        names = dict.fromkeys(reader.name for group in groups for reader in found[group.name])
        targets = self.targets(list(names), thinning, seed=evidence.seed)
        channels, written = {}, set()
        for group in groups:
            forced = evidence.past.channels.get(group.name, torch.empty(0, dtype=torch.int64)).cpu()
            going = counted.channels[group.name]
            # The count puts what is held at zero first, so it goes over only where the floor stops even that.
            if found[group.name] and len(going) > len(forced):
                readings = {
                    reader.name: self.reading(reader, thinning, targets=targets, seed=evidence.seed)
                    for reader in found[group.name]
                }
                _refuse_nan(self.name(), readings)
                may_go = torch.tensor([place for place in range(group.size) if place not in set(forced.tolist())])
                stay = self.stay(list(readings.values()), may_go, going=len(going) - len(forced))
                going = torch.tensor([place for place in range(group.size) if place not in set(stay.tolist())])
                for reader in found[group.name] if self.reconstruct else ():
                    thinning.write(reader, self.rebuilt(reader, thinning, readings[reader.name], stay=stay))
                    written.add(f"{reader.name}.weight")
            thinning.silence(group, going)
            channels[group.name] = going
        replaced = {name: thinning.network.get_parameter(name).detach() for name in sorted(written)}
        return replace(counted, channels=channels, replaced=replaced)

    def _check_samples(self, thinning: Thinning, readers: Collection[str]) -> None:
        """More samples than any layer that reads channels to cut has rows would all mean the same."""
        most = len(thinning.images) * max(
            (self.rows(thinning.places[name], len(thinning.live[name])) for name in readers), default=self.samples
        )
        if self.samples > most:
            raise ValueError(
                f"{self.name()} is to sample {self.samples} outputs, and no layer that reads channels has "
                f"more than {most} on {len(thinning.images)} images: ask for fewer samples or more images"
            )


def _refuse_nan(method: str, readings: Mapping[str, Reading]) -> None:
    for reader, reading in readings.items():
        if not (reading.gram.isfinite().all() and reading.cross.isfinite().all()):
            raise ValueError(
                f"{method} finds NaN or infinity in what {reader} reads or gives: are there in its weights?"
            )
