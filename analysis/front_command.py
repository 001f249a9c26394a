"""``prunefront front``: from a study's folder and the options as typed to what is printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from analysis import front_table, table
from analysis.errors import WrongInput
from analysis.pareto import check_objectives
from analysis.summary import FrontSummary, study_constraints, study_objectives, summarise

__all__ = ["print_front"]


def print_front(study: Path, *, objectives: str, where: str, as_json: bool) -> None:
    """Print a study's front: with rich on a terminal, plainly in a pipe, or as one JSON document.

    ``objectives`` are names joined by commas ("": the study's own), ``where`` an expression ("": every row). Rows
    that do not meet the study's constraints take no part.
    """
    named = _objectives(study, objectives)
    rows = table.read(study)
    if len(rows) == 0:
        raise WrongInput(f"{study} has no rows yet: a front needs at least one finished trial")
    chosen = table.where(rows, where) if where else rows
    summary = summarise(chosen, named, reference=rows, constraints=study_constraints(study))
    if len(summary.front) == 0:
        raise WrongInput(_why_empty(summary, study, where))
    if as_json:
        document = front_table.document(summary, study=str(study), where=where or None)
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
    elif sys.stdout.isatty():
        front_table.show(summary)
    else:
        sys.stdout.write(front_table.plain(summary) + "\n")


def _objectives(study: Path, typed: str) -> tuple[str, ...]:
    if not typed:
        return study_objectives(study)
    named = tuple(name.strip() for name in typed.split(","))
    try:
        check_objectives(named)
    except WrongInput as error:
        raise WrongInput(f"{error} (--objectives)") from error
    return named


def _why_empty(summary: FrontSummary, study: Path, where: str) -> str:
    rows = f"the {summary.total} rows of {study}" + (f" that --where {where!r} keeps" if where else "")
    if summary.total == 0:
        return f"no row of {study} fulfils --where {where!r}"
    if summary.complete == 0:
        return f"none of {rows} is complete: only complete networks can be on a front"
    if summary.unmet:
        return f"{front_table.none_meets(summary)} ({study / 'spec.yaml'}: search.constraints)"
    return f"none of {rows} is complete with a number for each of {', '.join(summary.objectives)}"
