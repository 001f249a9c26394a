"""What a method is: a frozen dataclass of knobs that turns a network into a cut."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from methods.core.cut import Cut, select
from methods.core.knobs import Uniform, Whole
from methods.core.penalties import Penalty, scales
from methods.core.units import ChannelGroup, Layer, channel_groups, weighted_layers

__all__ = ["ChannelMethod", "Evidence", "Method", "Need", "WeightMethod"]

Need = Literal["images", "gradients", "batch norm", "sparsity training"]


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at besides the network.

    ``images``: normalised images of the training part, without augmentation, shape (N, C, H, W), N ≥ 1.
    ``seed``: decides whatever a method draws at random.
    """

    images: Tensor
    seed: int


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Decides which units go. A method is one file: its name is the file's, its knobs are its fields."""

    unit: ClassVar[Literal["weight", "channel"]]
    needs: ClassVar[frozenset[Need]] = frozenset()

    ratio: float

    @classmethod
    def name(cls) -> str:
        """The method's name in YAML, columns and messages: its file's name."""
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    @classmethod
    def about(cls) -> tuple[str, str, str]:
        """The method's first sentence, its formula and its source, read off the docstring.

        The second paragraph is the formula, the source's key at its end in brackets.
        """
        summary, formula = (inspect.getdoc(cls) or "").split("\n\n")[:2]
        formula, _, source = " ".join(formula.split()).rpartition(" [")
        return summary, formula, source.rstrip("]")

    @property
    def sparsifier(self) -> Penalty | None:
        """The penalty to train with before the cut, None where the method cuts the dense network itself."""
        return None

    def refusal(self, network: nn.Module) -> str | None:
        """Why this method cannot work on the network, None where it can."""
        if "batch norm" in self.needs and not scales(network):
            return f"{self.name()} ranks channels by batch-norm scales, and the network has no batch norm"
        return None

    @abstractmethod
    def cut(self, network: nn.Module, evidence: Evidence, *, ratio: float) -> Cut:
        """Choose the units that go, ⌊ratio · units⌋ of them; the network is left as it was.

        ``ratio`` is that of this round: a schedule reaches the method's own ``ratio`` step by step. Raises
        ValueError where the method cannot rank the network's units, NaN among its weights included.
        """


@dataclass(frozen=True, kw_only=True)
class WeightMethod(Method):
    """A method that cuts single weights of convolutions and linear layers, in one ranking over all of them."""

    unit = "weight"

    ratio: Annotated[float, Uniform(0.0, 0.995, step=0.005)]

    @abstractmethod
    def scores(self, layer: Layer) -> Tensor:
        """One score per weight, shape of ``layer.weight``; the lowest go first."""

    def cut(self, network: nn.Module, evidence: Evidence, *, ratio: float) -> Cut:  # noqa: ARG002
        """Choose the ⌊ratio · weights⌋ weights with the lowest scores; each tensor keeps at least one."""
        scores = {layer.name: self.scores(layer) for layer in weighted_layers(network)}
        goes, asked, floored = select(scores, ratio, scope="global", keep_min=1)
        return Cut(units=_units(scores), asked=asked, weights=goes, floored=floored)


@dataclass(frozen=True, kw_only=True)
class ChannelMethod(Method):
    """A method that cuts output channels; coupled channels go together, at the mean of their scores."""

    unit = "channel"

    ratio: Annotated[float, Uniform(0.0, 0.95, step=0.01)]
    keep_min: Annotated[int, Whole(1, 1024)] = 1

    @abstractmethod
    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:
        """One score per output channel, shape (out,); the lowest go first."""

    def group_scores(self, group: ChannelGroup, evidence: Evidence) -> Tensor:
        """One score per channel of a group, shape (group.size,): the mean of its members'."""
        members = zip(group.layers, group.places, strict=True)
        return torch.stack([self.scores(layer, evidence)[places] for layer, places in members]).mean(0)

    @property
    def ranking(self) -> Literal["layer", "global"]:
        """Whether each layer loses its own share or one ranking decides over all layers."""
        return "global"

    @property
    def linear_units(self) -> Literal["channel", "magnitude", "leave"]:
        """What becomes of hidden linear layers: neurons cut, weights cut by magnitude, or nothing."""
        return "leave"

    def ranks(self, layer: Layer) -> bool:
        """Whether the layer's channels take part in the ranking."""
        return not layer.is_linear or self.linear_units == "channel"

    def cut(self, network: nn.Module, evidence: Evidence, *, ratio: float) -> Cut:
        """Choose the ⌊ratio · channels⌋ channels with the lowest scores, of each layer or of all together."""
        groups = channel_groups(network, evidence.images[:1])
        ranked = [group for group in groups if all(self.ranks(layer) for layer in group.layers)]
        scores = {group.name: self.group_scores(group, evidence) for group in ranked}
        goes, asked, floored = select(scores, ratio, scope=self.ranking, keep_min=self.keep_min)
        units = _units(scores)
        weights: dict[str, Tensor] = {}
        if self.linear_units == "magnitude":
            hidden = [layer for group in groups for layer in group.layers if layer.is_linear]
            sizes = {layer.name: layer.weight.abs() for layer in hidden}
            weights, asked_of_weights, spared = select(sizes, ratio, scope="layer", keep_min=1)
            units, asked, floored = units + _units(sizes), asked + asked_of_weights, floored | spared
        return Cut(units=units, asked=asked, channels=goes, weights=weights, floored=floored)


def _units(scores: Mapping[str, Tensor]) -> int:
    return sum(score.numel() for score in scores.values())
