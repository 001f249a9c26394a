"""scikit-learn's bundled handwritten digits: data that needs no download."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trial.data.pixels import resized
from trial.data.source import SIDE, Augmentation, Decoded, Part, register
from trial.data.split import held_out

if TYPE_CHECKING:
    from trial.data.settings import Data

__all__ = ["Digits"]

TEST_IMAGES = 360


@register("digits")
class Digits:
    """1,797 digits of 8×8 pixels, each pixel made a 4×4 block and repeated in three channels: 3×32×32.

    Values 0 … 16 become round(255·v/16), halves to even. 360 images, equally per class, are the test part; the
    set comes with none of its own.
    """

    augment: ClassVar[tuple[Augmentation, ...]] = ("shift",)
    takes_folder: ClassVar[bool] = False
    takes_label: ClassVar[bool] = False
    downloads: ClassVar[bool] = False

    @staticmethod
    def files(data: Data, part: Part) -> Sequence[Path]:
        """The file in scikit-learn's package, found without the second that importing it takes."""
        del data, part
        package = importlib.util.find_spec("sklearn")
        folders = package.submodule_search_locations if package else None
        return [Path(folder, "datasets", "data", "digits.csv.gz") for folder in folders or ()]

    @staticmethod
    def decode(data: Data, files: Sequence[Path], part: Part) -> Decoded:
        """Read the digits through scikit-learn and enlarge them, then resize the 32×32 to ``data.size``."""
        del files
        from sklearn.datasets import load_digits

        digits = load_digits()
        labels = digits.target.astype(np.int64)
        is_test = held_out(labels, count=TEST_IMAGES, purpose="digits test part")
        chosen = is_test if part == "test" else ~is_test
        grey = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)
        large = np.kron(grey, np.ones((1, SIDE // 8, SIDE // 8), np.uint8))
        images = np.repeat(large[:, None], 3, axis=1)
        return Decoded(resized(images, size=data.size), labels[chosen], tuple(str(digit) for digit in range(10)))
