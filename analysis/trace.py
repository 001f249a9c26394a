"""A timeline in Chrome's trace-event format, which chrome://tracing and Perfetto open.

Format: "Trace Event Format", Google, 2016: complete events (``ph`` X) with ``ts`` and ``dur`` in microseconds, nested
by time within a ``tid``; metadata events (``ph`` M) name processes and threads. Hosts are processes, workers threads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.durable import write_durably
from analysis.errors import WrongInput
from analysis.timeline import Timeline, Trial

__all__ = ["document", "events", "write"]

TRACE = "trace.json"

Event = dict[str, Any]


def document(timeline: Timeline) -> dict[str, Any]:
    """The whole trace as one JSON object; times count from the study's first trial."""
    return {
        "displayTimeUnit": "ms",
        "otherData": {
            "study": timeline.study,
            "began": datetime.fromtimestamp(timeline.start, UTC).isoformat(timespec="milliseconds"),
        },
        "traceEvents": list(events(timeline)),
    }


def events(timeline: Timeline) -> Iterator[Event]:
    """Names of hosts and workers first, then worker by worker a slice for each trial, its stages within it.

    Slices of a worker follow one another or nest. Where clocks said otherwise (they were set back, a row's start is
    cut to milliseconds) a slice begins where the one before it ends.
    """
    hosts: dict[str, int] = {}
    for number, worker in enumerate(timeline.workers, 1):
        host = worker.name.rpartition(":")[0] or worker.name
        if host not in hosts:
            hosts[host] = len(hosts) + 1
            yield _named("process_name", pid=hosts[host], tid=0, name=host)
        place = {"pid": hosts[host], "tid": number}
        yield _named("thread_name", **place, name=worker.name)
        yield {"ph": "M", "name": "thread_sort_index", **place, "args": {"sort_index": number}}
        free = 0
        for trial in worker.trials:
            start = max(free, _microseconds(trial.start, timeline))
            free = max(start, _microseconds(trial.end, timeline))
            yield {
                "ph": "X",
                "name": _title(trial),
                "cat": "trial",
                "ts": start,
                "dur": free - start,
                **place,
                "args": {"trial": trial.trial, "state": trial.state, "recipe": dict(trial.recipe)},
            }
            yield from _of_trial(trial, timeline, start=start, end=free, place=place)


def write(timeline: Timeline, study: Path) -> Path:
    """Write STUDY/trace.json, whole or not at all, and return its path; raises WrongInput where it cannot be."""
    path = study / TRACE
    try:
        write_durably(path, json.dumps(document(timeline), allow_nan=False).encode())
    except OSError as error:
        raise WrongInput(f"the trace cannot be written to {path}: {error.strerror}") from error
    return path


def _of_trial(trial: Trial, timeline: Timeline, *, start: int, end: int, place: Mapping[str, int]) -> Iterator[Event]:
    free = start
    for stage in trial.stages:
        for category, first, last in stage.phases:
            begin = min(max(free, _microseconds(first, timeline)), end)
            free = min(max(begin, _microseconds(last, timeline)), end)
            yield {
                "ph": "X",
                "name": stage.stage,
                "cat": category,
                "ts": begin,
                "dur": free - begin,
                **place,
                "args": {
                    "key": stage.key,
                    "made": stage.how,
                    "round": stage.round,
                    "epochs": stage.epochs,
                    "recipe": dict(trial.recipe),
                },
            }


def _title(trial: Trial) -> str:
    """The method and its ratio, by which slices are told apart; knobs in full are in a slice's arguments."""
    method, ratio = trial.recipe.get("method", trial.trial), trial.recipe.get("ratio")
    return str(method) if ratio is None else f"{method} ratio={ratio:g}"


def _named(what: str, *, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _microseconds(seconds: float, timeline: Timeline) -> int:
    return round((seconds - timeline.start) * 1e6)
