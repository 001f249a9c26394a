"""Training and validation images, as tensors where the training happens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from analysis.errors import WrongInput
from trial.data.cache import content_digest, decoded_once
from trial.data.class_subset import numbers_of, subset
from trial.data.settings import Data
from trial.data.source import SOURCES, Augmentation, Decoded, Part
from trial.data.split import count_of, held_out

__all__ = ["ImageSet", "Splits", "load", "load_test"]


@dataclass(frozen=True)
class ImageSet:
    """Images with their labels."""

    images: Tensor
    """uint8, shape (N, 3, S, S)."""
    labels: Tensor
    """int64, shape (N,)."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """What a search sees of a data set: never its test images."""

    train: ImageSet
    validation: ImageSet
    classes: tuple[str, ...]
    mean: Tensor
    """Of the training part, float32, shape (3,), pixels taken as [0, 1]."""
    std: Tensor
    """Likewise; 1 for a channel that is constant, so that it can be divided by."""
    augment: tuple[Augmentation, ...]
    fingerprint: str
    """32 hex digits: images, labels, class names, split, augmentation. The same where images decode alike."""


def load(data: Data, *, device: torch.device | str = "cpu") -> Splits:
    """Load the training part and split it; the choice is fixed, whatever a trial's seed is.

    Raises:
        WrongInput: Files are missing or damaged, ``validation``, ``images`` or ``classes`` asks for more than there
            is, or a class has no image to train or to validate on.
        WorkFailed: Files that were to be downloaded cannot be had.
    """
    decoded, digest = _decoded(data, "train")
    used, is_validation = _chosen(data, decoded)
    train, validation = (_image_set(decoded, used[chosen], device) for chosen in (~is_validation, is_validation))
    mean, std = _moments(train.images)
    augment = data.augment or ()
    return Splits(
        train=train,
        validation=validation,
        classes=decoded.classes,
        mean=mean,
        std=std,
        augment=augment,
        fingerprint=_fingerprint(digest, decoded.classes, used, is_validation, augment),
    )


def load_test(data: Data, *, device: torch.device | str = "cpu") -> ImageSet:
    """Load the test part, which no search may read; raises WrongInput as `load` does."""
    decoded, _ = _decoded(data, "test")
    return _image_set(decoded, np.arange(len(decoded.labels)), device)


def _decoded(data: Data, part: Part) -> tuple[Decoded, str]:
    source = SOURCES[data.name]
    try:
        files = source.files(data, part)
        # What the test part's labels mean may be told by the train part's files.
        keyed = files if part == "train" else [*source.files(data, "train"), *files]
        whole, digest = decoded_once(
            keyed,
            lambda: source.decode(data, files, part),
            name=data.name,
            part=part,
            settings=(data.label, data.size),
        )
    except OSError as error:  # a folder that may not be read, a link to nothing
        raise WrongInput(f"data.folder: {error.filename} cannot be read: {error.strerror}") from error
    if data.classes is None:
        return whole, digest
    chosen = subset(whole, numbers_of(data, whole.classes))
    return chosen, content_digest(chosen)


def _chosen(data: Data, decoded: Decoded) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Which images are used, ascending, and which of these are held out; each class occurs on either side."""
    labels, classes = decoded.labels, decoded.classes
    leave_out = "or leave the class out with data.classes"
    if missing := _missing(labels, classes):
        raise WrongInput(f"data: {data.name} has no training image of class {missing!r}: add some, {leave_out}")
    used = np.arange(len(labels))
    if data.images is not None:
        if data.images > len(labels):
            these = "" if data.classes is None else " of these classes"
            raise WrongInput(
                f"data.images: {data.images} asked for, {data.name} has {len(labels)} training images{these}"
            )
        used = np.flatnonzero(held_out(labels, count=data.images, purpose="images"))
        if missing := _missing(labels[used], classes):
            raise WrongInput(f"data.images: {data.images} take none of class {missing!r}: use more, {leave_out}")
    count = count_of(data.validation, images=len(used), classes=len(classes))
    is_validation = held_out(labels[used], count=count, purpose="validation")
    for chosen, what, cure in (
        (is_validation, "to validate on", "hold more out"),
        (~is_validation, "to train on", "hold fewer out"),
    ):
        if missing := _missing(labels[used[chosen]], classes):
            there = np.count_nonzero(labels[used] == classes.index(missing))
            raise WrongInput(
                f"data.validation: {data.validation} leaves none of the {there} images of class {missing!r} {what}: "
                f"{cure}, {leave_out}"
            )
    return used, is_validation


def _missing(labels: npt.NDArray[np.int64], classes: tuple[str, ...]) -> str | None:
    """The first class of which there is no label."""
    absent = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    return classes[absent[0]] if len(absent) else None


def _image_set(decoded: Decoded, chosen: npt.NDArray[np.int64], device: torch.device | str) -> ImageSet:
    images, labels = decoded.images[chosen], decoded.labels[chosen]
    return ImageSet(torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device))


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation per channel, from counts of the 256 values: exact on any device."""
    counts = torch.stack([torch.bincount(images[:, c].flatten(), minlength=256) for c in range(images.shape[1])])
    values = torch.arange(256, device=images.device)
    n = counts.sum(1).double()
    mean = (counts * values).sum(1).double() / n
    variance = (counts * values**2).sum(1).double() / n - mean**2
    std = torch.where(variance > 0, variance.clamp_min(0).sqrt() / 255, 1.0)
    return (mean / 255).float(), std.float()


def _fingerprint(
    digest: str,
    classes: tuple[str, ...],
    used: npt.NDArray[np.int64],
    is_validation: npt.NDArray[np.bool_],
    augment: tuple[Augmentation, ...],
) -> str:
    split = hashlib.sha256(used.astype("<i8").tobytes() + is_validation.tobytes()).hexdigest()
    described = repr((digest, classes, split, sorted(set(augment))))
    return hashlib.sha256(described.encode()).hexdigest()[:32]
