"""``prunefront status``: how a study stands, read from its folder alone while it is written, or long after.

Loads neither torch nor Ray, and asks nobody: rows, spec.yaml and driver.json are all there is.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from analysis import arrow, front_table, table
from analysis.errors import WrongInput
from analysis.schema import COLUMNS, DENSE, arrow_schema
from analysis.summary import FrontSummary, study_constraints, study_objectives, summarise
from search.driver import DRIVER, seen
from search.outcomes import STATES, counted, measures_told, recipe_told
from search.pace import clock, per_hour

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Status", "print_status", "status"]

Said = TypeVar("Said")

NAMED = 4
"""So many of the running trials are written out; the rest are counted."""


@dataclass(frozen=True)
class Status:
    """How a study stands; times are seconds, None is not known or not applicable."""

    study: str
    state: str
    """starting, running, finished (the budget is spent), stopped (it is not, and no driver is there) or died (the
    driver left his file behind)."""
    driver: dict[str, Any] | None
    """host, pid, seconds since his start and since his last beat."""
    doing: str
    """What the driver does before the trials, such as dense training."""
    budget: int | None
    trials: dict[str, int]
    """How many are complete, stopped and failed."""
    dense: bool
    """Whether the dense network has its row."""
    per_hour: float | None
    """Trials per hour over the recent past of a driver who is alive."""
    seconds_left: float | None
    seconds_since_last: float | None
    """Since the last trial ended."""
    objectives: list[str]
    front: int
    """How many networks are on the front."""
    hypervolume: float | None
    best: dict[str, Any] | None
    """The front's row that is best in the first objective: trial, recipe and objectives."""
    error: str | None
    """The most frequent error of failed trials."""
    error_times: int
    running: list[dict[str, Any]] = field(default_factory=list)
    """Recipe and seconds since its start of each trial under way, as of the driver's last beat."""
    damaged: list[str] = field(default_factory=list)
    """A line for each file that could not be read."""

    @property
    def done(self) -> int:
        """How many trials ended, in whatever state."""
        return sum(self.trials.values())


def print_status(study: Path, *, as_json: bool) -> None:
    """Print how a study stands, in a few lines or as one JSON document; raises WrongInput where there is no study."""
    found = status(study)
    text = json.dumps(asdict(found), allow_nan=False) if as_json else "\n".join(_lines(found))
    sys.stdout.write(text + "\n")


def status(study: Path) -> Status:
    """How a study stands; raises WrongInput where the folder is no study's, and whatever else is there is passed over.

    Files that cannot be read are listed in ``damaged``.
    """
    import pyarrow.compute as pc

    driver, now, damaged = seen(study), time.time(), list[str]()
    rows = _rows(study, damaged)
    spec = _spec(study, damaged)
    objectives = _of_spec(study_objectives, study, damaged, otherwise=("val_accuracy",))
    pruned = rows.filter(pc.fill_null(pc.not_equal(rows["method"], arrow.scalar(DENSE)), arrow.scalar(True)))
    trials = counted(pruned["state"].to_pylist())
    done = sum(trials.values())
    alive = driver is not None and driver["is_alive"]
    told: Mapping[str, Any] = driver if driver is not None and alive else {}
    budget = next((each for each in (told.get("budget"), spec.get("trials")) if isinstance(each, int)), None)
    ends = _ends(pruned)
    # A driver's own start: what ended before it, in another run, says nothing about this one's pace.
    rate = per_hour(ends, began=_number(told.get("began"), now), now=now) if alive else None
    left = max(0, budget - done) * 3600 / rate if rate and budget is not None else None
    front = summarise(rows, objectives, constraints=_of_spec(study_constraints, study, damaged, otherwise=()))
    error, times = _most_frequent(pruned)
    return Status(
        study=str(study),
        state=_state(alive=alive, left_behind=driver is not None, started=bool(len(rows)), done=done, budget=budget),
        driver=None if driver is None else _driver(driver, now),
        doing=str(told.get("doing") or ""),
        budget=budget,
        trials=trials,
        dense=len(pruned) < len(rows),
        per_hour=rate,
        seconds_left=left,
        seconds_since_last=max(0.0, now - max(ends)) if ends else None,
        objectives=list(objectives),
        front=len(front.front),
        hypervolume=front.hypervolume if len(front.front) else None,
        best=_best(front),
        error=error,
        error_times=times,
        running=_running(told, now),
        damaged=damaged,
    )


def _rows(study: Path, damaged: list[str]) -> pa.Table:
    """Every row that can be read; a folder with nothing but its driver's file is a study that begins."""
    try:
        return table.read(study, damage=damaged)
    except WrongInput:
        if (study / DRIVER).is_file():
            return arrow_schema().empty_table()
        raise


def _spec(study: Path, damaged: list[str]) -> Mapping[str, Any]:
    """The spec's search section; empty where there is none that can be read."""
    path = study / "spec.yaml"
    try:
        spec = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        damaged.append(f"{path} cannot be read: {' '.join(str(error).split())[:120]}")
        return {}
    search = spec.get("search") if isinstance(spec, dict) else None
    return search if isinstance(search, dict) else {}


