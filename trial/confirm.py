"""Chosen trials trained again over seeds and tested: the only place that opens the test part of a data set.

Selection looks at validation images alone, so that what is said here of a network was not selected for.
"""

from __future__ import annotations

import hashlib
import math
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from analysis.errors import WorkFailed, WrongInput
from analysis.schema import CONFIRMED, DENSE
from trial import quiet
from trial.data import ImageSet, Splits, load_test
from trial.experiment import Experiment
from trial.frozen import frozen
from trial.latency import machine
from trial.maker import NotStored
from trial.numerics import computing
from trial.recipe import Recipe, trial_id
from trial.row_recipe import recipe_of
from trial.rows import Row, check_unchanged, read_all, writable
from trial.training import Epoch, evaluate
from trial.version import VERSION
from trial.workbench import Workbench

__all__ = ["class_by_class", "confirm"]

Line = dict[str, Any]
"""One line of ``confirmed.parquet``, its columns those of `CONFIRMED`; means over seeds are not in it yet."""


def confirm(
    study: Path,
    rows: Sequence[Row],
    *,
    seeds: int,
    as_trained: bool,
    keep: Callable[[Line], None],
    say: Callable[[str], None],
) -> list[Line]:
    """Run chosen trials again from the first weights on, under several seeds, and test their networks.

    The dense network is always tested too, first. A retraining that fails gives a line whose ``state`` is failed and
    whose ``error`` says why; the others go on. Finished stages lie in the study's store: called again after an
    interrupt, only what is missing is trained, and under the study's own seed nothing is where its stages are there.

    Args:
        study: The study's folder, with its spec.yaml or experiment.yaml.
        rows: The complete rows of the trials; the dense network's may be among them.
        seeds: How many, ≥ 1: the study's s, s + 1, … With ``as_trained`` there is one, s.
        as_trained: Test the networks that the study trained, and train nothing.
        keep: Called with each line as soon as there is one.
        say: Called with a line of text on what is being done.

    Raises:
        WrongInput: The study does not say how it was trained, its data changed, or its test part cannot be used.
        WorkFailed: With ``as_trained``, stages of a network are not in the store any more.
        KeyboardInterrupt: With a line that says what is kept.
    """
    assert seeds == 1 or not as_trained, "a network as it was trained has one seed"
    experiment = _experiment(study)
    with writable(study):
        worker = f"{socket.gethostname()}:{os.getpid()}"
        bench = Workbench(experiment, study, study_name=study.resolve().name, worker=worker)
        chosen = _chosen(study, rows, bench)
        # Before hours of training: a test part that cannot be read would cost them.
        images = _test_images(bench)
        if as_trained:
            _check_stored(study, chosen, bench)
        tasks = [(seed, each) for seed in range(experiment.seed, experiment.seed + seeds) for each in chosen]
        lines: list[Line] = []
        try:
            for line in _lines(tasks, bench, images, as_trained=as_trained, say=say):
                keep(line)
                lines.append(line)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted: {len(lines)} of {len(tasks)} results are safe in {study}, and every stage that was "
                "finished; run the same command to continue"
            ) from None
    return lines


def class_by_class(network: nn.Module, images: ImageSet, splits: Splits) -> dict[str, Any]:
    """Accuracy and loss on the test part, and accuracy per class.

    ``class_accuracy`` has one entry in [0, 1] for each class, None for a class without images. ``test_accuracy`` and
    ``test_loss`` (nats) are means over all images: those of the classes weighted by their images.

    Args:
        network: On the device that holds the images.
        images: The test part, at least one image.
        splits: The training part, for its classes, mean and standard deviation.
    """
    correct, loss = 0, 0.0
    accuracies: list[float | None] = []
    for label in range(len(splits.classes)):
        chosen = images.labels == label
        of_class = ImageSet(images.images[chosen], images.labels[chosen])
        if not len(of_class):
            accuracies.append(None)
            continue
        class_loss, accuracy = evaluate(network, of_class, splits)
        loss += class_loss * len(of_class)
        correct += round(accuracy * len(of_class))
        accuracies.append(accuracy)
    return {
        "test_accuracy": correct / len(images),
        "test_loss": loss / len(images),
        "class_accuracy": accuracies,
        "classes": list(splits.classes),
    }


@dataclass(frozen=True)
class _Chosen:
    """One trial to confirm; None is the recipe of the dense network."""

    trial: str
    recipe: Recipe | None

    def __str__(self) -> str:
        if self.recipe is None:
            return DENSE
        ratio = self.recipe.method.target
        return " ".join([self.recipe.method.name(), *([] if ratio is None else [f"{ratio:g}"]), self.trial])

    @property
    def columns(self) -> dict[str, Any]:
        recipe = self.recipe
        return {"method": DENSE} if recipe is None else {"method": recipe.method.name(), "ratio": recipe.method.target}


def _experiment(study: Path) -> Experiment:
    known = frozen(study)
    if known is None:
        raise WrongInput(f"{study} has no spec.yaml and no experiment.yaml, which say how its networks were trained")
    # A test times nothing.
    return known[0].model_copy(update={"latency": ()})


