"""Residual networks for 32×32 images [He 2016, §4.2, and table 1 with a first layer for small images]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trial.networks.catalogue import initialise, register, scaled

__all__ = ["Resnet", "resnet18", "resnet20", "resnet56"]


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, added to the block's input.

    Where width or resolution change the input goes through a 1×1 convolution with batch norm (the paper's option B):
    its option A, zeros for the missing channels, cannot be removed channel by channel.
    """

    def __init__(self, channels: int, out: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, given: Tensor) -> Tensor:
        """The block's output, shape (N, out, H/stride, W/stride)."""
        inner = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(given)))))
        out: Tensor = self.relu2(inner + self.shortcut(given))
        return out


class Resnet(nn.Module):
    """A 3×3 convolution, stages of blocks of which all but the first begin with stride 2, a mean, a linear layer."""

    def __init__(self, widths: Sequence[int], blocks: int, *, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(widths[0]), nn.ReLU()
        stages = []
        channels = widths[0]
        for stage, out in enumerate(widths):
            for place in range(blocks):
                stages.append(Block(channels, out, stride=2 if stage and not place else 1))
                channels = out
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (N, classes), of images of shape (N, 3, 32, 32)."""
        features = self.blocks(self.relu(self.norm(self.conv(images))))
        logits: Tensor = self.classifier(torch.flatten(self.pool(features), 1))
        return logits


def _small(blocks: int, *, classes: int, width: float) -> Resnet:
    return Resnet([scaled(channels, width) for channels in (16, 32, 64)], blocks, classes=classes)


@register("resnet20")
def resnet20(*, classes: int, width: float = 1.0) -> Resnet:
    """ResNet-20: three stages of three blocks, 272,474 parameters at width 1 and 10 classes."""
    return _small(3, classes=classes, width=width)


@register("resnet56")
def resnet56(*, classes: int, width: float = 1.0) -> Resnet:
    """ResNet-56: three stages of nine blocks, 855,770 parameters at width 1 and 10 classes."""
    return _small(9, classes=classes, width=width)


@register("resnet18")
def resnet18(*, classes: int, width: float = 1.0) -> Resnet:
    """ResNet-18 with a 3×3 first layer and no first pool: 11,173,962 parameters at width 1 and 10 classes."""
    return Resnet([scaled(channels, width) for channels in (64, 128, 256, 512)], 2, classes=classes)
