"""What each worker of a study did: ``prunefront trace STUDY``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from analysis import timeline as timelines
from analysis import trace
from analysis.epochs import Epochs, counted
from analysis.errors import WrongInput
from analysis.timeline import Timeline, Worker

__all__ = ["print_trace"]


def print_trace(study: Path, *, figure: bool, as_json: bool) -> None:
    """Write STUDY/trace.json, with ``figure`` STUDY/figures/trace as .png and .svg too, and print what it sums to."""
    timeline, epochs = timelines.read(study), counted(study)
    paths = [trace.write(timeline, study), *(_figures(timeline, study) if figure else ())]
    if as_json:
        summary = _document(timeline, epochs) | {"files": [str(path) for path in paths]}
        sys.stdout.write(json.dumps(summary, allow_nan=False) + "\n")
    else:
        sys.stdout.write("\n".join([*_lines(timeline, epochs), *map(str, paths)]) + "\n")


def _figures(timeline: Timeline, study: Path) -> list[Path]:
    from analysis import plots
    from analysis.gantt import gantt

    folder = study / "figures"
    drawn = gantt(timeline)
    try:
        folder.mkdir(exist_ok=True)
        return [plots.save(drawn, folder / f"trace.{ending}") for ending in ("png", "svg")]
    except OSError as error:
        raise WrongInput(f"figures cannot be written to {folder}: {error.strerror}") from error


def _lines(timeline: Timeline, epochs: Epochs) -> list[str]:
    """A line for each worker, then the epochs; shares are of the time from a worker's first trial to its last."""
    width = max(len(worker.name) for worker in timeline.workers)
    lines = [
        f"{worker.name:<{width}}  {len(worker.trials):>5} trial{'s' if len(worker.trials) > 1 else ' '}  "
        f"{worker.seconds:>9.1f} s  busy {_percent(worker.busy, worker)}  waiting {_percent(worker.waiting, worker)}  "
        f"between trials {_percent(worker.between, worker)}"
        for worker in timeline.workers
    ]
    lines.append(str(epochs))
    if timeline.unseen:
        lines.append(f"{timeline.unseen} trials left no spans: a time limit ended them, or an earlier version ran them")
    return lines


def _percent(seconds: float, worker: Worker) -> str:
    return f"{100 * seconds / worker.seconds if worker.seconds > 0 else 0.0:5.1f}%"


def _document(timeline: Timeline, epochs: Epochs) -> dict[str, Any]:
    return {
        "study": timeline.study,
        "workers": [
            {
                "worker": worker.name,
                "trials": len(worker.trials),
                "seconds": round(worker.seconds, 3),
                "busy": round(worker.busy, 3),
                "waiting": round(worker.waiting, 3),
                "between": round(worker.between, 3),
            }
            for worker in timeline.workers
        ],
        "epochs_executed": epochs.executed,
        "epochs_needed": epochs.needed,
        "epochs_ratio": epochs.ratio,
        "trials_without_spans": timeline.unseen,
    }
