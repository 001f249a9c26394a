"""What a method is: a frozen dataclass of knobs that turns a network into a cut."""

from __future__ import annotations

import fnmatch
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from methods.core.cut import Cut, Past, count, select
from methods.core.knobs import Names, Uniform, Whole
from methods.core.penalties import Penalty, scales
from methods.core.units import ChannelGroup, Layer, channel_groups, traced_once, weighted_layers

__all__ = [
    "BATCH",
    "ChannelMethod",
    "Evidence",
    "Images",
    "Method",
    "Need",
    "Observation",
    "Observer",
    "WeightMethod",
    "WeightRanking",
]

Need = Literal["images", "gradients", "batch norm", "sparsity training"]

Observation = Mapping[str, Tensor]
"""What a method saw in images: tensors by name, the names and shapes its own affair."""

BATCH = 64
"""How many images criteria read at a time."""

Images = Annotated[int, Whole(1, 100_000)]
"""The knob ``images``: how many training images a criterion reads."""


class Observer(Protocol):
    """The part of a method that reads images: a frozen dataclass of the knobs that what it sees depends on.

    What it sees is stored once per network and settings, and shared by every method, ratio and statistic that
    asks the same of the same images.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def observe(self, network: nn.Module, evidence: Evidence) -> Observation:
        """Look at the network on ``evidence.images``; the network is left as it was."""
        ...


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at besides the network.

    ``images``: normalised images of the training part, without augmentation, shape (N, C, H, W), N ≥ 1.
    ``labels``: their classes, int64, shape (N,). ``seed``: decides whatever a method draws at random.
    ``past``: what earlier rounds cut. ``seen``: what the method's observer saw, where it was stored; a method
    without one finds it empty.
    """

    images: Tensor
    labels: Tensor
    seed: int
    past: Past = field(default_factory=Past)
    seen: Observation | None = None


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Decides which units go. A method is one file: its name is the file's, its knobs are its fields.

    ``spare`` names layers, or patterns such as ``features.*``, whose units are left alone: they are neither
    ranked nor counted.
    """

    unit: ClassVar[Literal["weight", "channel"]]
    needs: ClassVar[frozenset[Need]] = frozenset()
    cost: ClassVar[str] = "one pass over the weights"

    spare: Annotated[str, Names()] = ""

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
    def target(self) -> float | None:
        """The ratio asked for, None where the ratio is an outcome."""
        ratio: float | None = getattr(self, "ratio", None)
        return ratio

    @property
    def images_read(self) -> int:
        """How many training images the criterion reads, 0 where it needs none."""
        read: int = getattr(self, "images", 0)
        return read

    @property
    def observer(self) -> Observer | None:
        """What reads images for this method, None where nothing does or where it depends on the ratio."""
        return None

    @property
    def sparsifier(self) -> Penalty | None:
        """The penalty to train with before the cut, None where the method cuts the dense network itself."""
        return None

    def refusal(self, network: nn.Module) -> str | None:
        """Why this method cannot work on the network, None where it can."""
        if "batch norm" in self.needs and not scales(network):
            return f"{self.name()} ranks channels by batch-norm scales, and the network has no batch norm"
        layers = [layer.name for layer in weighted_layers(network)]
        for pattern in self.spare.split():
            if not fnmatch.filter(layers, pattern):
                return f"{self.name()} is to spare {pattern!r}, and the network's layers are {', '.join(layers)}"
        return None

    def spares(self, layer: str) -> bool:
        """Whether a layer's units are left alone."""
        return any(fnmatch.fnmatchcase(layer, pattern) for pattern in self.spare.split())

    def cut(self, network: nn.Module, evidence: Evidence, *, ratio: float | Fraction) -> Cut:
        """Choose the units that go; the network is left as it was.

        ``ratio`` is that of this round, ⌊ratio · units⌋ of the dense network's units go: a schedule reaches the
        method's own ``ratio`` step by step. Where the ratio is an outcome it is not looked at. Raises ValueError
        for another ratio, and where the method cannot rank the network's units: where weights among them are NaN or
        infinite, for one. Every such error begins with the method's name.
        """
        with self._named(), traced_once():
            if not 0 <= ratio < 1:
                raise ValueError(f"{self.name()} cuts a ratio from 0 to below 1, not {ratio}")
            self._check_finite(network, evidence)
            if evidence.seen is None:
                evidence = replace(evidence, seen=self.look(network, evidence))
            return self.decide(network, evidence, ratio=ratio)

    def look(self, network: nn.Module, evidence: Evidence) -> Observation:
        """What the method's observer sees, nothing where there is none; raises ValueError as `cut` does."""
        with self._named(), traced_once():
            self._check_finite(network, evidence)
            return self.observer.observe(network, evidence) if self.observer is not None else {}

    def _check_finite(self, network: nn.Module, evidence: Evidence) -> None:
        for layer in self.ranked(network, evidence):
            if not layer.weight.isfinite().all():
                found = "NaN" if layer.weight.isnan().any() else "an infinite value"
                raise ValueError(f"{self.name()} cannot rank layer {layer.name}: its weights hold {found}")

    @abstractmethod
    def ranked(self, network: nn.Module, evidence: Evidence) -> list[Layer]:
        """The layers whose units are ranked."""

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Inside the block the text of every ValueError begins with the method's name."""
        try:
            yield
        except ValueError as error:
            if str(error).startswith(self.name()):
                raise
            raise ValueError(f"{self.name()}: {error}") from error

    @abstractmethod
    def decide(self, network: nn.Module, evidence: Evidence, *, ratio: float | Fraction) -> Cut:
        """Choose the units that go, as `cut` says; ``evidence.seen`` is there."""


