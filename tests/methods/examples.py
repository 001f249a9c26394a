"""Small networks that between them couple channels in every way, and settings and evidence for methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from methods.core.knobs import Choice, Log, Names, Options, Range, Uniform, Value, Whole, knobs, parse
from methods.core.method import Evidence, Method

CLASSES = 4


def images(count: int = 5, *, dtype: torch.dtype = torch.float64, side: int = 8) -> Tensor:
    """Normal noise, shape (count, 3, side, side), always the same."""
    stream = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, side, side, generator=stream, dtype=torch.float64).to(dtype)


def evidence(*, seed: int = 0, dtype: torch.dtype = torch.float64) -> Evidence:
    """All that a method may look at besides the network."""
    return Evidence(images(dtype=dtype), torch.tensor([0, 3, 1, 2, 1]), seed)


class Plain(nn.Sequential):
    """Convolutions with biases and no norm, a hidden linear layer behind a mean."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, CLASSES)),
        )


class Normed(nn.Sequential):
    """Batch norm behind each convolution; its shift is what a zeroed filter leaves behind."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES)),
        )


class Flat(nn.Sequential):
    """A linear layer reads each channel's 3×3 map: a channel owns nine of its columns."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(4 * 9, 12), nn.ReLU(), nn.Linear(12, CLASSES)),
        )


class Residual(nn.Module):
    """An addition ties the stem's channels to those of the block's last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.first, self.first_norm = nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.second, self.second_norm = nn.Conv2d(12, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.out = nn.Linear(8, CLASSES)

    def forward(self, given: Tensor) -> Tensor:
        stem = torch.relu(self.stem_norm(self.stem(given)))
        block = self.second_norm(self.second(torch.relu(self.first_norm(self.first(stem)))))
        logits: Tensor = self.out(torch.relu(stem + block).mean((2, 3)))
        return logits


class Concatenated(nn.Module):
    """DenseNet's pattern: norms in front of their convolutions, one channel read by several norms."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first_norm, self.first = nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3, padding=1)
        self.second_norm, self.second = nn.BatchNorm2d(12), nn.Conv2d(12, 4, 3, padding=1, bias=False)
        self.last_norm, self.out = nn.BatchNorm2d(16), nn.Linear(16, CLASSES)

    def forward(self, given: Tensor) -> Tensor:
        stem = self.stem(given)
        both = torch.cat([stem, self.first(torch.relu(self.first_norm(stem)))], 1)
        three = torch.cat([both, self.second(torch.relu(self.second_norm(both)))], 1)
        logits: Tensor = self.out(torch.relu(self.last_norm(three)).mean((2, 3)))
        return logits


class Depthwise(nn.Sequential):
    """A depthwise convolution ties its channels to those it reads; a convolution gives the logits."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Conv2d(12, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )


class Inception(nn.Module):
    """A concatenation is added to a wider layer, defined first: its channels are shared out to two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 12, 1)
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.out = nn.Linear(12, CLASSES)

    def forward(self, given: Tensor) -> Tensor:
        both = torch.cat([self.left(given), self.right(given)], 1)
        logits: Tensor = self.out(torch.relu(both + self.wide(given)).mean((2, 3)))
        return logits


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": Plain,
    "normed": Normed,
    "flat": Flat,
    "residual": Residual,
    "concatenated": Concatenated,
    "depthwise": Depthwise,
    "inception": Inception,
}


def network(name: str, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Build a network in eval mode, its norms' scales, shifts and running statistics drawn too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return drawn(NETWORKS[name]()).to(dtype).eval()


def drawn(built: nn.Module) -> nn.Module:
    """Draw scales, shifts and running statistics of every batch norm, in place, from the global stream."""
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean = torch.randn(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    return built


def settings(owner: type[Any], **fixed: Value) -> Iterator[dict[str, Value]]:
    """Flat settings read off a method's knobs: each knob in turn at every end or choice, the others at one value.

    An option brings its own knobs' settings. ``fixed`` holds knobs at one value wherever they exist.
    """
    ends = {knob.name: [fixed[knob.name]] if knob.name in fixed else values(knob.range) for knob in knobs(owner)}
    first = {knob.name: ends[knob.name][0] if knob.required else knob.default for knob in knobs(owner)} | {
        name: value for name, value in fixed.items() if name in ends
    }
    for knob in knobs(owner):
        for value in ends[knob.name]:
            yield from _with_options(owner, first | {knob.name: value}, fixed)


def _with_options(owner: type[Any], chosen: dict[str, Value], fixed: dict[str, Value]) -> Iterator[dict[str, Value]]:
    brought = [
        settings(knob.range.type(chosen[knob.name]), **fixed)
        for knob in knobs(owner)
        if isinstance(knob.range, Options)
    ]
    assert len(brought) < 2, "one option a method; two would need their product"
    yield from ({**chosen, **further} for further in brought[0]) if brought else (chosen,)


def values(accepted: Range) -> list[Value]:
    """The ends of a range, or all of its choices; where the ends are excluded, numbers close to them."""
    match accepted:
        case Uniform(low, high, exclusive=True):
            return [low + (high - low) / 64, high - (high - low) / 64]
        case Uniform(low, high) | Log(low, high) | Whole(low, high):
            return [low, high]
        case Choice(choices):
            return list(choices)
        case Names():
            return [""]
        case Options():
            return list(accepted.names)


def made(owner: type[Method], **fixed: Value) -> list[Method]:
    """A method's instances at all of its `settings`, knobs in ``fixed`` held, each once."""
    return list(
        dict.fromkeys(parse(owner, given, what=owner.name(), where="test") for given in settings(owner, **fixed))
    )
