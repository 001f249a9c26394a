"""What a data set's file has to provide, and the registry that finds these files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from trial.registry import Registry

if TYPE_CHECKING:
    from trial.data.settings import Data

__all__ = ["SIDE", "SOURCES", "Augmentation", "Decoded", "Part", "Source", "register"]

Augmentation = Literal["flip", "shift", "rotation", "cutout"]
Part = Literal["train", "test"]

SIDE = 32
"""Pixels of an image's side where ``data.size`` is left out."""


@dataclass(frozen=True)
class Decoded:
    """One part of a data set.

    Images are uint8, contiguous, shape (N, 3, S, S), S = ``data.size`` or 32; labels int64, shape (N,), in
    [0, len(classes)); class names are the same in both parts.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


class Source(Protocol):
    """A data set: where its files are, and how they become arrays. One class in one file of this package."""

    augment: ClassVar[tuple[Augmentation, ...]]
    """What suits these images; mirrored digits, for one, are no digits."""
    takes_folder: ClassVar[bool]
    takes_label: ClassVar[bool]
    """Whether ``data.label`` can name the column of labels."""
    downloads: ClassVar[bool]

    @staticmethod
    def files(data: Data, part: Part) -> Sequence[Path]:
        """All files (or folders, where what they list matters) that the part is decoded from.

        Their paths, sizes and times key the cache.

        Raises:
            WrongInput: A file or folder is missing.
        """
        ...

    @staticmethod
    def decode(data: Data, files: Sequence[Path], part: Part) -> Decoded:
        """Decode the part from what `files` returned; of ``data``, only name, folder, label, size, classes may matter.

        Raises:
            WrongInput: A file is damaged, or an image or label is not what it should be; file and row are named.
        """
        ...


SOURCES: Registry[type[Source]] = Registry("trial.data", noun="data set")
register = SOURCES.register