@dataclass(frozen=True, kw_only=True)
class WeightMethod(Method):
    """A method that cuts single weights of convolutions and linear layers, all that the network holds.

    Layers that a forward pass does not run through are ranked too: their weights count among the network's.
    """

    unit = "weight"

    def layers(self, network: nn.Module) -> list[Layer]:
        """The layers whose weights are ranked."""
        return [layer for layer in weighted_layers(network) if not self.spares(layer.name)]

    def ranked(self, network: nn.Module, evidence: Evidence) -> list[Layer]:  # noqa: ARG002
        """Those that `layers` names."""
        return self.layers(network)


@dataclass(frozen=True, kw_only=True)
class WeightRanking(WeightMethod):
    """A method that ranks all single weights in one list."""

    ratio: Annotated[float, Uniform(0.0, 0.995, step=0.005)]

    @abstractmethod
    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:
        """One score per weight, shape of ``layer.weight``; the lowest go first."""

    def decide(self, network: nn.Module, evidence: Evidence, *, ratio: float | Fraction) -> Cut:
        """Choose the ⌊ratio · weights⌋ weights with the lowest scores; each tensor keeps at least one."""
        scores = {layer.name: self.scores(layer, evidence) for layer in self.layers(network)}
        goes, asked, floored = select(scores, ratio, scope="global", keep_min=1, gone=evidence.past.weights)
        units = sum(score.numel() for score in scores.values())
        return Cut(units=units, asked=asked, weights=goes, floored=floored)


