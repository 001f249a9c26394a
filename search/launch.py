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
from search.last_words import last_words
from search.order import Order
from search.progress import Progress, most_frequent, on_this_terminal
from search.ranges import Among, Wholes
from search.restarts import RayLost, until_done
from search.space import Flat, Group
from search.spec import Spec, load
from search.stopping import Stopping
from search.study import enter, own_rows
from search.warm_start import teach
from trial import data, epoch_log
from trial.data import Splits
from trial.networks import build, check_fits
from trial.recipe import Recipe, columns, trial_id
from trial.rows import Row, read, writable, write

__all__ = ["check_methods", "run", "unmoved"]

COMPACT_SECONDS = 10.0
LEARNING = {"tpe", "nsga2"}
LOOKAHEAD = 16
"""So many recipes may wait for a network that they share, where each one asked for too early is asked for in vain."""


def run(name: str, *, study: Path | None, settings: Sequence[str], address: str | None = None) -> None:
    """Run a spec's search, or go on with it, and print the front; a search whose budget is met starts nothing.

    ``study`` is the folder, by default studies/NAME; ``address`` that of a running Ray cluster. Raises WrongInput and
    WorkFailed as the front door expects them, and KeyboardInterrupt with a line that says how to go on.
    """
    spec, named = load(name, settings=settings)
    folder = study or Path("studies") / named
    # Here, before anything is started or written: broken data is found, and decoded once for all workers.
    splits = data.load(spec.data)
    check_methods(spec, splits)
    with _terminated_as_interrupted(), writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with driving(folder):
            spec = enter(folder, spec, splits)
            rows = own_rows(folder, spec, spec.experiment(), fingerprint=splits.fingerprint)
            progress = on_this_terminal(
                space=spec.space,
                trials=spec.budget,
                objectives=spec.search.objectives,
                rows=rows,
                constraints=spec.constraints,
            )

            def attempt() -> None:
                try:
                    _go_on(spec, folder, progress, fingerprint=splits.fingerprint, address=address)
                except RayLost:
                    # Rows of trials whose end Ray did not live to tell.
                    known = {row["trial"] for row in progress.rows}
                    for row in own_rows(folder, spec, spec.experiment(), fingerprint=splits.fingerprint):
                        if row["trial"] not in known:
                            progress.finished(row)
                    raise

            try:
                with last_words(
                    "prunefront: the search was ended from outside, or by its Ray; "
                    f"all finished trials are safe in {folder}; run the same command to continue"
                ):
                    until_done(attempt, rows=lambda: len(progress.rows), say=progress.say)
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
            for line in progress.taught:
                print(line)  # noqa: T201


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


def _go_on(spec: Spec, folder: Path, progress: Progress, *, fingerprint: str, address: str | None) -> None:
    """Run what is left of the budget; nothing where nothing is left."""
    sampler = spec.sampler()
    for taken in teach(sampler, spec, study=folder, fingerprint=fingerprint):
        progress.taught.append(str(taken))
    for row in progress.rows:
        sampler.remember(row)
    left = spec.search.trials - len(progress.rows)
    progress.dense = read(folder, trial_id(None, spec.experiment(), fingerprint=fingerprint))
    if left <= 0 or sampler.is_used_up:
        return
    if progress.rows:
        progress.say(f"{len(progress.rows)} of {spec.budget} trials are in {folder}: going on")

    from search.session import session

    with session(workers=spec.workers, address=address) as tune_folder:
        from search.claims import RayClaims
        from search.tuning import Place, Proposals, dense_network, search

        study = folder.resolve()
        place = Place(
            spec.experiment(),
            study,
            study.name,
            Path.cwd(),
            claims=None if address is None else RayClaims(study),
            rungs=spec.search.rungs,
            time_limit=spec.search.time_limit,
        )
        if progress.dense is None or progress.dense["state"] != "complete":
            progress.dense = dense_network(
                place, on_epoch=lambda epoch: progress.epoch(epoch, epochs=spec.dense.epochs)
            )
        if progress.dense["state"] != "complete":
            raise WorkFailed(f"the dense network could not be trained: {progress.dense['error']}")
        progress.say(f"dense network: val_accuracy={progress.dense['val_accuracy']:.3f}")
        progress.begin()

        def parent_of(recipe: Flat) -> str | None:
            return Recipe.parse(recipe, place.experiment, where="search").parent

        def finished(row: Row) -> None:
            if row["state"] == "stopped":  # its worker knows of no stop
                write(folder, row)
            progress.finished(row)

        # Every complete trial's parent is stored.
        knobs = [spec.space.trace(row) for row in progress.rows if row["state"] == "complete"]
        made = [parent_of(traced[0]) for traced in knobs if traced is not None]
        end = spec.space.largest("recovery_epochs", spec.recovery.epochs)
        stopping = Stopping(spec.search.objectives, rungs=spec.search.rungs, end=end, factor=spec.search.factor)
        stopping.remember(folder, progress.rows)
        proposals = Proposals(
            sampler,
            order=Order(parent for parent in made if parent is not None),
            parent_of=parent_of,
            budget=left,
            workers=spec.workers,
            lookahead=LOOKAHEAD if spec.search.sampler in LEARNING else left,
            finished=finished,
        )
        compacted = time.monotonic()

        def turn() -> None:
            nonlocal compacted
            progress.turn(proposals.running)
            if time.monotonic() - compacted > COMPACT_SECONDS:
                table.compact(folder, columns())
                compacted = time.monotonic()

        search(place, proposals, stopping, workers=spec.workers, folder=tune_folder, turn=turn)


def _conclude(folder: Path, spec: Spec, rows: Sequence[Row]) -> None:
    """Print the front, how good it is, its figure, and what failed; raises WorkFailed where every trial did."""
    failed = [row for row in rows if row["state"] == "failed"]
    if len(failed) == len(rows):
        raise WorkFailed(
            f"all {len(rows)} trials failed, most often of {most_frequent(rows)}; their rows are in {folder}"
        )
    summary = summarise(table.read(folder), spec.search.objectives, constraints=spec.constraints)
    if sys.stdout.isatty() and len(summary.front):
        from rich.console import Console

        Console().print(front_table.rich_table(summary))
        print("\n".join(front_table.lines(summary)))  # noqa: T201
    else:
        print(front_table.plain(summary))  # noqa: T201
    print(f"figure: {report.write_figures(folder)[0]}")  # noqa: T201
    if len(rows) < spec.search.trials and spec.size is not None:
        print(f"the space is used up: {spec.size} recipes")  # noqa: T201
    for name in unmoved(rows):
        print(f"{name}: no batch-norm scale came near zero: a larger lambda or longer sparsity training moves them")  # noqa: T201
    if failed:
        print(f"{len(failed)} of {len(rows)} trials failed, most often of {most_frequent(rows)}")  # noqa: T201
    trained, needed = epoch_log.counted(folder)
    if needed:
        print(f"epochs: {trained:,} run, {needed:,} needed: {trained / needed:.3f}")  # noqa: T201
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
