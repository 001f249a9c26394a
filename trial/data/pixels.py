"""Image files and arrays made uint8 (3, S, S), and what is said of an image that cannot be."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.errors import WrongInput
from trial.data.source import SIDE

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decoded", "reason", "resized"]

Pixels = npt.NDArray[np.uint8]


def decoded(
    encoded: Iterable[Sequence[bytes | Path | None]], /, *, count: int, size: int | None, place: Callable[[int], str]
) -> Pixels:
    """Decode image files in threads.

    Without ``size`` an image must be RGB of 32×32. With it, each is converted to RGB (of transparency only the
    colour is kept) and resized to size×size, whatever its shape was: bicubic, averaged over all pixels it covers
    where it shrinks (Pillow's), untouched where it has that size already.

    Args:
        encoded: Files' contents or paths, in pieces, each of which one thread decodes.
        count: How many images these are.
        size: Side in pixels, or None.
        place: What messages call the image of an index.

    Returns:
        uint8, shape (count, 3, S, S).

    Raises:
        WrongInput: The first image that cannot be used, named by its place.
    """
    side = size or SIDE
    images = np.empty((count, 3, side, side), np.uint8)
    with ThreadPoolExecutor() as pool:
        decoded_pieces = pool.map(partial(_all_pixels, size=size), encoded)
        for index, pixels in enumerate(chain.from_iterable(decoded_pieces)):
            if isinstance(pixels, str):
                # Nobody waits for the images behind the broken one.
                pool.shutdown(wait=False, cancel_futures=True)
                raise WrongInput(f"{place(index)}: {pixels}")
            images[index] = pixels
    return images


def resized(images: Pixels, /, *, size: int | None) -> Pixels:
    """Resize RGB arrays, shape (N, 3, H, W), as `decoded` does files; contiguous; as they are where size is None."""
    from PIL import Image

    images = np.ascontiguousarray(images)
    if size is None or images.shape[2:] == (size, size):
        return images

    def one(image: Pixels) -> Pixels:
        return _to_size(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), size)

    large = np.empty((len(images), 3, size, size), np.uint8)
    with ThreadPoolExecutor() as pool:
        for index, pixels in enumerate(pool.map(one, images)):
            large[index] = pixels
    return large


def _all_pixels(encoded: Sequence[bytes | Path | None], *, size: int | None) -> list[Pixels | str]:
    return [_pixels(image, size=size) for image in encoded]


def _pixels(encoded: bytes | Path | None, *, size: int | None) -> Pixels | str:
    """Decode one image to (3, S, S), or say what is wrong with it and what is accepted."""
    from PIL import Image

    accepted = f"an RGB image of {SIDE}×{SIDE}" if size is None else "an image of 8 bits per channel"
    if encoded is None:
        return f"no image bytes; {accepted} is accepted"
    try:
        with Image.open(io.BytesIO(encoded.read_bytes() if isinstance(encoded, Path) else encoded)) as image:
            if size is None:
                if image.size != (SIDE, SIDE) or image.mode != "RGB":
                    given = f"{image.mode} of {image.width}×{image.height}"
                    return f"the image is {given}; {accepted} is accepted, or set data.size"
                return np.asarray(image).transpose(2, 0, 1)
            if image.mode.startswith(("I", "F")):  # Pillow would clip these to 255, not scale them
                return f"the image is {image.mode} of {image.width}×{image.height}; {accepted} is accepted"
            return _to_size(image, size)
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        return f"the image does not decode ({reason(error)}); {accepted} is accepted"


def _to_size(image: Image, size: int) -> Pixels:
    from PIL.Image import Resampling

    # By way of RGBA, since Pillow warns of each palette that has transparency.
    with_alpha = image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
    return np.asarray(with_alpha.convert("RGB").resize((size, size), Resampling.BICUBIC)).transpose(2, 0, 1)


def reason(error: Exception) -> str:
    """The first line of an error's text without addresses of objects, else the error's name."""
    said = getattr(error, "strerror", None) or str(error)
    text = re.sub(r" ?<[^<>]* object at 0x[0-9a-fA-F]+>", "", said).strip()
    return text.splitlines()[0] if text else type(error).__name__
