"""A search on this machine, from the command line to the front: ``prunefront run SPEC``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from analysis import curves, front_table, report, table
from analysis.epochs import counted
from analysis.errors import WorkFailed, WrongInput
from analysis.summary import summarise
from methods import catalogue
from methods.core.method import Method
from search.driver import driving
from search.followers import mirrored
from search.last_words import last_words
from search.loggers import check_installed
from search.outcomes import most_frequent
from search.progress import on_this_terminal
from search.ranges import Among, Wholes
from search.rest import run_rest
from search.restarts import RayLost, until_done
from search.space import Group
from search.spec import Spec, load
from search.study import enter, own_rows, without_failed
from trial import data
from trial.data import Splits
from trial.networks import build, check_fits
from trial.recipe import columns, trial_id
from trial.rows import Row, writable

__all__ = ["check_methods", "run", "unmoved"]


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


@_terminated_as_interrupted()
def run(
    name: str,
    *,
    study: Path | None,
    settings: Sequence[str],
    address: str | None = None,
    retry: str | None = None,
) -> None:
    """Run a spec's search, or go on with it, and print the front; a search whose budget is met starts nothing.

    ``study`` is the folder, by default studies/NAME; ``address`` that of a running Ray cluster; with ``retry``, which
    takes "failed", the rows of failed trials are removed, so that their recipes are there to be tried. Raises
    WrongInput and WorkFailed as the front door expects them, and KeyboardInterrupt with a line that says how to go on.
    """
    if retry not in {None, "failed"}:
        raise WrongInput(f"--retry takes failed, got {retry!r}")
    spec, named = load(name, settings=settings)
    folder = study or Path("studies") / named
    # Here, before anything is started or written: broken data is found, and decoded once for all workers.
    splits = data.load(spec.data)
    check_methods(spec, splits)
    check_installed(spec.search.loggers)
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with driving(folder) as tells:
            spec = enter(folder, spec, splits)
            rows = own_rows(folder, spec, spec.experiment(), fingerprint=splits.fingerprint)
            if retry:
                rows = without_failed(folder, rows)
            progress = on_this_terminal(
                space=spec.space,
                trials=spec.budget,
                objectives=spec.search.objectives,
                rows=rows,
                constraints=spec.constraints,
                tells=tells,
            )
            dense = trial_id(None, spec.experiment(), fingerprint=splits.fingerprint)

            def attempt() -> None:
                try:
                    run_rest(spec, folder, progress, fingerprint=splits.fingerprint, address=address)
                except RayLost:
                    # Rows of trials whose end Ray did not live to tell.
                    known = {row["trial"] for row in progress.rows}
                    for row in own_rows(folder, spec, spec.experiment(), fingerprint=splits.fingerprint):
                        if row["trial"] not in known:
                            progress.finished(row)
                    raise

            try:
                ended = last_words(
                    "prunefront: the search was ended from outside, or by its Ray; "
                    f"all finished trials are safe in {folder}; run the same command to continue"
                )
                with ended, mirrored(spec.search.storage, folder, progress, experiment=dense):
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
    epochs = counted(folder)
    if epochs.needed:
        print(epochs)  # noqa: T201
    print(f"{len(rows)} trials are in {folder}")  # noqa: T201


def unmoved(rows: Sequence[Row]) -> list[str]:
    """The methods that trained batch-norm scales towards zero and brought none near it, whatever the recipe."""
    shares: dict[str, float] = {}
    for row in rows:
        if row["state"] == "complete" and "sparsity training" in catalogue()[row["method"]].needs:
            shares[row["method"]] = max(shares.get(row["method"], 0.0), row["scales_near_zero"] or 0.0)
    return sorted(name for name, share in shares.items() if share == 0)
