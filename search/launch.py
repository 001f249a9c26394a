"""A search on this machine, from the command line to the front: ``prunefront run SPEC``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from analysis import curves, table
from analysis.errors import WrongInput
from search.beforehand import check_beforehand
from search.conclusion import conclude
from search.driver import driving
from search.environment import check_here
from search.followers import mirrored
from search.last_words import last_words
from search.progress import Progress, on_this_terminal
from search.rest import run_rest
from search.restarts import RayLost, until_done
from search.shipping import ship
from search.spec import Spec, load
from search.study import enter, own_rows, without_failed
from search.warm_start import Other
from trial import data
from trial.recipe import columns, trial_id
from trial.rows import Row, writable

__all__ = ["run"]


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
    check_here()
    spec, named = load(name, settings=settings)
    folder = study or Path("studies") / named
    # From here on: Ray ends the process of whoever asks a cluster's head that is lost meanwhile.
    with last_words(
        "prunefront: the search was ended from outside, or by its Ray; "
        f"all finished trials are safe in {folder}; run the same command to continue"
    ):
        # Here, before anything is started or written: broken data is found, and decoded once for all workers.
        splits = data.load(spec.data)
        warm_start = check_beforehand(spec, splits, study=folder, address=address)
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with driving(folder) as tells:
                spec = enter(folder, spec, splits, is_here=address is None)
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
                try:
                    _search(
                        spec, folder, progress, warm_start=warm_start, fingerprint=splits.fingerprint, address=address
                    )
                finally:
                    progress.close()
                    with suppress(OSError, WrongInput):
                        table.compact(folder, columns())
                        curves.compact(folder)
                conclude(folder, spec, progress.rows)
                ship(spec, folder, address=address, retry=retry is not None, say=_line)
                for line in progress.taught:
                    print(line)  # noqa: T201


def _line(said: str) -> None:
    print(said, flush=True)  # noqa: T201


def _search(
    spec: Spec,
    folder: Path,
    progress: Progress,
    *,
    warm_start: Sequence[Other],
    fingerprint: str,
    address: str | None,
) -> None:
    """Run what is left of the budget, anew where Ray is lost under it; whatever ends it early, the user is told."""

    def attempt() -> None:
        try:
            run_rest(spec, folder, progress, warm_start=warm_start, fingerprint=fingerprint, address=address)
        except RayLost:
            _catch_up(progress, own_rows(folder, spec, spec.experiment(), fingerprint=fingerprint))
            raise

    dense = trial_id(None, spec.experiment(), fingerprint=fingerprint)
    try:
        with mirrored(spec.search.storage, folder, progress, experiment=dense):
            until_done(attempt, rows=lambda: len(progress.rows), say=progress.say)
    except KeyboardInterrupt:
        done = len(progress.rows)
        raise KeyboardInterrupt(
            f"interrupted: {done} of {spec.budget} trials are safe in {folder}; run the same command to continue"
        ) from None


def _catch_up(progress: Progress, rows: Sequence[Row]) -> None:
    """Take note of trials whose end Ray did not live to tell."""
    known = {row["trial"] for row in progress.rows}
    for row in rows:
        if row["trial"] not in known:
            progress.finished(row)
