"""A study's deployable files, timed on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.errors import WrongInput
from analysis.object_path import ObjectPath
from analysis.schema import ARTEFACTS
from trial import quiet
from trial.artefact import MODEL, status
from trial.onnx_file import session
from trial.onnx_latency import BATCHES, latencies, taken
from trial.timing import ROUNDS, RUNS
from trial.version import VERSION

__all__ = ["measured"]

Line = dict[str, Any]
"""One line of ``latency.parquet``, its columns those of `LATENCY`."""


def measured(study: Path, trials: Sequence[str], *, threads: int, say: Callable[[str], None]) -> list[Line]:
    """Time the ONNX files of some trials in turn, alone on the machine; trials without one are said and passed over.

    Args:
        study: The study's folder.
        trials: Their names, each once.
        threads: CPU threads, ≥ 1.
        say: Called with a line of text on what is being done.

    Raises:
        WrongInput: None of the trials has an artefact, or its file is damaged or foreign.
        WorkFailed: Nothing can be timed alone here.
    """
    import onnxruntime

    files: dict[str, Callable[[], bytes]] = {}
    for trial in trials:
        path, made = study / ARTEFACTS / trial / MODEL, status(study, trial)
        if made is not None and made["state"] == "done":
            files[trial] = _reading(path)
            data = files[trial]()  # before minutes of timing others
            if hashlib.sha256(data).hexdigest() != made["files"][MODEL]["sha256"]:
                raise WrongInput(
                    f"{path} is not the file that was made: remove {path.parent}, and `prunefront run` makes it anew"
                )
            session(data, threads=threads, where=str(path))
    missing = [trial for trial in trials if trial not in files]
    cure = "`prunefront run SPEC --set artefacts=front`, or =all, makes them"
    if not files:
        raise WrongInput(f"none of the {len(trials)} networks has an artefact in {study / ARTEFACTS}: {cure}")
    if missing:
        say(f"without an artefact, and not timed: {', '.join(missing)}; {cure}")
    each = f"{RUNS} runs each of {' and of '.join(map(str, BATCHES))} images in {ROUNDS} rounds"
    say(f"timing {len(files)} files in turn, {each}, threads: {threads} …")
    with quiet.alone():
        found = latencies(files, threads=threads)
    said = {
        "runs": RUNS,
        "onnxruntime": onnxruntime.__version__,
        "measured": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "version": VERSION,
        **taken(threads),
    }
    return [{"trial": trial, **found[trial], **said} for trial in files]


def _reading(path: Path) -> Callable[[], bytes]:
    """What gives a file's bytes: from the disk at every turn, since a front can be larger than the memory."""
    if not isinstance(path, ObjectPath):
        return path.read_bytes
    held = path.read_bytes()
    return lambda: held