def _of_spec(
    read: Callable[[Path], tuple[Said, ...]], study: Path, damaged: list[str], *, otherwise: tuple[Said, ...]
) -> tuple[Said, ...]:
    """What a study's spec says, ``otherwise`` where it cannot be read."""
    try:
        return read(study)
    except (WrongInput, OSError) as error:
        if not damaged:
            damaged.append(str(error))
        return otherwise


def _ends(rows: pa.Table) -> list[float]:
    """When each trial ended, in seconds since the epoch; rows that do not say are left out."""
    ends = []
    for started, seconds in zip(rows["started"].to_pylist(), rows["seconds"].to_pylist(), strict=True):
        try:
            ends.append(datetime.fromisoformat(started).timestamp() + seconds)
        except (TypeError, ValueError):
            continue
    return ends


def _state(*, alive: bool, left_behind: bool, started: bool, done: int, budget: int | None) -> str:
    if alive:
        return "running" if started else "starting"
    if left_behind:
        return "died"
    return "finished" if budget is not None and done >= budget else "stopped"


def _driver(driver: Mapping[str, Any], now: float) -> dict[str, Any]:
    began = _number(driver.get("began"), now)
    return {
        "host": str(driver.get("host")),
        "pid": driver["pid"],
        "is_alive": driver["is_alive"],
        "seconds": max(0.0, now - began),
        "silent_seconds": max(0.0, now - driver["heartbeat"]),
    }


def _running(told: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    running = told.get("running")
    return [
        {"recipe": each["recipe"], "seconds": max(0.0, now - _number(each.get("since"), now))}
        for each in (running if isinstance(running, list) else ())
        if isinstance(each, dict) and isinstance(each.get("recipe"), dict)
    ]


def _best(summary: FrontSummary) -> dict[str, Any] | None:
    """The front's first row without what it lacks, its recipe apart from the knobs that all have the same."""
    if len(summary.front) == 0:
        return None
    row = summary.front.slice(0, 1).to_pylist()[0]
    cells = front_table.cells(summary)
    other = {column.name for column in COLUMNS if column.group != "recipe"}
    knobs = [name for name in cells.headers if name not in other and row.get(name) not in (None, "")]
    return {
        "trial": row["trial"],
        "recipe": {name: row[name] for name in knobs},
        **{name: row[name] for name in summary.objectives},
    }


def _most_frequent(rows: pa.Table) -> tuple[str | None, int]:
    failed = zip(rows["state"].to_pylist(), rows["error"].to_pylist(), strict=True)
    errors = Counter(str(error) for state, error in failed if state == "failed")
    return errors.most_common(1)[0] if errors else (None, 0)


def _number(given: object, default: float) -> float:
    return float(given) if isinstance(given, int | float) else default


def _lines(found: Status) -> Sequence[str]:
    """What a person reads."""
    states = ", ".join(f"{found.trials[state]} {state}" for state in STATES)
    of_budget = "" if found.budget is None else f" of {found.budget}"
    said = [("study", f"{found.study}: {_said(found)}"), ("trials", f"{found.done}{of_budget}: {states}")]
    if found.doing:
        said.append(("now", found.doing))
    if found.per_hour:
        left = "" if found.seconds_left is None else f", {clock(found.seconds_left)} left"
        said.append(("pace", f"{found.per_hour:.0f} trials/h{left}"))
    if found.seconds_since_last is not None:
        said.append(("last", f"a trial ended {clock(found.seconds_since_last)} ago"))
    for position, each in enumerate(found.running[:NAMED]):
        text = f"{recipe_told(each['recipe'])} ({clock(each['seconds'])})"
        said.append(("running" if position == 0 else "", text))
    if len(found.running) > NAMED:
        said.append(("", f"and {len(found.running) - NAMED} more"))
    objectives = ", ".join(found.objectives)
    volume = "" if found.hypervolume is None else f", normalised hypervolume {found.hypervolume:.3f}"
    networks = f"{found.front} network{'' if found.front == 1 else 's'}"
    said.append(("front", f"{networks}{volume} (objectives {objectives})" if found.front else "no network yet"))
    if found.best is not None:
        recipe = recipe_told(found.best["recipe"])
        said.append(("best", f"{measures_told(found.best, found.objectives)}  {recipe}  {found.best['trial']}"))
    if found.error is not None:
        said.append(("errors", f"most often {found.error} ({found.error_times}×)"))
    said += [("damaged", line) for line in found.damaged[:NAMED]]
    if len(found.damaged) > NAMED:
        said.append(("", f"and {len(found.damaged) - NAMED} more files that cannot be read"))
    return [f"{name:<8} {text}" for name, text in said]


def _said(found: Status) -> str:
    where = "" if found.driver is None else f"process {found.driver['pid']} on {found.driver['host']}"
    return {
        "starting": f"starting, {where}",
        "running": f"running, {where}" + (f" for {clock(found.driver['seconds'])}" if found.driver else ""),
        "finished": "finished",
        "stopped": "not running; `prunefront run` goes on",
        "died": f"not running: {where} died; `prunefront run` goes on",
    }[found.state]
