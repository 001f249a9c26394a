"""What the published data sets share: torchvision's own files, in a folder or downloaded, or Parquet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from analysis.errors import WorkFailed, WrongInput
from trial.data.cache import cache_folder
from trial.data.hub_layout import part_files
from trial.data.parquet import decode_part
from trial.data.pixels import reason, resized
from trial.data.source import Decoded, Part

if TYPE_CHECKING:
    from trial.data.settings import Data

__all__ = ["Labelled", "Published"]

Labelled = tuple[npt.NDArray[np.uint8], Sequence[int], tuple[str, ...]]
"""Images (N, 3, 32, 32) in any memory layout, labels, and class names."""


class Published(ABC):
    """A source (see `Source`) whose folder holds torchvision's files or Parquet; Parquet is looked for first.

    Without a folder it is torchvision's files in prunefront's cache folder. A subclass says what its files are and
    how torchvision loads them; torchvision checks their MD5 sums before it opens one.
    """

    takes_folder: ClassVar[bool] = True
    takes_label: ClassVar[bool] = False
    downloads: ClassVar[bool] = True

    name: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    """The names of classes where a Parquet file's metadata has none."""
    own: ClassVar[dict[Part, tuple[str, ...]]]
    """The files that torchvision reads or checks for a part, below the folder."""

    @staticmethod
    @abstractmethod
    def loaded(folder: Path, part: Part, *, download: bool) -> Labelled:
        """The part through torchvision's loader, which is imported only here: that takes seconds."""

    @classmethod
    def files(cls, data: Data, part: Part) -> Sequence[Path]:
        """The part's files; where there are none and ``download`` is set, they are fetched first."""
        folder = data.folder or cache_folder() / cls.name
        if files := part_files(folder, part):
            return files
        if data.folder is not None and not data.download and not folder.is_dir():
            raise WrongInput(f"data.folder: {folder} is not a folder")
        own = [folder / name for name in cls.own[part]]
        if data.download and not all(file.is_file() for file in own):
            cls._load(folder, part, download=True)
        for name, file in zip(cls.own[part], own, strict=True):
            if not file.is_file():
                raise WrongInput(
                    f"data.folder: {folder} has neither {part}.parquet nor {name}: "
                    "name the folder that has, or set data.download: true"
                )
        return own

    @classmethod
    def decode(cls, data: Data, files: Sequence[Path], part: Part) -> Decoded:
        """Decode Parquet here, leave torchvision's files to torchvision."""
        folder = data.folder or cache_folder() / cls.name
        if files[0].suffix == ".parquet":
            decoded = decode_part(folder, files, part, names=cls.classes, size=data.size)
            if (count := len(decoded.classes)) != len(cls.classes):
                raise WrongInput(
                    f"{files[0]} names {count} classes, {cls.name} has {len(cls.classes)}: name it parquet"
                )
            return decoded
        images, labels, classes = cls._load(folder, part, download=data.download)
        return Decoded(resized(images, size=data.size), np.asarray(labels, dtype=np.int64), classes)

    @classmethod
    def _load(cls, folder: Path, part: Part, *, download: bool) -> Labelled:
        try:
            return cls.loaded(folder, part, download=download)
        except (RuntimeError, OSError) as error:
            if download:
                raise WorkFailed(
                    f"{cls.name} could not be fetched into {folder}: {reason(error)}; try again, or put "
                    f"{', '.join(cls.own[part])} there yourself"
                ) from error
            if isinstance(error, OSError):
                raise WrongInput(f"data.folder: {cls.name} in {folder} cannot be read: {reason(error)}") from error
            raise WrongInput(
                f"data.folder: {cls.name} in {folder} is damaged or incomplete, its MD5 sums are not those of the "
                "published files: set data.download: true to fetch them again"
            ) from error
