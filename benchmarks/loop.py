"""The training loop against the one that tutorials teach: the same network, images, changes and threads."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks import cores, in_turn, made_up, ratio
from trial.augmentation import draw, normalised, picked
from trial.data import Splits
from trial.memory import keep_freed_memory
from trial.networks import Network, build
from trial.training import Training, train

IMAGES = 5_000
BATCH = 128
WORKERS = 2
RATE = 1e-3
FED_STEPS = 6
ROUNDS = 3


def figures() -> Iterator[str]:
    """Ratios of whole epochs, validation left out on both sides, and the share of a step that feeding takes."""
    rounds = [(_alone("tutorial"), _alone("tutorial, tuned"), _alone("ours")) for _ in range(ROUNDS)]
    plain, tuned, ours = map(list, zip(*rounds, strict=True))
    yield (
        f"seed-cnn, an epoch of {IMAGES:,} images: torchvision v2 and a DataLoader of {WORKERS} workers take "
        f"{ratio(plain, ours)} times as long as our loop (target 2)"
    )
    yield f"the same with our memory layout, allocator and thread policy: {ratio(tuned, ours)} times as long"
    torch.set_num_threads(cores())
    keep_freed_memory()
    few = made_up(FED_STEPS * BATCH)
    large = _built("vgg16-bn", torch.channels_last)
    found = in_turn({"epoch": lambda: _ours(large, few), "feeding": lambda: _feed(few)})
    share = statistics.median(found["feeding"]) / statistics.median(found["epoch"])
    yield f"vgg16-bn, batches of {BATCH}: order, changes and normalising take {100 * share:.2f}% of a step (target 2%)"


def _alone(program: str) -> float:
    """An epoch's seconds in a process of its own: torch reads the thread policy when it loads."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if program != "tutorial":
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    code = f"from benchmarks.loop import seconds; print(seconds({program!r}))"
    ran = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return float(ran.stdout)


def seconds(program: str) -> float:
    """The shortest of two epochs of a program, after one that warms up."""
    torch.set_num_threads(cores())
    splits = made_up(IMAGES)
    if program != "tutorial":
        keep_freed_memory()
    network = _built("seed-cnn", torch.contiguous_format if program == "tutorial" else torch.channels_last)
    loader = None if program == "ours" else _loader(splits)

    def epoch() -> float:
        start = time.perf_counter()
        if loader is None:
            _ours(network, splits)
        else:
            _tutorial(network, loader)
        return time.perf_counter() - start

    epoch()
    return min(epoch(), epoch())


def _built(name: str, layout: torch.memory_format) -> nn.Module:
    network = build(Network(name=name), classes=10, seed=0)
    return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def _ours(network: nn.Module, splits: Splits) -> None:
    train(network, splits, Training(epochs=1, batch=BATCH, rate=RATE), seed=0)


def _feed(splits: Splits) -> None:
    """What an epoch does beside the network: draw, pick, change, normalise."""
    changes = draw(len(splits.train), splits.augment, seed=0, epoch=0, device=splits.train.images.device)
    for start in range(0, len(splits.train), BATCH):
        normalised(picked(splits.train.images, changes, slice(start, start + BATCH)), splits)


def _loader(splits: Splits) -> Any:
    """As in torchvision's own examples: PIL images, transformed one by one in worker processes that are kept."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.RandomCrop(32, padding=4, padding_mode="reflect"),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(splits.mean.tolist(), splits.std.tolist()),
        ]
    )
    pixels, labels = splits.train.images.permute(0, 2, 3, 1).contiguous().numpy(), splits.train.labels.tolist()

    class Images(Dataset[Any]):
        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, index: int) -> Any:
            return transform(Image.fromarray(pixels[index])), labels[index]

    return DataLoader(Images(), batch_size=BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def _tutorial(network: nn.Module, loader: Any) -> None:
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for batch, labels in loader:
        optimiser.zero_grad()
        functional.cross_entropy(network(batch), labels).backward()
        optimiser.step()
