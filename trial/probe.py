"""Which precision and memory layout a network trains fastest in here: a few steps of each, timed in turn."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

import torch
from torch import nn
from torch.nn import functional

from trial.augmentation import normalised
from trial.data import Splits
from trial.experiment import Experiment
from trial.freezing import only
from trial.networks import build, trainable
from trial.numerics import Layout, Numerics, Precision, autocast, computing
from trial.seeds import seeded

__all__ = ["Candidate", "Probed", "best", "probe"]

WORTH = 1.25
"""So many times as fast as what is preferred another candidate has to be: less is noise, which would give two studies
of one spec different numerics."""
HOPELESS = 1.5
"""A candidate that takes so many times the fastest one's time is not timed again."""
UNPREPARED = 4.0
"""The same for a first step, in which each candidate also prepares what is prepared once."""
SCREENED = 8
"""Images in the first steps: where bfloat16 is emulated, a step of a whole batch may take a minute."""
LEAST, REPEATS = 2, 5
"""Rounds of steps on whole batches, of which the shortest counts."""
SECONDS = 1.0
"""After so long none but the least rounds are begun."""

Candidate = tuple[Precision, Layout]
Clock = Callable[[], float]

CANDIDATES: tuple[Candidate, ...] = tuple(itertools.product(get_args(Precision), get_args(Layout)))
"""From the most to the least preferred: float32 and channels-last first."""


@dataclass(frozen=True)
class Probed:
    """What a probe settled on, and what it saw."""

    numerics: Numerics
    ratios: Mapping[Candidate, float]
    """A step's time, as a multiple of the chosen candidate's; those that cannot run the network are infinite."""

    def __str__(self) -> str:
        """One line for the user."""
        chosen = (self.numerics.precision, self.numerics.layout)
        others = [
            f"{_named(candidate)} {'cannot run the network' if math.isinf(ratio) else f'takes {ratio:.2f}×'}"
            for candidate, ratio in self.ratios.items()
            if candidate != chosen
        ]
        return f"numerics: {_named(chosen)}; a step in {', '.join(others)}"


def probe(experiment: Experiment, splits: Splits, *, device: torch.device, clock: Clock | None = None) -> Probed | None:
    """Time training steps of the experiment's network, and settle what its numerics leave open.

    A step is one of dense training, on its batch size and on the first training images, on one CPU thread. Everything
    is left as it was.

    Args:
        experiment: Its ``numerics`` fix the precision or the layout where they say it (``model_fields_set``).
        splits: On any device.
        device: The one that will train.
        clock: Gives seconds; left out, those of this process where a CPU trains, which do not run while
            other processes have the cores, and those on the wall where a GPU does.

    Returns:
        None where nothing is open, or nothing can run the network: the preferred candidate's error is a trial's.
    """
    clock = clock or (time.perf_counter if device.type == "cuda" else time.process_time)
    numerics = experiment.numerics
    candidates = [
        candidate
        for candidate in CANDIDATES
        if all(
            getattr(numerics, name) == said
            for name, said in zip(("precision", "layout"), candidate, strict=True)
            if name in numerics.model_fields_set
        )
    ]
    if len(candidates) == 1:
        return None
    with seeded(experiment.seed, "probe", device=device):
        networks = {
            layout: _laid_out(experiment, layout, classes=len(splits.classes), device=device)
            for layout in dict.fromkeys(layout for _, layout in candidates)
        }
        steps = {
            (precision, layout): _stepping(experiment, splits, networks[layout], precision, device=device)
            for precision, layout in candidates
        }
        ratios = _timed(steps, batch=min(experiment.dense.batch, len(splits.train)), clock=clock)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if not ratios:
        return None
    chosen = best(ratios)
    settled = numerics.model_copy(update=dict(zip(("precision", "layout"), chosen, strict=True)))
    return Probed(settled, {each: ratios.get(each, math.inf) / ratios[chosen] for each in candidates})


def best(times: Mapping[Candidate, float]) -> Candidate:
    """The first candidate, unless a later one is at least 1.25 times as fast as the best before it.

    Args:
        times: Of a step, from the most to the least preferred; at least one.
    """
    chosen = next(iter(times))
    for candidate, taken in times.items():
        if taken * WORTH <= times[chosen]:
            chosen = candidate
    return chosen


