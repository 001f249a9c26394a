"""How fast a network trains here: a few real steps, timed before anything is run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from trial.data import ImageSet, Splits
from trial.experiment import Experiment
from trial.freezing import only
from trial.networks import build, trainable
from trial.numerics import computing
from trial.seeds import seeded
from trial.training import Training, evaluate, train

__all__ = ["Pace", "pace"]

FEW = 8
"""Images in the first step, which starts threads and tells how large a step the time allows."""
REPEATS = 5
SECONDS = 20.0
"""A step that would take longer is timed on fewer images; after so long no other is begun."""
STILL = 1e-9
"""The rate of the timed steps: random weights must not diverge under it."""


@dataclass(frozen=True)
class Pace:
    """Seconds of one CPU core, or of a GPU."""

    training: float
    """Per image and epoch, its forward and backward pass and its share of a step."""
    evaluation: float
    """Per validation image."""

    def epoch(self, splits: Splits) -> float:
        """Seconds that one epoch takes, its look at the validation images included."""
        return len(splits.train) * self.training + len(splits.validation) * self.evaluation


def pace(
    experiment: Experiment,
    splits: Splits,
    *,
    device: torch.device,
    in_dense: bool = True,
    seconds: float = SECONDS,
    clock: Callable[[], float] | None = None,
) -> Pace:
    """Time steps of the unpruned network on the first images, on one CPU thread; the shortest counts.

    Args:
        experiment: Its ``dense`` settings say how large a step is; no weights are read or downloaded.
        splits: On any device; at least two training images.
        device: The one that will train.
        in_dense: Whether the layers that train are those of dense training, or of a training after it.
        seconds: The steps take about twice so long at most, one of `FEW` images however slow it is.
        clock: Gives seconds; left out, those of this process where a CPU trains, which do not run while other
            processes have the cores, and those on the wall where a GPU does.
    """
    clock = clock or (time.perf_counter if device.type == "cuda" else time.process_time)
    network = build(experiment.network, classes=len(splits.classes), seed=experiment.seed, trained=False)
    experiment.numerics.lay_out(network, device)
    training = experiment.dense.model_copy(update={"epochs": 1, "rate": STILL, "schedule": "constant"})

    def timed(work: Callable[[], object]) -> float:
        start = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - start

    def step(images: int) -> float:
        """A step on so many images, without the look at the validation images that ends an epoch."""
        some = _first(splits, images, device=device)
        of_step: Training = training.model_copy(update={"batch": images})
        whole = timed(lambda: train(network, some, of_step, seed=experiment.seed))
        return max(whole - timed(lambda: evaluate(network, some.validation, some)), 1e-9)

    with (
        seeded(experiment.seed, "pace", device=device),
        computing(experiment.numerics.precision, threads=1),
        only(network, trainable(experiment.network, in_dense=in_dense)),
    ):
        most = min(experiment.dense.batch, len(splits.train))
        few = min(FEW, most)
        step(few)  # a process's first step loads libraries
        per_image = step(few) / few
        images = max(few, min(most, int(seconds / per_image)))
        started, steps = clock(), [step(images)]
        while len(steps) < REPEATS and clock() - started < seconds / 2:
            steps.append(step(images))
        some = _first(splits, images, device=device)
        looks = [timed(lambda: evaluate(network, some.validation, some)) for _ in range(2)]
    return Pace(min(steps) / images, min(looks) / len(some.validation))


def _first(splits: Splits, images: int, *, device: torch.device) -> Splits:
    """The first so many images of each part, on a device."""

    def part(of: ImageSet) -> ImageSet:
        return ImageSet(of.images[:images].to(device), of.labels[:images].to(device))

    return replace(
        splits,
        train=part(splits.train),
        validation=part(splits.validation),
        mean=splits.mean.to(device),
        std=splits.std.to(device),
    )
