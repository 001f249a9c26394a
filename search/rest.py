"""What is left of a study's budget: the sampler and the rungs as the rows have taught them, and Ray to run trials."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from analysis import table
from analysis.errors import WorkFailed
from analysis.object_path import ObjectPath
from search.followers import logged
from search.halt import gently, keep, kept
from search.order import Order
from search.outcomes import recipe_told
from search.progress import Progress
from search.space import Flat
from search.spec import Spec
from search.stopping import Stopping
from search.warm_start import Other, teach
from trial.latency import machine
from trial.numerics import device_here
from trial.recipe import Recipe, columns, trial_id
from trial.rows import Row, read, write

__all__ = ["run_rest"]

COMPACT_SECONDS = 10.0
COMPACT_SHARE = 0.02
"""Of the driver's time, at most: a compaction takes longer the more rows there are, and workers wait meanwhile."""
COUNT_SECONDS = 5.0
"""Between two looks at who is in the cluster: a machine that joins needs as long again to start its first worker."""
LOOKAHEAD = 16
"""So many recipes may wait for a network that they share, where each one asked for too early is asked for in vain."""


def run_rest(
    spec: Spec,
    folder: Path,
    progress: Progress,
    *,
    warm_start: Sequence[Other],
    fingerprint: str,
    address: str | None,
) -> None:
    """Run what is left of the budget, with a sampler that learned from other studies; nothing where nothing is left."""
    progress.dense = read(folder, trial_id(None, spec.experiment(), fingerprint=fingerprint))
    left = spec.budget - len(progress.rows)
    if left <= 0:
        return
    sampler = spec.sampler()
    device = str(progress.dense["device"]) if progress.dense else machine(device_here())
    progress.taught = [str(taken) for taken in teach(sampler, spec, warm_start, device=device, fingerprint=fingerprint)]
    for row in progress.rows:
        sampler.remember(row)
    if sampler.is_used_up:
        return
    if progress.rows:
        progress.say(f"{len(progress.rows)} of {spec.budget} trials are in {folder}: going on")

    from search.machines import here, joined
    from search.session import session

    own = here(spec.resources, workers=spec.workers)
    with (
        session(workers=int(own.cpus), address=address, say=progress.say) as tune_folder,
        logged(spec.search.loggers, folder, progress),
        gently(is_here=address is None) as halt,
    ):
        from search.claims import RayClaims
        from search.proposals import Proposals
        from search.tuning import search
        from search.worker import Place, dense_network

        said: set[str] = set()

        def say_once(line: str) -> None:
            if line not in said:
                said.add(line)
                progress.say(line)

        study = folder.resolve()
        share = spec.resources.share(
            joined() if address else [own], workers=spec.workers if address else spec.workers_here
        )
        place = Place(
            spec.experiment(),
            study,
            study.name,
            Path.cwd(),
            # File locks where there are any that all workers see.
            claims=None if address is None and not isinstance(study, ObjectPath) else RayClaims(study),
            rungs=spec.search.rungs,
            time_limit=spec.search.time_limit,
        )
        if progress.dense is None or progress.dense["state"] != "complete":
            progress.dense = dense_network(
                place,
                share=share,
                on_epoch=lambda epoch: progress.epoch(epoch, epochs=spec.dense.epochs),
                say=say_once,
                halt=halt,
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

        def at_once() -> int:
            """How many trials at once: as many as there is room for, and one that waits where there is none.

            In a cluster those that were asked for, room or not: what waits is what an autoscaler brings machines for.
            """
            if address is None:
                return min(spec.workers_here, share.room(own))
            return spec.workers or max(1, share.on(joined()))

        # Every complete trial's parent is stored.
        knobs = [spec.space.trace(row) for row in progress.rows if row["state"] == "complete"]
        made = [parent_of(traced[0]) for traced in knobs if traced is not None]
        end = spec.space.largest("recovery_epochs", spec.recovery.epochs)
        stopping = Stopping(spec.search.objectives, rungs=spec.search.rungs, end=end, factor=spec.search.factor)
        stopping.remember(folder, progress.rows)
        proposals = Proposals(
            sampler,
            order=Order(parent for parent in made if parent is not None),
            stopping=stopping,
            parent_of=parent_of,
            budget=left,
            workers=at_once(),
            lookahead=LOOKAHEAD if sampler.learns else left,
            finished=finished,
            say=progress.say,
            caution=say_once,
        )

        begun = kept(folder)
        proposals.take_up(begun)

        def begun_again(recipe: Flat) -> None:
            parsed = Recipe.parse(recipe, place.experiment, where="search")
            # A trial that has a row was ended for its time: the row says so.
            if read(folder, trial_id(parsed, place.experiment, fingerprint=fingerprint)) is None:
                progress.say(f"a worker was lost at {recipe_told(recipe)}: the trial begins again")

        def moved(recipe: Flat) -> None:
            progress.say(f"a machine is about to be taken away: {recipe_told(recipe)} goes on elsewhere")

        counted = time.monotonic()
        compact_due = counted + COMPACT_SECONDS

        def turn() -> None:
            nonlocal compact_due, counted
            progress.turn(proposals.running, list(proposals.under_way.values()))
            if (began := time.monotonic()) > compact_due:
                table.compact(folder, columns())
                took = time.monotonic() - began
                compact_due = began + max(COMPACT_SECONDS, took / COMPACT_SHARE)
            if address and spec.workers is None and time.monotonic() - counted > COUNT_SECONDS:
                proposals.workers = at_once()
                counted = time.monotonic()

        heard: dict[str, Any] = {"turn": turn, "begun_again": begun_again, "moved": moved}
        try:
            search(place, proposals, share=share, folder=tune_folder, halt=halt, **heard)
        finally:
            if begun or proposals.unfinished:
                with suppress(OSError):
                    keep(folder, proposals.unfinished)
