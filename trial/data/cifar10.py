"""CIFAR-10, from torchvision's own files or as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from analysis.errors import WrongInput
from trial.data.cache import cache_folder
from trial.data.parquet import decode_parquet, parquet_files
from trial.data.source import Augmentation, Decoded, Part, register

if TYPE_CHECKING:
    from trial.data.settings import Data

__all__ = ["Cifar10"]

BATCHES = "cifar-10-batches-py"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@register("cifar10")
class Cifar10:
    """50,000 training and 10,000 test images of ten classes [Krizhevsky 2009].

    The folder holds Parquet files, or ``cifar-10-batches-py`` as torchvision unpacks it; without a folder it is
    torchvision's files in prunefront's cache folder.
    """

    augment: ClassVar[tuple[Augmentation, ...]] = ("flip", "shift")
    takes_folder: ClassVar[bool] = True
    downloads: ClassVar[bool] = True

    @staticmethod
    def files(data: Data, part: Part) -> Sequence[Path]:
        """The part's files; where there are none and ``download`` is set, they are fetched first."""
        folder = data.folder or cache_folder() / "cifar10"
        if files := parquet_files(folder, part):
            return files
        numbered = ["test_batch"] if part == "test" else [f"data_batch_{number}" for number in range(1, 6)]
        batches = [folder / BATCHES / name for name in (*numbered, "batches.meta")]
        if data.download and not all(file.is_file() for file in batches):
            _torchvision(folder, part, download=True)
        for file in batches:
            if not file.is_file():
                raise WrongInput(
                    f"data.folder: {folder} has neither {part}.parquet nor {BATCHES}/{file.name}: "
                    "name the folder that has, or set data.download: true"
                )
        return batches

    @staticmethod
    def decode(files: Sequence[Path], part: Part) -> Decoded:
        """Decode Parquet here, leave torchvision's files to torchvision, which checks their MD5 sums first."""
        if files[0].suffix == ".parquet":
            decoded = decode_parquet(files, names=CLASSES)
            if (count := len(decoded.classes)) != len(CLASSES):
                raise WrongInput(f"{files[0]} names {count} classes, cifar10 has {len(CLASSES)}: name it parquet")
            return decoded
        return _torchvision(files[0].parent.parent, part, download=False)


def _torchvision(folder: Path, part: Part, *, download: bool) -> Decoded:
    # Imported only here: it takes seconds.
    from torchvision.datasets import CIFAR10

    try:
        found = CIFAR10(folder, train=part == "train", download=download)
    except (RuntimeError, OSError) as error:
        raise WrongInput(f"data.folder: CIFAR-10 in {folder} cannot be read: {error}") from error
    images = np.ascontiguousarray(found.data.transpose(0, 3, 1, 2))
    return Decoded(images, np.asarray(found.targets, dtype=np.int64), tuple(found.classes))