def _chosen(study: Path, rows: Sequence[Row], bench: Workbench) -> list[_Chosen]:
    """The trials of the rows, the dense network first; raises WrongInput where today's code gives them other names."""
    experiment, fingerprint = bench.experiment, bench.fingerprint
    check_unchanged(read_all(study), study, experiment, fingerprint=fingerprint)
    chosen = [_Chosen(trial_id(None, experiment, fingerprint=fingerprint), None)]
    for row in rows:
        if row["method"] == DENSE:
            continue
        chosen.append(_Chosen(row["trial"], recipe_of(row, experiment, fingerprint=fingerprint, study=study)))
    return chosen


def _test_images(bench: Workbench) -> ImageSet:
    """The test part on the bench's device; its labels must be the training part's."""
    images, classes = load_test(bench.experiment.data, device=bench.device), len(bench.classes)
    largest = int(images.labels.max())
    if largest >= classes:
        raise WrongInput(
            f"the test part has an image of class {largest}, and the training part has classes 0 to {classes - 1} "
            f"(data: {bench.experiment.data.folder or bench.experiment.data.name})"
        )
    return images


def _check_stored(study: Path, chosen: Sequence[_Chosen], bench: Workbench) -> None:
    """Raise WorkFailed that names every trial whose stages the store has no more."""
    gone = []
    for each in chosen:
        try:
            bench.network(each.recipe, stored_only=True)
        except NotStored:
            gone.append(str(each))
    if gone:
        raise WorkFailed(
            f"{len(gone)} of {len(chosen)} networks are not in {study}/stages any more, as they were trained: "
            f"{', '.join(gone)}; leave --as-trained out to train them again, or name others with --trials"
        )


def _lines(
    tasks: Sequence[tuple[int, _Chosen]],
    bench: Workbench,
    images: ImageSet,
    *,
    as_trained: bool,
    say: Callable[[str], None],
) -> Iterator[Line]:
    """Confirm one task after another: of each seed all trials, the dense network first."""
    digest = _digest(images)
    without_dense: dict[int, str] = {}
    for number, (seed, each) in enumerate(tasks, 1):
        what = f"{number}/{len(tasks)} {each}, seed {seed}"
        say(f"{what} …")
        start = perf_counter()
        line: Line = dict.fromkeys(column.name for column in CONFIRMED)
        line |= {"trial": each.trial, "seed": seed, "as_trained": as_trained, "test_data": digest, **each.columns}
        line |= _provenance(bench)
        try:
            if seed in without_dense:
                raise _NoDense(without_dense[seed])
            network, measures = bench.with_seed(seed).network(
                each.recipe, stored_only=as_trained, on_epoch=_quarters(bench, what, say)
            )
            line |= {name: value for name, value in measures.items() if name in line}
            numerics = bench.experiment.numerics
            with quiet.at_work(), computing(numerics.precision, threads=numerics.threads):
                line |= class_by_class(network, images, bench.splits)
            if not math.isfinite(line["test_loss"]):
                raise ArithmeticError("test_loss came out as NaN or infinite")
            line["state"] = "complete"
        except (OSError, WorkFailed):
            raise
        except Exception as error:  # whatever a retraining dies of is its line's error, not the others' end
            said = str(error) if isinstance(error, _NoDense) else f"{type(error).__name__}: {error}"
            if each.recipe is None:
                without_dense[seed] = f"the dense network of seed {seed} failed: {said}"
            blank = dict.fromkeys(name for name in line if name.startswith("test_") and name != "test_data")
            line |= blank | {"class_accuracy": None, "state": "failed", "error": said}
        line["seconds"] = perf_counter() - start
        say(f"{what}: {_came_out(line)}; {len(tasks) - number} left")
        yield line


class _NoDense(RuntimeError):
    """The dense network of a seed could not be trained: nothing can be cut from it."""


def _quarters(bench: Workbench, what: str, say: Callable[[str], None]) -> Callable[[Epoch], None]:
    """Say every quarter of dense training."""
    epochs = bench.experiment.dense.epochs

    def on_epoch(epoch: Epoch) -> None:
        if epoch.epoch * 4 // epochs > (epoch.epoch - 1) * 4 // epochs:
            say(f"{what}: epoch {epoch.epoch}/{epochs} val_accuracy={epoch.val_accuracy:.4f}")

    return on_epoch


def _came_out(line: Line) -> str:
    if line["state"] == "failed":
        return f"failed: {line['error']}"
    return f"test_accuracy={line['test_accuracy']:.4f} val_accuracy={line['val_accuracy']:.4f}"


def _digest(images: ImageSet) -> str:
    """Tells one test part from another, 16 hex digits: means are taken over results on the same images."""
    hasher = hashlib.sha256(images.images.cpu().contiguous().numpy().tobytes())
    hasher.update(images.labels.cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()[:16]


def _provenance(bench: Workbench) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "device": machine(bench.device),
        "precision": bench.experiment.numerics.precision,
        "torch": str(torch.__version__),
        "version": VERSION,
    }
