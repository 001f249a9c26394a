"""DenseNet for 32×32 images, without bottlenecks and compression [Huang 2017, §4.2]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trial.networks.catalogue import initialise, register, scaled

__all__ = ["Densenet", "densenet40"]


class Layer(nn.Module):
    """Norm, ReLU and a 3×3 convolution, whose output joins its input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm, self.relu = nn.BatchNorm2d(channels), nn.ReLU()
        self.conv = nn.Conv2d(channels, growth, 3, padding=1, bias=False)

    def forward(self, given: Tensor) -> Tensor:
        """Input and output side by side, shape (N, channels + growth, H, W)."""
        return torch.cat([given, self.conv(self.relu(self.norm(given)))], 1)


class Densenet(nn.Module):
    """Three blocks of ``depth`` layers; between blocks a norm, ReLU, 1×1 convolution and a mean over 2×2."""

    def __init__(self, first: int, growth: int, depth: int, *, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, first, 3, padding=1, bias=False)
        layers: list[nn.Module] = []
        channels = first
        for block in range(3):
            for _ in range(depth):
                layers.append(Layer(channels, growth))
                channels += growth
            if block < 2:
                layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False)]
                layers.append(nn.AvgPool2d(2))
        self.features = nn.Sequential(*layers)
        self.norm, self.relu, self.pool = nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (N, classes), of images of shape (N, 3, 32, 32)."""
        features = self.pool(self.relu(self.norm(self.features(self.conv(images)))))
        logits: Tensor = self.classifier(torch.flatten(features, 1))
        return logits


@register("densenet40")
def densenet40(*, classes: int, width: float = 1.0) -> Densenet:
    """DenseNet-40 with growth 12: 1,019,722 parameters at width 1 and 10 classes."""
    return Densenet(scaled(16, width), scaled(12, width), 12, classes=classes)
