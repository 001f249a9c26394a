"""Holding images out of a set, equally per class and the same on every machine."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from analysis.errors import WrongInput

__all__ = ["count_of", "held_out", "quotas"]


def quotas(class_sizes: npt.NDArray[np.int64], /, *, count: int) -> npt.NDArray[np.int64]:
    """How many of each class to take so that ``count`` are taken in all and class shares stay equal.

    The largest-remainder rule in integers: ⌊count·n_c/n⌋ of class c, then one more each for the classes with the
    largest remainders, ties to the lower class.

    >>> quotas(np.array([5, 5, 3]), count=4)
    array([2, 1, 1])
    """
    whole, remainder = np.divmod(count * class_sizes, class_sizes.sum())
    further = np.argsort(-remainder, kind="stable")[: count - int(whole.sum())]
    whole[further] += 1
    return whole


def held_out(labels: npt.NDArray[np.int64], /, *, count: int, purpose: str) -> npt.NDArray[np.bool_]:
    """Choose ``count`` images, equally per class; which ones depends on ``purpose`` and on nothing else.

    Args:
        labels: Shape (N,), in [0, classes).
        count: How many to choose, 0 ≤ count ≤ N.
        purpose: Seeds the choice, so that two choices from one set are independent.

    Returns:
        Shape (N,), true where chosen.
    """
    assert 0 <= count <= len(labels)
    # NumPy promises to keep a bit generator's raw stream (NEP 19); what its other methods draw may change.
    seed = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    shuffled = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    taken = quotas(sizes, count=count)
    starts = np.cumsum(sizes) - sizes
    # The place of each shuffled image within its own class.
    place = np.arange(len(labels)) - np.repeat(starts, sizes)
    chosen = np.zeros(len(labels), dtype=np.bool_)
    chosen[by_class[place < np.repeat(taken, sizes)]] = True
    return chosen


def count_of(validation: float, /, *, images: int, classes: int) -> int:
    """Turn a validation count or share into a count; a share is rounded down, to at least 1.

    Raises:
        WrongInput: Fewer than one training image per class would be left.
    """
    if images <= classes:
        raise WrongInput(
            f"data.validation: {images} training images are too few for {classes} classes; "
            f"at least {classes + 1} are needed, {classes} to train on and 1 to hold out"
        )
    count = validation if isinstance(validation, int) else max(1, int(Fraction(str(validation)) * images))
    if count > images - classes:
        raise WrongInput(
            f"data.validation: {validation} holds {count} of {images} training images out; "
            f"at most {images - classes} are accepted, so that {classes} are left to train on"
        )
    return count