@dataclass(frozen=True, kw_only=True)
class ChannelMethod(Method):
    """A method that cuts output channels; coupled channels go together, at the mean of their scores.

    Each group of coupled channels keeps at least ``keep_min`` of them, and a group that loses any is brought to a
    multiple of ``round_to``.
    """

    unit = "channel"

    ratio: Annotated[float, Uniform(0.0, 0.95, step=0.01)]
    keep_min: Annotated[int, Whole(1, 1024)] = 1
    round_to: Annotated[int, Whole(1, 256)] = 1

    def refusal(self, network: nn.Module) -> str | None:
        """Also refuses grouped convolutions, and networks without a hidden layer of a kind that is cut."""
        layers = list(weighted_layers(network))
        for layer in layers:
            module = layer.module
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                wide, narrow = module.out_channels, module.in_channels
                if not module.groups == wide == narrow:
                    return (
                        f"{self.name()} cannot cut {layer.name}: a grouped convolution with {module.groups} groups of "
                        f"{narrow} → {wide} channels is neither plain nor depthwise"
                    )
        kinds = [layer for layer in layers if not layer.is_linear or self.linear_units != "leave"]
        if len(layers) < 2 or not kinds:
            hidden = "hidden convolution" if self.linear_units == "leave" else "hidden layer"
            return f"{self.name()} has nothing to cut: the network has no {hidden}"
        return super().refusal(network)

    @abstractmethod
    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:
        """One score per output channel, shape (out,); the lowest go first."""

    def group_scores(self, group: ChannelGroup, evidence: Evidence) -> Tensor:
        """One score per channel of a group, shape (group.size,): the mean of its members'."""
        members = zip(group.layers, group.places, strict=True)
        return torch.stack([self.scores(layer, evidence)[places] for layer, places in members]).mean(0)

    def all_scores(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        """The scores of every group by its name; a method that ranks channels against one another writes this."""
        return {group.name: self.group_scores(group, evidence) for group in groups}

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

    def groups(self, network: nn.Module, evidence: Evidence) -> list[ChannelGroup]:
        """The groups of coupled channels that are not spared, of the layers that a forward pass runs through."""
        return [
            group
            for group in channel_groups(network, evidence.images[:1])
            if not any(self.spares(layer.name) for layer in group.layers)
        ]

    def ranked(self, network: nn.Module, evidence: Evidence) -> list[Layer]:
        """The layers whose channels are ranked, and hidden linear ones that lose weights."""
        return [
            layer
            for group in self.groups(network, evidence)
            if all(self.ranks(each) or (each.is_linear and self.linear_units == "magnitude") for each in group.layers)
            for layer in group.layers
        ]

    def decide(self, network: nn.Module, evidence: Evidence, *, ratio: float | Fraction) -> Cut:
        """Choose the ⌊ratio · channels⌋ channels with the lowest scores, of each layer or of all together."""
        groups = self.groups(network, evidence)
        ranked = [group for group in groups if all(self.ranks(layer) for layer in group.layers)]
        return self.cut_of(self.all_scores(ranked, evidence), groups, evidence, ratio=ratio)

    def cut_of(
        self,
        scores: Mapping[str, Tensor],
        groups: Sequence[ChannelGroup],
        evidence: Evidence,
        *,
        ratio: float | Fraction,
    ) -> Cut:
        """The cut of the lowest scores, shape (group.size,) each; hidden linear layers lose weights if they shall.

        A ratio of their weights is one of those that are left: of n weights outside the columns that went with
        channels of earlier rounds ⌊ratio · n⌋ go, those that earlier rounds cut first. Were it one of the dense layer,
        what is left would have to make up for columns that went whole.
        """
        past = evidence.past
        goes, asked, floored = select(
            scores,
            ratio,
            scope=self.ranking,
            keep_min=self.keep_min,
            round_to=self.round_to,
            past=past,
            gone=past.channels,
        )
        cut = Cut(
            units=sum(past.sizes.get(name, each.numel()) for name, each in scores.items()),
            asked=asked,
            channels=goes,
            floored=floored,
            removed=sum(past.lost.get(name, 0) for name in scores),
        )
        if self.linear_units != "magnitude":
            return cut
        hidden = [layer for group in groups for layer in group.layers if layer.is_linear]
        sizes = {layer.name: _alive(layer, past) for layer in hidden}
        left = {name: int(each.isfinite().sum()) for name, each in sizes.items()}
        weights, asked, floored = select(
            sizes, ratio, scope="layer", keep_min=1, past=Past(sizes=left), gone=past.weights
        )
        before = {name: len(past.weights.get(name, ())) - count(ratio, here) for name, here in left.items()}
        return replace(
            cut,
            units=cut.units + sum(left.values()),
            asked=cut.asked + asked,
            weights=weights,
            floored={**cut.floored, **floored},
            ahead={name: more for name, more in before.items() if more > 0},
        )


def _alive(layer: Layer, past: Past) -> Tensor:
    """|w| of a hidden linear layer, ∞ in the columns of channels that are held at zero: they go last."""
    sizes = layer.weight.abs()
    if layer.name in past.columns:
        sizes[:, past.columns[layer.name].to(sizes.device)] = torch.inf
    return sizes
