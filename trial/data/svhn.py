"""SVHN's cropped digits, from torchvision's own files or as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from trial.data.published import Labelled, Published
from trial.data.source import Augmentation, Part, register

__all__ = ["Svhn"]


@register("svhn")
class Svhn(Published):
    """73,257 training and 26,032 test images of house numbers, one digit each [Netzer 2011]; ``extra`` is not used.

    Torchvision's files are ``train_32x32.mat`` and ``test_32x32.mat``, in which the digit 0 has label 10; here it
    has label 0.
    """

    name: ClassVar[str] = "svhn"
    augment: ClassVar[tuple[Augmentation, ...]] = ("shift",)  # a mirrored digit is none
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    own: ClassVar[dict[Part, tuple[str, ...]]] = {"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)}

    @staticmethod
    def loaded(folder: Path, part: Part, *, download: bool) -> Labelled:
        """The part through torchvision's loader."""
        from torchvision.datasets import SVHN

        found = SVHN(folder, split=part, download=download)
        return found.data, found.labels, Svhn.classes
