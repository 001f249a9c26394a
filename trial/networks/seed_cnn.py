"""The small network of documents 000 and 003."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trial.networks.catalogue import initialise, register, scaled

__all__ = ["SeedCnn"]


@register("seed-cnn")
class SeedCnn(nn.Module):
    """Four 3×3 convolutions with a pool after each of the first three, then linear 512 and linear ``classes``.

    592,933 parameters with 5 classes, 595,498 with 10, most of them in the first linear layer, which reads
    64·4·4 = 1,024 values. ``width`` scales the convolutions; the hidden linear layer stays 512 wide.
    """

    def __init__(self, *, classes: int, width: float = 1.0) -> None:
        super().__init__()
        a, b, c, d = (scaled(channels, width) for channels in (32, 32, 64, 64))
        self.features = nn.Sequential(
            *(nn.Conv2d(3, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
        )
        self.classifier = nn.Sequential(nn.Linear(d * 4 * 4, 512), nn.ReLU(), nn.Linear(512, classes))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (N, classes), of images of shape (N, 3, 32, 32)."""
        # No channel count here: channels are removed after the network was built.
        logits: Tensor = self.classifier(torch.flatten(self.features(images), 1))
        return logits