def _stepping(
    experiment: Experiment, splits: Splits, network: nn.Module, precision: Precision, *, device: torch.device
) -> Callable[[int], None]:
    """A training step on so many images in one precision, done when it returns; it leaves the weights as they are.

    Without the optimiser, which works on the same float32 numbers whatever the candidate.
    """
    training = experiment.dense
    images = normalised(splits.train.images[: training.batch], splits).to(device)
    labels = splits.train.labels[: training.batch].to(device)

    def step(count: int) -> None:
        # On one thread, whatever a trial takes: beside other busy processes threads wait for one another, the more the
        # better a kernel is spread over them. So two threads once found emulated bfloat16 three times as fast.
        with computing(precision, threads=1), only(network, trainable(experiment.network, in_dense=True)):
            with autocast(device):
                loss = functional.cross_entropy(network(images[:count]).float(), labels[:count])
            loss.backward()  # type: ignore[no-untyped-call]
            # Given back at once: no candidate's gradients lie there while another takes its step.
            network.zero_grad()
            if not loss.isfinite():
                raise ArithmeticError(f"the loss was {float(loss.detach())}")
            if device.type == "cuda":
                torch.cuda.synchronize(device)

    return step


def _laid_out(experiment: Experiment, layout: Layout, *, classes: int, device: torch.device) -> nn.Module:
    network = build(experiment.network, classes=classes, seed=experiment.seed).train()
    experiment.numerics.model_copy(update={"layout": layout}).lay_out(network, device)
    return network


class _Race:
    """Candidates that take steps in turn, so that what else the machine does meets them alike."""

    def __init__(self, steps: Mapping[Candidate, Callable[[int], None]], clock: Clock) -> None:
        self.running = list(steps)
        self._steps = steps
        self._clock = clock
        self._shortest: dict[tuple[Candidate, int], float] = {}
        self._ratios: dict[Candidate, float] = {}

    @property
    def ratios(self) -> dict[Candidate, float]:
        """Time as a multiple of the fastest one's, when last timed; without those that cannot run."""
        return {candidate: self._ratios[candidate] for candidate in self._steps if candidate in self._ratios}

    def warm_up(self, images: int) -> None:
        """Take a process's first step, which starts threads and loads libraries: it is nobody's."""
        self._seconds(self.running[0], images)

    def round(self, images: int, *, limit: float) -> None:
        """Take one step of each on so many images; who needs more than ``limit`` times the shortest drops out."""
        for candidate in self.running:
            before = self._shortest.get((candidate, images), math.inf)
            seconds = self._seconds(candidate, images)
            # One that fails on a whole batch is lost whatever it did on a few images.
            self._shortest[candidate, images] = min(before, seconds) if math.isfinite(seconds) else math.inf
        best_of_all = min((self._shortest[candidate, images] for candidate in self.running), default=math.inf)
        for candidate in self.running:
            ratio = self._shortest[candidate, images] / best_of_all
            if math.isfinite(ratio):
                self._ratios[candidate] = ratio
            else:
                self._ratios.pop(candidate, None)
        self.running = [each for each in self.running if self._ratios.get(each, math.inf) <= limit]

    def _seconds(self, candidate: Candidate, images: int) -> float:
        start = self._clock()
        try:
            self._steps[candidate](images)
        except Exception:  # a user's network raises what it likes: this candidate is lost, and no other
            return math.inf
        return self._clock() - start


def _timed(steps: Mapping[Candidate, Callable[[int], None]], *, batch: int, clock: Clock) -> dict[Candidate, float]:
    """Each candidate's shortest step as a multiple of the fastest one's, those left out that cannot run."""
    race, few = _Race(steps, clock), min(SCREENED, batch)
    race.warm_up(few)
    race.round(few, limit=UNPREPARED)
    race.round(few, limit=HOPELESS)
    start = clock()
    for repeat in range(REPEATS):
        is_late = repeat >= LEAST and clock() - start > SECONDS
        if len(race.running) <= 1 or is_late:
            break
        race.round(batch, limit=HOPELESS)
    return race.ratios


def _named(candidate: Candidate) -> str:
    return " and ".join(candidate)
