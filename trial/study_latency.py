"""A study's deployable files, timed on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.errors import WrongInput
from analysis.object_path import ObjectPath
from trial import quiet
from trial.onnx_file import session
from trial.onnx_latency import BATCHES, latencies, taken
from trial.timing import ROUNDS, RUNS
from trial.version import VERSION

__all__ = ["measured"]

ARTEFACTS, MODEL = "artefacts", "model.onnx"

Line = dict[str, Any]
"""One line of ``latency.parquet``, its columns those of `LATENCY`."""


def measured(study: Path, trials: Sequence[str], *, threads: int, say: Callable[[str], None]) -> list[Line]:
    """Time the ONNX files of some trials in turn, alone on the machine; those without one are said and passed over.

    Args:
        study: The study's folder.
        trials: Their names, each once.
        threads: CPU threads, ≥ 1.
        say: Called with a line of text on what is being done.

    Raises:
        WrongInput: None of the trials has a file, or a file is damaged or foreign.
        WorkFailed: Nothing can be timed alone here.
    """
    import onnxruntime

    files: dict[str, Callable[[], bytes]] = {}
    for trial in trials:
        path = study / ARTEFACTS / trial / MODEL
        if path.exists():
            files[trial] = _reading(path)
            session(files[trial](), threads=threads, where=str(path))  # before minutes of timing others
    missing = [trial for trial in trials if trial not in files]
    if not files:
        raise WrongInput(
            f"none of the {len(trials)} networks has a {MODEL} in {study / ARTEFACTS}: "
            f"`prunefront export {study} TRIAL --to onnx` makes one"
        )
    if missing:
        say(f"without a {MODEL}, and not timed: {', '.join(missing)} (`prunefront export {study} TRIAL --to onnx`)")
    which = " and of ".join(str(batch) for batch in BATCHES)
    say(
        f"timing {len(files)} files in turn, {RUNS} runs each of {which} images in {ROUNDS} rounds, {threads} threads …"
    )
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
