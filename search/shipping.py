"""The artefacts of a study's networks, made one after another when its search has ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from analysis import table
from analysis.schema import ARTEFACTS
from analysis.summary import summarise
from search.spec import Spec
from trial.artefact import Status, make, status
from trial.rows import Row
from trial.workbench import Workbench

__all__ = ["ship"]


def ship(
    spec: Spec, folder: Path, *, address: str | None = None, retry: bool = False, say: Callable[[str], None]
) -> None:
    """Make the artefacts that a spec asks for and the study lacks; ``say`` is told of each that fails.

    A failing artefact is a line, and its status in the study; ``retry`` makes those of earlier runs again. With an
    ``address`` a worker of that cluster makes them, whose device the networks were trained on. Raises OSError where the
    study cannot be written, KeyboardInterrupt with a line that says how to go on.
    """
    wanted = _wanted(spec, folder)
    if not wanted:
        return
    known = {row["trial"]: status(folder, row["trial"]) for row in wanted}
    states = {trial: said["state"] for trial, said in known.items() if said is not None}
    missing = [row for row in wanted if states.get(row["trial"]) not in ({"done"} if retry else {"done", "failed"})]
    if missing:
        say(f"making {len(missing)} of {len(wanted)} artefacts")
    try:
        for said in _made(spec, folder, missing, address=address, say=say):
            states[said["trial"]] = said["state"]
            if said["state"] == "failed":
                say(f"artefact {said['trial']} failed: {said['error']}")
    except KeyboardInterrupt:
        done = sum(state == "done" for state in states.values())
        raise KeyboardInterrupt(
            f"interrupted: all trials and {done} of {len(wanted)} artefacts are safe in {folder}; run the same command "
            "to continue"
        ) from None
    done = sum(state == "done" for state in states.values())
    failed = f", {len(wanted) - done} failed (--retry failed makes them again)" if done < len(wanted) else ""
    say(f"{done} of {len(wanted)} artefacts are in {folder / ARTEFACTS}{failed}")


def _wanted(spec: Spec, folder: Path) -> list[Row]:
    """The complete trials that are to have artefacts, the dense network's among them where it is on the front."""
    if spec.artefacts == "none":
        return []
    rows = table.read(folder)
    if spec.artefacts == "front":
        rows = summarise(rows, spec.search.objectives, constraints=spec.constraints).front
    found: list[Row] = rows.to_pylist()
    return [row for row in found if row["state"] == "complete"]


def _made(
    spec: Spec, folder: Path, rows: Sequence[Row], *, address: str | None, say: Callable[[str], None]
) -> Iterator[Status]:
    if not rows:
        return
    study = folder.resolve()
    if address is None:
        worker = f"{socket.gethostname()}:{os.getpid()}"
        bench = Workbench(spec.experiment(), study, study_name=study.name, worker=worker)
        yield from (make(bench, row, study) for row in rows)
        return

    from search.machines import joined
    from search.restarts import losses_of_ray
    from search.session import session

    with session(workers=1, address=address, say=say):
        import ray

        from search.claims import RayClaims
        from search.worker import Place

        share = spec.resources.share(joined(), workers=spec.workers)
        place = Place(spec.experiment(), study, study.name, Path.cwd(), claims=RayClaims(study))
        held: Any = {"num_cpus": share.cpu, "num_gpus": 1 if share.gpu else 0}
        told: Any = ray.remote(**held, num_returns="streaming", max_retries=1)(_on_worker).remote(place, list(rows))
        for reference in told:
            with losses_of_ray("the worker that makes artefacts failed"):
                yield ray.get(reference)


def _on_worker(place: Any, rows: Sequence[Row]) -> Iterator[Status]:
    bench = place.workbench()
    for row in rows:
        yield make(bench, row, place.study)
