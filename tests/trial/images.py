"""Small made-up images that a network can learn in seconds."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from trial.data import ImageSet, Splits


def image_set(count, *, seed, classes=3):
    """Noise, brighter in the channel that is the label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    images = torch.randint(0, 120, (count, 3, 32, 32), generator=generator)
    images[torch.arange(count), labels] += 100
    return ImageSet(images.to(torch.uint8), labels)


def splits(train=150, validation=40, *, augment=("flip", "shift")):
    return Splits(
        train=image_set(train, seed=1),
        validation=image_set(validation, seed=2),
        classes=("red", "green", "blue"),
        mean=torch.tensor([0.36, 0.35, 0.37]),
        std=torch.tensor([0.23, 0.24, 0.25]),
        augment=augment,
        fingerprint="0" * 32,
    )


def parquet_folder(folder, *, train=60, test=20):
    """Such images as the Hugging Face hub lays them out, in three classes; the test part has none of the last."""
    folder.mkdir(parents=True)
    for name, count, seed in (("train", train, 1), ("test", test, 2)):
        images = image_set(count, seed=seed)
        rows = [
            (_encoded(image), label)
            for image, label in zip(images.images, images.labels.tolist(), strict=True)
            if name == "train" or label < 2
        ]
        table = {"img": [{"bytes": encoded} for encoded, _ in rows], "label": [label for _, label in rows]}
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return folder


def _encoded(image):
    out = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(out, format="PNG")
    return out.getvalue()
