"""Small made-up images that a network can learn in seconds."""

import torch

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
