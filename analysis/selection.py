"""The trials of a study that are named on a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from analysis import front_table, table
from analysis.errors import WrongInput
from analysis.schema import DENSE
from analysis.summary import study_constraints, study_objectives, summarise

__all__ = ["ALL", "FRONT", "chosen", "single"]

FRONT = "front"
"""Stands for all trials on the study's front by its own objectives, among those that meet its constraints."""

ALL = "all"
"""Stands for every complete trial."""

Row = dict[str, Any]


def chosen(
    study: Path, typed: str, *, place: str = "--trials", words: Sequence[str] = (FRONT, ALL, DENSE)
) -> list[Row]:
    """The rows of the trials named, the dense network's first, each once and in the order named.

    Args:
        study: The study's folder.
        typed: Names joined by commas: the first digits of a trial's name, as many as tell it from all others;
            ``front``; ``all``; ``dense``. The dense network's row, where there is one, is always among the result.
        place: Where they are named on the command line.
        words: Those that are proposed beside the trials' names.

    Raises:
        WrongInput: There is no such study or trial, a name fits several, the trial is not complete.
    """
    found = table.read(study)
    rows: list[Row] = found.to_pylist()
    complete = [row for row in rows if row["state"] == "complete"]
    if not complete:
        why = f"none of its {len(rows)} rows is complete" if rows else "it has no rows yet"
        raise WrongInput(f"{study} has no complete trial: {why}")
    dense = {row["trial"]: row for row in complete if row["method"] == DENSE}
    picked = dict(dense)
    for name in (part.strip() for part in typed.split(",")):
        if name == FRONT:
            objectives = study_objectives(study)
            summary = summarise(found, objectives, constraints=study_constraints(study))
            on_front = summary.front.to_pylist()
            if not on_front and summary.unmet:
                raise WrongInput(f"{study}: {front_table.none_meets(summary)}")
            if not on_front:
                raise WrongInput(f"no complete trial of {study} has a number for each of {', '.join(objectives)}")
            picked |= {row["trial"]: row for row in on_front}
        elif name == ALL:
            picked |= {row["trial"]: row for row in complete}
        elif name != DENSE:
            row = _named(name, {row["trial"]: row for row in rows}, study=study, place=place, words=words)
            picked[row["trial"]] = row
    return list(picked.values())


def single(study: Path, typed: str) -> Row:
    """The row of the one complete trial that is named, or of ``dense``; raises WrongInput as `chosen` does."""
    typed = typed.strip()
    if typed in {"", FRONT, ALL} or "," in typed:
        raise WrongInput(f"one trial is wanted, got {typed!r}: name it by the first digits, or {DENSE} (TRIAL)")
    rows = chosen(study, typed, place="TRIAL", words=[DENSE])
    if typed == DENSE and not rows:
        raise WrongInput(f"{study} has no dense network that was trained to its end")
    return rows[-1]


def _named(name: str, rows: Mapping[str, Row], *, study: Path, place: str, words: Sequence[str]) -> Row:
    """The one row whose trial begins with the name."""
    if not name:
        raise WrongInput(
            f"a trial's name is empty; accepted are trials, {FRONT}, {ALL} and {DENSE}, joined by commas ({place})"
        )
    fitting = [trial for trial in rows if trial.startswith(name.lower())]
    if len(fitting) > 1:
        raise WrongInput(
            f"{name!r} fits {len(fitting)} trials of {study}: {_listed(fitting)}; say more digits ({place})"
        )
    if not fitting:
        starts = {trial[: len(name)]: trial for trial in (*rows, *words)}
        near = [starts[start] for start in get_close_matches(name.lower(), starts, n=3)]
        cure = f"did you mean {_listed(near)}?" if near else f"it has {_listed(list(rows))}"
        raise WrongInput(f"{study} has no trial {name!r}: {cure} ({place})")
    row = rows[fitting[0]]
    if row["state"] != "complete":
        why = f": {row['error']}" if row.get("error") else ""
        raise WrongInput(
            f"trial {row['trial']} of {study} is {row['state']}, and only complete ones have a network{why}"
        )
    return row


def _listed(trials: Sequence[str], *, most: int = 5) -> str:
    further = f" and {len(trials) - most} more" if len(trials) > most else ""
    return ", ".join(trials[:most]) + further
