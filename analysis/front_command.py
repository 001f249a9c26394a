"""``prunefront front``: from studies' folders and the options as typed to what is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, costs, expression, front_table, indicators, quality_table, table
from analysis.errors import WrongInput, about
from analysis.groups import grouped
from analysis.schema import COLUMNS, arrow_schema
from analysis.summary import FrontSummary, check_epsilon, chosen_objectives, shared_constraints, summarise, thin_summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from analysis.constraints import Constraint

__all__ = ["Wish", "print_front"]


@dataclass(frozen=True)
class Wish:
    """What was asked for, as it was typed; "" is not asked for."""

    objectives: str = ""
    """Names joined by commas; the studies' own where none is typed."""
    where: str = ""
    by: str = ""
    """Columns joined by commas."""
    ranks: int = 1
    thin: float | None = None
    reference: str = ""
    indicators: bool = False
    over: str = ""


@dataclass(frozen=True)
class _Asked:
    """What is done with every group of rows."""

    studies: Sequence[Path]
    wish: Wish
    objectives: tuple[str, ...]
    corner: dict[str, float] | None
    everything: pa.Table
    """Every row, in the columns that a front takes."""
    constraints: tuple[Constraint, ...]

    def summary(self, rows: pa.Table) -> FrontSummary:
        found = summarise(
            rows,
            self.objectives,
            reference=self.everything,
            constraints=self.constraints,
            corner=self.corner,
            ranks=self.wish.ranks,
        )
        if len(self.studies) > 1:
            found = replace(found, named=(*found.named, "study"))
        if self.wish.thin is not None and len(found.front):
            found = thin_summary(found, epsilon=self.wish.thin, scale_of=self.everything)
        return found


def print_front(studies: Sequence[Path], wish: Wish, *, as_json: bool) -> None:
    """Print the front of some studies: with rich on a terminal, plainly in a pipe, or as one JSON document.

    Rows that do not meet the studies' constraints take no part. Raises WrongInput where there is no front, and for
    ``over`` of several studies at once.
    """
    by = [name.strip() for name in wish.by.split(",")] if wish.by else []
    if wish.over and len(studies) > 1 and "study" not in by:
        raise WrongInput(
            f"--over counts what one study paid, got {len(studies)} studies: "
            f"`prunefront compare {' '.join(map(str, studies))}` shows them side by side"
        )
    if wish.over:
        with _named_after("--over"):
            costs.check_cost(wish.over)
    if wish.thin is not None:
        with _named_after("--thin"):
            check_epsilon(wish.thin)
    objectives = chosen_objectives(studies, wish.objectives)
    with about(studies), _named_after("--reference"):
        corner = _corner(wish.reference, objectives)
    constraints = shared_constraints(studies)
    needed = {*objectives, *(each.measure for each in constraints), *by, *expression.names(wish.where)}
    compared = {*needed, "trial", "method", "state"}
    if len(studies) > 1:
        compared.add("study")
    if wish.over:
        compared.update(costs.NEEDED)
    rows = table.read(*studies, columns={*compared, *indicators.NEEDED})
    if not needed <= set(rows.column_names):
        rows = table.read(*studies)  # what says which name is wrong says all that there are
        compared = set(rows.column_names)
    if len(rows) == 0:
        called = ", ".join(map(str, studies))
        have = "has" if len(studies) == 1 else "have"
        raise WrongInput(f"{called} {have} no rows yet: a front needs at least one finished trial")
    chosen = rows.select([name for name in rows.column_names if name in compared])
    if wish.where:
        with about(studies):
            chosen = table.where(chosen, wish.where)
    asked = _Asked(studies, wish, objectives, corner, rows, constraints)
    with about(studies), _named_after("--by"):
        groups = grouped(chosen, by) if by else {(): chosen}
    found = {name: asked.summary(group) for name, group in groups.items()}
    if not any(len(summary.front) for summary in found.values()):
        raise WrongInput(_why_empty(asked.summary(chosen), studies, wish.where))
    further: list[dict[str, Any]] = [{} for _ in groups]
    if wish.indicators or wish.over:
        with about(studies):
            further = quality_table.documents(
                groups.values(),
                rows,
                objectives,
                constraints=asked.constraints,
                indicators=wish.indicators,
                over=wish.over,
            )
    held = {column.name for column in COLUMNS if column.name in chosen.column_names}
    found = _completed(found, studies, lambda name: name not in held and (as_json or name not in front_table.OUTCOME))
    if as_json:
        _print_json(studies, wish, by, found, further)
    else:
        _print_text(by, found, further)


