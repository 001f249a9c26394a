"""CIFAR-10, from torchvision's own files or as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from trial.data.published import Labelled, Published
from trial.data.source import Augmentation, Part, register

__all__ = ["Cifar10"]

_FILES = tuple(
    f"cifar-10-batches-py/{name}"
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
)


@register("cifar10")
class Cifar10(Published):
    """50,000 training and 10,000 test images of ten classes [Krizhevsky 2009].

    Torchvision's files are the folder ``cifar-10-batches-py`` as it unpacks it.
    """

    name: ClassVar[str] = "cifar10"
    augment: ClassVar[tuple[Augmentation, ...]] = ("flip", "shift")
    classes: ClassVar[tuple[str, ...]] = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    # Of either part torchvision checks all files.
    own: ClassVar[dict[Part, tuple[str, ...]]] = {"train": _FILES, "test": _FILES}

    @staticmethod
    def loaded(folder: Path, part: Part, *, download: bool) -> Labelled:
        """The part through torchvision's loader."""
        from torchvision.datasets import CIFAR10

        found = CIFAR10(folder, train=part == "train", download=download)
        return found.data.transpose(0, 3, 1, 2), found.targets, tuple(found.classes)
