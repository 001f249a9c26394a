"""A folder per class, as torchvision's ImageFolder has it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from analysis.errors import WrongInput
from trial.data.class_subset import numbers_of
from trial.data.hub_layout import PART_NAMES
from trial.data.pixels import decoded
from trial.data.source import Augmentation, Decoded, Part, register

if TYPE_CHECKING:
    from trial.data.settings import Data

__all__ = ["ImageFolder"]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")
PIECE = 64


@register("image-folder")
class ImageFolder:
    """``train/CLASS/…`` and ``test/CLASS/…`` (or ``validation``, ``val``), image files at any depth below a class.

    Classes are sorted by name, images by path. Hidden folders and files, and files with other endings than those of
    images, are passed over. Of classes that ``data.classes`` leaves out no image is opened.
    """

    # Whether a mirrored image is still of its class is not known here.
    augment: ClassVar[tuple[Augmentation, ...]] = ("shift",)
    takes_folder: ClassVar[bool] = True
    takes_label: ClassVar[bool] = False
    downloads: ClassVar[bool] = False

    @staticmethod
    def files(data: Data, part: Part) -> Sequence[Path]:
        """The part's folder, whose time tells that a class came or went, and all images to decode."""
        folder = _part_folder(data, part)
        classes = _class_names(folder)
        train = _part_folder(data, "train")
        if part == "test" and (other := set(classes) ^ set(_class_names(train))):
            name = min(other)
            here, there = (folder, train) if name in classes else (train, folder)
            raise WrongInput(f"data.folder: {here} has a class {name}, {there} has none: both need the same classes")
        images: list[Path] = []
        for number in sorted(numbers_of(data, classes)):
            found = _images(folder / classes[number])
            if not found:
                raise WrongInput(
                    f"data.folder: {folder / classes[number]} holds no image ({', '.join(ENDINGS)}): remove the "
                    "folder, or leave it out with data.classes"
                )
            images += found
        return [folder, *images]

    @staticmethod
    def decode(data: Data, files: Sequence[Path], part: Part) -> Decoded:
        """Decode the images that `files` found; labels count all class folders."""
        del part
        folder, *images = files
        classes = _class_names(folder)
        number = {name: index for index, name in enumerate(classes)}
        labels = np.array([number[image.relative_to(folder).parts[0]] for image in images], dtype=np.int64)
        pieces = (images[start : start + PIECE] for start in range(0, len(images), PIECE))
        pixels = decoded(pieces, count=len(images), size=data.size, place=lambda index: str(images[index]))
        return Decoded(pixels, labels, classes)


def _part_folder(data: Data, part: Part) -> Path:
    if data.folder is None:
        raise WrongInput("data.folder: image-folder needs the folder that holds train/CLASS/… and test/CLASS/…")
    if not data.folder.is_dir():
        raise WrongInput(f"data.folder: {data.folder} is not a folder")
    for name in PART_NAMES[part]:
        if (folder := data.folder / name).is_dir():
            return folder
    raise WrongInput(
        f"data.folder: {data.folder} has no folder {' or '.join(PART_NAMES[part])} with one per class in it"
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(names) < 2:
        raise WrongInput(
            f"data.folder: {folder} must hold a folder for each of two or more classes, it has {len(names)}"
        )
    return tuple(names)


def _images(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if name.lower().endswith(ENDINGS) and not name.startswith(".")]
    return sorted(found)