def _completed(
    found: dict[tuple[str, ...], FrontSummary], studies: Sequence[Path], wanted: table.Wanted
) -> dict[tuple[str, ...], FrontSummary]:
    """The fronts with the further columns that are ``wanted``, which are read of their networks alone.

    What is there already stays: a study that runs may have replaced a row since.
    """
    import pyarrow as pa

    key = ("trial",) if len(studies) == 1 else ("study", "trial")

    def names(rows: pa.Table) -> list[tuple[str, ...]]:
        return list(zip(*(rows[name].to_pylist() for name in key), strict=True))

    trials = {trial for summary in found.values() for trial in summary.front["trial"].to_pylist()}
    further = table.read(*studies, columns=lambda name: wanted(name) or name in key, trials=trials)
    places = {name: place for place, name in enumerate(names(further))}
    order = arrow_schema(dict.fromkeys(further.column_names, "string")).names
    fronts = {}
    for group, summary in found.items():
        front = summary.front
        beside = further.take(arrow.array([places.get(name) for name in names(front)], pa.int64()))
        for name in beside.column_names:
            if name not in front.column_names:
                front = front.append_column(beside.schema.field(name), beside[name])
        ordered = sorted(front.column_names, key=lambda name: order.index(name) if name in order else len(order))
        fronts[group] = replace(summary, front=front.select(ordered))
    return fronts


def _print_json(
    studies: Sequence[Path],
    wish: Wish,
    by: Sequence[str],
    found: dict[tuple[str, ...], FrontSummary],
    further: Sequence[dict[str, Any]],
) -> None:
    names = [str(study) for study in studies]
    said: dict[str, Any] = {"study": names[0]} if len(names) == 1 else {"studies": names}
    said["where"] = wish.where or None
    documents = [front_table.document(summary) | more for summary, more in zip(found.values(), further, strict=True)]
    if by:
        groups = [
            {"group": dict(zip(by, values, strict=True)), **document}
            for values, document in zip(found, documents, strict=True)
        ]
        whole = said | {"by": list(by), "groups": groups}
    else:
        whole = said | documents[0]
    sys.stdout.write(json.dumps(whole, allow_nan=False) + "\n")


def _print_text(
    by: Sequence[str], found: dict[tuple[str, ...], FrontSummary], further: Sequence[dict[str, Any]]
) -> None:
    show: Callable[[FrontSummary], None] = front_table.show if sys.stdout.isatty() else _plain
    first = True
    for (values, summary), more in zip(found.items(), further, strict=True):
        if by:
            heading = ", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True))
            none = "" if len(summary.front) else f": {_why_none(summary)}"
            sys.stdout.write(f"{'' if first else chr(10)}{heading}{none}\n")
            first = False
        if len(summary.front):
            show(summary)
            sys.stdout.writelines(f"{line}\n" for line in quality_table.lines(more))


def _plain(summary: FrontSummary) -> None:
    sys.stdout.write(front_table.plain(summary) + "\n")


def _corner(typed: str, objectives: Sequence[str]) -> dict[str, float] | None:
    """The point of ``--reference``; None where none is typed."""
    if not typed:
        return None
    from analysis.quality import reference_point

    given: dict[str, float] = {}
    for part in typed.split(","):
        name, _, number = part.partition("=")
        try:
            value = float(number)
        except ValueError:
            raise WrongInput(f"a reference is MEASURE=NUMBER, joined by commas, got {part!r:.60}") from None
        if name.strip() in given:
            raise WrongInput(f"{name.strip()} is named twice: name each once")
        given[name.strip()] = value
    return dict(zip(objectives, reference_point(given, objectives), strict=True))


@contextmanager
def _named_after(option: str) -> Iterator[None]:
    """Say which option was wrong."""
    try:
        yield
    except WrongInput as error:
        raise WrongInput(f"{error} ({option})") from error


def _why_none(summary: FrontSummary) -> str:
    """Why a group has no front."""
    if summary.complete == 0:
        return f"none of {_rows(summary)} is complete"
    if summary.unmet:
        return front_table.none_meets(summary)
    return f"none of {_rows(summary)} is complete with a number for each of {', '.join(summary.objectives)}"


def _rows(summary: FrontSummary) -> str:
    return f"the {summary.total} rows"


def _why_empty(summary: FrontSummary, studies: Sequence[Path], where: str) -> str:
    study = ", ".join(map(str, studies))
    rows = f"the {summary.total} rows of {study}" + (f" that --where {where!r} keeps" if where else "")
    if summary.total == 0:
        return f"no row of {study} fulfils --where {where!r}"
    if summary.complete == 0:
        return f"none of {rows} is complete: only complete networks can be on a front"
    if summary.unmet:
        return f"{front_table.none_meets(summary)} ({studies[0] / 'spec.yaml'}: search.constraints)"
    return f"none of {rows} is complete with a number for each of {', '.join(summary.objectives)}"
