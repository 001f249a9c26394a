"""torchvision's VGG16 with two more linear layers on top, as document 001 transfers it to small images."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trial.networks.catalogue import initialise, register, scaled
from trial.networks.pretrained import PRETRAINED, Pretrained
from trial.networks.vgg import VGG16

__all__ = ["Vgg16"]

PRETRAINED.register("vgg16")(
    Pretrained(
        entry="VGG16_Weights.IMAGENET1K_V1",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        new=("classifier.8.", "classifier.10."),
    )
)


@register("vgg16")
class Vgg16(nn.Module):
    """Convolutions with biases and no norm, a mean over 7×7 cells, linear 4096, 4096, 1000, 500 and ``classes``.

    138,863,054 parameters and 437,335,208 multiply-accumulates at width 1 and 10 classes. Up to the linear layer of
    1000, ImageNet's classes, it is torchvision's ``vgg16``, names of tensors included; ``classifier.8`` and
    ``classifier.10`` are new. Five pools leave 1×1 of a 32×32 image, which the mean over cells repeats 49 times.

    The last module is a dropout of .25 on the logits, as the document has it: in training each logit is zero with
    probability 1/4, in eval mode nothing happens. Dropouts of .5 follow the two layers of 4096.

    Departs from torchvision in the first weights: ours are drawn as all networks' are (`initialise`), since its
    N(0, .01²) for linear layers fades from layer to layer at small widths. ``width`` scales every layer but the last,
    linear ones too: the first of them alone has 74% of all parameters.
    """

    def __init__(self, *, classes: int, width: float = 1.0) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers(width))
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        last, hidden, imagenet, new = (scaled(wide, width) for wide in (512, 4096, 1000, 500))
        self.classifier = nn.Sequential(
            *(nn.Linear(last * 7 * 7, hidden), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(hidden, imagenet), nn.ReLU()),
            *(nn.Linear(imagenet, new), nn.ReLU()),
            *(nn.Linear(new, classes), nn.Dropout(0.25)),
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (N, classes), of images of shape (N, 3, H, W) with H, W ≥ 32."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(images)), 1))
        return logits


def _layers(width: float) -> Iterator[nn.Module]:
    channels = 3
    for step in VGG16:
        if not isinstance(step, int):
            yield nn.MaxPool2d(2)
            continue
        out = scaled(step, width)
        yield nn.Conv2d(channels, out, 3, padding=1)
        yield nn.ReLU()
        channels = out
