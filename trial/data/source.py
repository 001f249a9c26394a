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

__all__ = ["SOURCES", "Augmentation", "Decoded", "Part", "Source", "register"]

Augmentation = Literal["flip", "shift", "rotation", "cutout"]
Part = Literal["train", "test"]


@dataclass(frozen=True)
class Decoded:
    """One part of a data set: images uint8 (N, 3, 32, 32), labels int64 (N,) in [0, len(classes)), class names."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


class Source(Protocol):
    """A data set: where its files are, and how they become arrays. One class in one file of this package."""

    augment: ClassVar[tuple[Augmentation, ...]]
    """What suits these images; mirrored digits, for one, are no digits."""
    takes_folder: ClassVar[bool]
    downloads: ClassVar[bool]

    @staticmethod
    def files(data: Data, part: Part) -> Sequence[Path]:
        """All files that the part is decoded from; their paths, sizes and times key the cache.

        Raises:
            WrongInput: A file or folder is missing.
        """
        ...

    @staticmethod
    def decode(files: Sequence[Path], part: Part) -> Decoded:
        """Decode the part.

        Raises:
            WrongInput: A file is damaged, or an image or label is not what it should be; file and row are named.
        """
        ...


SOURCES: Registry[type[Source]] = Registry("trial.data", noun="data set")
register = SOURCES.register
