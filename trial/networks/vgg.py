"""VGG with batch norm for 32×32 images [Simonyan 2015, table 1; one linear layer as in Li 2017]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from trial.networks.catalogue import initialise, register, scaled

__all__ = ["VGG16", "VGG19", "Vgg", "vgg16_bn", "vgg19_bn"]

Plan = tuple[int | Literal["pool", "mean"], ...]

VGG16: Plan = (
    *(64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool"),
    *(512, 512, 512, "pool", 512, 512, 512, "pool"),
)
VGG19: Plan = (
    *(64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool"),
    *(512, 512, 512, 512, "pool", 512, 512, 512, 512, "mean"),
)


class Vgg(nn.Module):
    """Convolutions without biases, each with batch norm and ReLU; five pools leave 1×1; one linear layer."""

    def __init__(self, plan: Plan, *, classes: int, width: float) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers(plan, width))
        last = [step for step in plan if isinstance(step, int)][-1]
        self.classifier = nn.Linear(scaled(last, width), classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (N, classes), of images of shape (N, 3, 32, 32)."""
        logits: Tensor = self.classifier(torch.flatten(self.features(images), 1))
        return logits


def _layers(plan: Plan, width: float) -> Iterator[nn.Module]:
    channels = 3
    for step in plan:
        if not isinstance(step, int):
            yield nn.MaxPool2d(2) if step == "pool" else nn.AvgPool2d(2)
            continue
        out = scaled(step, width)
        yield nn.Conv2d(channels, out, 3, padding=1, bias=False)
        yield nn.BatchNorm2d(out)
        yield nn.ReLU()
        channels = out


@register("vgg16-bn")
def vgg16_bn(*, classes: int, width: float = 1.0) -> Vgg:
    """VGG-16 for CIFAR: 14,724,042 parameters and 313,201,664 multiply-accumulates at width 1 and 10 classes."""
    return Vgg(VGG16, classes=classes, width=width)


@register("vgg19-bn")
def vgg19_bn(*, classes: int, width: float = 1.0) -> Vgg:
    """VGG-19 as network slimming has it [Liu 2017]: 20,035,018 parameters, 398,136,320 multiply-accumulates.

    The last pool is a mean.
    """
    return Vgg(VGG19, classes=classes, width=width)
