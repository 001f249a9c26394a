"""A small folder for every data set that takes one, in its own format: what the laws over the sources read."""

import hashlib
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torchvision.datasets
from PIL import Image
from scipy.io import savemat

from tests.trial.data.conftest import encoded, random_images

TRAIN, TEST = 60, 20


def labels_of(count, classes):
    """Every class occurs, in an order that is not sorted."""
    return [(7 * row) % classes for row in range(count)]


def cifar10(folder, monkeypatch):
    made = folder / "cifar-10-batches-py"
    sizes = {**{f"data_batch_{number}": TRAIN // 5 for number in range(1, 6)}, "test_batch": TEST}
    for seed, (name, count) in enumerate(sizes.items()):
        _pickled(made / name, {"data": _rows(count, seed=seed), "labels": labels_of(count, 10)})
    _pickled(made / "batches.meta", {"label_names": torchvision_names("cifar10")})
    _accept(monkeypatch, torchvision.datasets.CIFAR10, made)


def cifar100(folder, monkeypatch):
    made = folder / "cifar-100-python"
    for seed, (name, count) in enumerate({"train": 300, "test": 100}.items()):
        fine = labels_of(count, 100)
        entry = {"data": _rows(count, seed=seed), "fine_labels": fine, "coarse_labels": [each // 5 for each in fine]}
        _pickled(made / name, entry)
    _pickled(made / "meta", {"fine_label_names": torchvision_names("cifar100"), "coarse_label_names": ["unused"] * 20})
    _accept(monkeypatch, torchvision.datasets.CIFAR100, made)


def svhn(folder, monkeypatch):
    split_list = {}
    for part, count in {"train": TRAIN, "test": TEST}.items():
        images = random_images(count, seed=len(part)).transpose(1, 2, 3, 0)
        # In the published files the digit 0 has label 10, and labels are a column.
        labels = np.array([[label or 10] for label in labels_of(count, 10)], dtype=np.uint8)
        file = folder / f"{part}_32x32.mat"
        savemat(file, {"X": images, "y": labels})
        split_list[part] = ["nowhere", file.name, _md5(file)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", split_list)


def parquet(folder, monkeypatch):
    del monkeypatch
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for part, count in {"train": TRAIN, "test": TEST}.items():
        rows = [{"bytes": encoded(image), "path": None} for image in random_images(count, seed=len(part))]
        pq.write_table(
            pa.table({"img": pa.array(rows, struct), "label": labels_of(count, 3)}), folder / f"{part}.parquet"
        )


def image_folder(folder, monkeypatch):
    del monkeypatch
    for part, count in {"train": TRAIN, "test": TEST}.items():
        for row, (image, label) in enumerate(
            zip(random_images(count, seed=len(part)), labels_of(count, 3), strict=True)
        ):
            file = folder / part / ["zebra", "ape", "cat"][label] / f"{row}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)


MADE = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "digits": None,
    "image-folder": image_folder,
    "parquet": parquet,
    "svhn": svhn,
}
"""One line per data set; None where it takes no folder."""


def torchvision_names(name):
    from trial.data.source import SOURCES

    return list(SOURCES[name].classes)


def _rows(count, *, seed):
    """Images as CIFAR's batches hold them: a row of 3,072 bytes, red before green before blue."""
    return random_images(count, seed=seed).transpose(0, 3, 1, 2).reshape(count, -1)


def _pickled(file, entry):
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pickle.dumps(entry))


def _md5(file):
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def _accept(monkeypatch, loader, made):
    """Put the made files' MD5 sums where torchvision has those of the published ones; the rest of it is real."""
    for kind in ("train_list", "test_list"):
        sums = [[name, _md5(made / name)] for name, _ in getattr(loader, kind)]
        monkeypatch.setattr(loader, kind, sums)
    monkeypatch.setattr(loader, "meta", {**loader.meta, "md5": _md5(made / loader.meta["filename"])})
