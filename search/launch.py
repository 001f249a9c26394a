"""A search on this machine, from the command line to the front: ``prunefront run SPEC``."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from analysis import curves, front_table, report, table
from analysis.errors import WorkFailed, WrongInput
from analysis.summary import summarise
from methods import catalogue
from methods.core.method import Method
from search.driver import driving
from search.followers import logged, mirrored
from search.loggers import check_installed
from search.outcomes import most_frequent
from search.progress import Progress, on_this_terminal
from search.ranges import Among, Wholes
from search.sampler import Sampler
from search.space import Group
from search.spec import Spec, load
from search.study import enter, own_rows
from trial import data
from trial.data import Splits
from trial.networks import build, check_fits
from trial.recipe import columns, trial_id
from trial.rows import Row, read, writable

__all__ = ["check_methods", "run", "unmoved"]

COMPACT_SECONDS = 10.0


def run(name: str, *, study: Path | None, settings: Sequence[str]) -> None:
    """Run a spec's search, or go on with it, and print the front; a search whose budget is met starts nothing.

    ``study`` is the folder, by default studies/NAME. Raises WrongInput and WorkFailed as the front door expects
    them, and KeyboardInterrupt with a line that says how to go on.
    """
    spec, named = load(name, settings=settings)
    folder = study or Path("studies") / named
    # Here, before anything is started or written: broken data is found, and decoded once for all workers.
    splits = data.load(spec.data)
    check_methods(spec, splits)
    check_installed(spec.search.loggers)
    with _terminated_as_interrupted(), writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with driving(folder) as tells:
            spec = enter(folder, spec, splits)
            rows = own_rows(folder, spec, spec.experiment(), fingerprint=splits.fingerprint)
            progress = on_this_terminal(
                space=spec.space, trials=spec.budget, objectives=spec.search.objectives, rows=rows, tells=tells
            )
            dense = trial_id(None, spec.experiment(), fingerprint=splits.fingerprint)
            try:
                with mirrored(spec.search.storage, folder, progress, experiment=dense):
                    _go_on(spec, folder, progress, fingerprint=splits.fingerprint)
            except KeyboardInterrupt:
                done = len(progress.rows)
                raise KeyboardInterrupt(
                    f"interrupted: {done} of {spec.budget} trials are safe in {folder}; "
                    "run the same command to continue"
                ) from None
            finally:
                progress.close()
                with suppress(OSError, WrongInput):
                    table.compact(folder, columns())
                    curves.compact(folder)
            _conclude(folder, spec, progress.rows)


def check_methods(spec: Spec, splits: Splits) -> None:
    """Raise WrongInput where the network cannot be built or takes no such images, or a method cannot work on them."""
    network = build(spec.network, classes=len(splits.classes), seed=spec.seed)
    check_fits(
        network,
        image=splits.train.images.shape[1:],
        classes=len(splits.classes),
        called=spec.network.called,
    )
    space = spec.space
    for name, group in space.methods.options.items():
        place = f"search.methods.{name}"
        for tried in _examples(space.example(name), group):
            refusal = tried.refusal(network)
            if refusal:
                cure = f"leave {name} out, or take another network ({place})"
                raise WrongInput(f"{refusal} ({place}.spare)" if "spare" in refusal else f"{refusal}: {cure}")
            if tried.images_read > len(splits.train):
                raise WrongInput(
                    f"{name} is to read {tried.images_read} images, and the training part has {len(splits.train)} "
                    f"({place}.images)"
                )


def _examples(example: Method, group: Group) -> Iterator[Method]:
    """A method with each of the layers to spare, and with the most of the images, that a search tries."""
    spares = group.knobs.get("spare")
    yield from (replace(example, spare=str(each)) for each in (spares.values if isinstance(spares, Among) else ()))
    images = group.knobs.get("images")
    if isinstance(images, Among | Wholes):
        example = replace(example, images=images.at(images.size - 1))  # type: ignore[call-arg]
    yield example


def _go_on(spec: Spec, folder: Path, progress: Progress, *, fingerprint: str) -> None:
    """Run what is left of the budget; nothing where nothing is left."""
    sampler = Sampler(spec.space, spec.search.objectives, seed=spec.seed, sampler=spec.search.sampler)
    for row in progress.rows:
        sampler.remember(row)
    left = spec.search.trials - len(progress.rows)
    progress.dense = read(folder, trial_id(None, spec.experiment(), fingerprint=fingerprint))
    if left <= 0 or sampler.is_used_up:
        return
    if progress.rows:
        progress.say(f"{len(progress.rows)} of {spec.budget} trials are in {folder}: going on")

    from search.session import session

    with session(workers=spec.workers) as tune_folder, logged(spec.search.loggers, folder, progress):
        from search.tuning import Place, Proposals, dense_network, search

        place = Place(spec.experiment(), folder.resolve(), folder.resolve().name, Path.cwd())
        if progress.dense is None or progress.dense["state"] != "complete":
            progress.dense = dense_network(
                place, on_epoch=lambda epoch: progress.epoch(epoch, epochs=spec.dense.epochs), say=progress.say
            )
        if progress.dense["state"] != "complete":
            raise WorkFailed(f"the dense network could not be trained: {progress.dense['error']}")
        progress.say(f"dense network: val_accuracy={progress.dense['val_accuracy']:.3f}")
        progress.begin()
        proposals = Proposals(sampler, budget=left, workers=spec.workers, finished=progress.finished, say=progress.say)
        compacted = time.monotonic()

        def turn() -> None:
            nonlocal compacted
            progress.turn(proposals.running, list(proposals.under_way.values()))
            if time.monotonic() - compacted > COMPACT_SECONDS:
                table.compact(folder, columns())
                compacted = time.monotonic()

        search(place, proposals, workers=spec.workers, folder=tune_folder, turn=turn)


def _conclude(folder: Path, spec: Spec, rows: Sequence[Row]) -> None:
    """Print the front, how good it is, its figure, and what failed; raises WorkFailed where every trial did."""
    failed = [row for row in rows if row["state"] == "failed"]
    if len(failed) == len(rows):
        raise WorkFailed(
            f"all {len(rows)} trials failed, most often of {most_frequent(rows)}; their rows are in {folder}"
        )
    summary = summarise(table.read(folder), spec.search.objectives)
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(front_table.rich_table(summary))
        print("\n".join(front_table.lines(summary)))  # noqa: T201
    else:
        print(front_table.plain(summary))  # noqa: T201
    print(f"figure: {report.write_figures(folder)[0]}")  # noqa: T201
    if len(rows) < spec.search.trials and spec.space.size is not None:
        print(f"the space is used up: {spec.space.size} recipes")  # noqa: T201
    for name in unmoved(rows):
        print(f"{name}: no batch-norm scale came near zero: a larger lambda or longer sparsity training moves them")  # noqa: T201
    if failed:
        print(f"{len(failed)} of {len(rows)} trials failed, most often of {most_frequent(rows)}")  # noqa: T201
    print(f"{len(rows)} trials are in {folder}")  # noqa: T201


def unmoved(rows: Sequence[Row]) -> list[str]:
    """The methods that trained batch-norm scales towards zero and brought none near it, whatever the recipe."""
    shares: dict[str, float] = {}
    for row in rows:
        if row["state"] == "complete" and "sparsity training" in catalogue()[row["method"]].needs:
            shares[row["method"]] = max(shares.get(row["method"], 0.0), row["scales_near_zero"] or 0.0)
    return sorted(name for name, share in shares.items() if share == 0)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM, which batch systems send, as the interrupt that a keyboard sends."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
