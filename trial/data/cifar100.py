"""CIFAR-100 with its hundred fine classes, from torchvision's own files or as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from trial.data.published import Labelled, Published
from trial.data.source import Augmentation, Part, register

__all__ = ["Cifar100"]

_FILES = tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta"))
_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


@register("cifar100")
class Cifar100(Published):
    """50,000 training and 10,000 test images of a hundred classes [Krizhevsky 2009].

    Torchvision's files are the folder ``cifar-100-python`` as it unpacks it. The twenty coarse classes are
    had from Parquet by the source ``parquet`` with ``label: coarse_label``.
    """

    name: ClassVar[str] = "cifar100"
    augment: ClassVar[tuple[Augmentation, ...]] = ("flip", "shift")
    classes: ClassVar[tuple[str, ...]] = tuple(_NAMES.split())
    # Of either part torchvision checks all files.
    own: ClassVar[dict[Part, tuple[str, ...]]] = {"train": _FILES, "test": _FILES}

    @staticmethod
    def loaded(folder: Path, part: Part, *, download: bool) -> Labelled:
        """The part through torchvision's loader."""
        from torchvision.datasets import CIFAR100

        found = CIFAR100(folder, train=part == "train", download=download)
        return found.data.transpose(0, 3, 1, 2), found.targets, tuple(found.classes)
