"""A front as text: the cells of its table, aligned for a pipe, drawn for a terminal, or as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.constraints import listed
from analysis.schema import COLUMNS, DENSE, MEASURES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from analysis.summary import FrontSummary

__all__ = [
    "OUTCOME",
    "Cells",
    "aligned",
    "cells",
    "document",
    "drawn",
    "human",
    "lines",
    "narrowed",
    "none_meets",
    "plain",
    "show",
]

UNITS = {column.name: column.unit for column in MEASURES}
COUNTS = {"params", "macs"}
OUTCOME = {column.name for column in COLUMNS if column.group != "recipe"}
"""Columns that a front's table does not show, but for the trial's name and the objectives."""
STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Cells:
    """A front's table before it is drawn: one list of texts per network."""

    headers: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    """Which columns hold numbers, and are aligned to the right."""
    shared: dict[str, str] = field(default_factory=dict)
    """Knobs that every pruned network on the front has the same: said once, below the table."""


def human(name: str, value: object) -> str:
    """A value as people write it: counts to three digits with their unit, shares to four decimals, null as "".

    >>> human("macs", 12_345_678), human("bytes", 45_600), human("sparsity", 0.91234), human("lambda", 1e-4)
    ('12.3 M', '45.6 kB', '0.9123', '0.0001')
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    unit = UNITS.get(name)
    if name in COUNTS:
        return _stepped(value)
    if unit == "bytes":
        number = _stepped(value)
        return f"{number}B" if number[-1].isalpha() else f"{number} B"
    if unit == "ms":
        return f"{value:.3g} ms" if value < 1000 else f"{value:.0f} ms"
    return f"{value:.4g}" if unit is None else f"{value:.4f}"


def _stepped(value: float) -> str:
    """Three significant digits and a metric prefix.

    >>> _stepped(999_999), _stepped(1_234), _stepped(15)
    ('1 M', '1.23 k', '15')
    """
    for position, (step, prefix) in enumerate(STEPS):
        if float(f"{value:.3g}") >= step:
            digits = f"{value / step:.3g}"
            return f"{float(digits):.0f} {prefix}" if position == 0 else f"{digits} {prefix}"
    return f"{value:.3g}"


def cells(summary: FrontSummary) -> Cells:
    """Trial, method, ratio, every knob that is set somewhere on the front, and the objectives.

    A knob with one value for all pruned networks would fill a column and say nothing: it is in ``shared``.
    """
    rows = summary.front.to_pylist()
    pruned = [row for row in rows if row.get("method") != DENSE]
    known = OUTCOME | {"method", "ratio", *summary.named}
    knobs = [
        name
        for name in summary.front.column_names
        if name not in known and any(row[name] not in (None, "") for row in rows)
    ]
    shared = {
        name: human(name, pruned[0][name])
        for name in knobs
        if len(pruned) > 1 and len({row[name] for row in pruned}) == 1
    }
    headers = [
        *summary.named,
        "trial",
        "method",
        "ratio",
        *(name for name in knobs if name not in shared),
        *summary.objectives,
    ]
    return Cells(
        headers=headers,
        rows=[[human(name, row.get(name)) for name in headers] for row in rows],
        numeric=[all(isinstance(row.get(name), int | float | None) for row in rows) for name in headers],
        shared=shared,
    )


def lines(summary: FrontSummary, shared: Mapping[str, str] | None = None) -> list[str]:
    """What is said below the table: how many, how good, and what was left out; ``shared`` is that of its cells."""
    if not summary.compared and summary.unmet:
        return [none_meets(summary)]
    said = []
    if shared:
        said.append("the same for all pruned networks: " + ", ".join(f"{k} {v}" for k, v in shared.items()))
    if summary.thinned:
        said.append(summary.thinned)
    verb = "is" if summary.on_front == 1 else "are"
    size = f"{summary.on_front} of {summary.compared} networks {verb} on the front"
    objectives = ", ".join(summary.objectives)
    if summary.reference is not None:
        corner = ", ".join(f"{name} {value:g}" for name, value in summary.reference.items())
        said.append(f"{size}; hypervolume {summary.hypervolume:.6g}, unscaled, to {corner} (objectives {objectives})")
    elif summary.hypervolume is None:
        said.append(f"{size} (objectives {objectives})")
        said.append(f"hypervolume not given: {summary.no_hypervolume}")
    else:
        said.append(f"{size}; normalised hypervolume {summary.hypervolume:.3f} (objectives {objectives})")
    if summary.left_out:
        verb = "network lacks" if summary.left_out == 1 else "networks lack"
        said.append(f"{summary.left_out} complete {verb} an objective (or it is not finite) and took no part")
    if summary.incomplete:
        said.append(f"{summary.incomplete} of {summary.total} rows did not complete and took no part")
    if summary.unmet:
        verb = "network does" if summary.unmet == 1 else "networks do"
        said.append(f"{summary.unmet} {verb} not meet {listed(summary.constraints)} and took no part")
    for name in summary.constant:
        value = human(name, summary.front[name][0].as_py())
        said.append(f"{name} is {value} for each of the {summary.compared} networks: it tells none from another")
    return said


def none_meets(summary: FrontSummary) -> str:
    """The line that is said instead of a front where no network meets the constraints."""
    networks = "the one complete network does not meet" if summary.unmet == 1 else "none of the networks meets"
    of = "" if summary.unmet == 1 else f" ({summary.unmet} are complete)"
    return f"there is no front: {networks} {listed(summary.constraints)}{of}"


def plain(summary: FrontSummary) -> str:
    """The table and its lines as aligned text, without colour or boxes: for pipes, logs and CI."""
    if not len(summary.front):
        return "\n".join(lines(summary))
    content = cells(summary)
    return "\n".join([aligned(content), "", *lines(summary, content.shared)])


def aligned(content: Cells) -> str:
    """Cells as text, one line for the headers and one for each row."""
    grid = [content.headers, *content.rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(content.headers))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, content.numeric, strict=True)
        ).rstrip()
        for row in grid
    )


def show(summary: FrontSummary) -> None:
    """Draw the front on the terminal, with as many of its knobs as there is room for; ``lines`` are below it."""
    if not len(summary.front):
        sys.stdout.write("\n".join(lines(summary)) + "\n")
        return
    from rich.console import Console

    console = Console()
    whole = cells(summary)
    content, left_out = narrowed(whole, summary.objectives, console=console)
    console.print(drawn(content, bold=summary.objectives))
    said = lines(summary, whole.shared)
    if left_out:
        knobs = ", ".join(left_out)
        said.insert(0, f"no room for {knobs}: a wider terminal or `prunefront front STUDY | less -S` shows more")
    sys.stdout.write("\n".join(said) + "\n")


def narrowed(
    content: Cells, objectives: Sequence[str], *, console: Console, trial_stays: bool = True
) -> tuple[Cells, list[str]]:
    """The cells without what the console has no room for, and the headers of that: knobs, from the last one on.

    Then the trial's name, unless ``trial_stays``; method, ratio and objectives always do.
    """
    from rich.measure import Measurement

    kept, left_out = list(range(len(content.headers))), list[str]()
    stays = {"rank", "study", "trial", "method", "ratio", *objectives}
    spare = [at for at in kept if content.headers[at] not in stays]
    if not trial_stays:
        spare.insert(0, content.headers.index("trial"))
    unbounded = console.options.update(max_width=10_000)
    while True:
        fewer = Cells(
            headers=[content.headers[at] for at in kept],
            rows=[[row[at] for at in kept] for row in content.rows],
            numeric=[content.numeric[at] for at in kept],
        )
        table = drawn(fewer, bold=objectives)
        if Measurement.get(console, unbounded, table).maximum <= console.width or not spare:
            return fewer, left_out
        kept.remove(spare[-1])
        left_out.insert(0, content.headers[spare.pop()])


def drawn(content: Cells, *, bold: Collection[str]) -> Table:
    """Cells for a terminal; the columns in ``bold`` are what the table is about and never wrap."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header, numeric in zip(content.headers, content.numeric, strict=True):
        table.add_column(
            escape(header),
            justify="right" if numeric else "left",
            style="bold" if header in bold else "dim" if header == "trial" else "",
            no_wrap=header in bold or header in {"trial", "method"},
        )
    for row in content.rows:
        table.add_row(*map(escape, row))
    return table


def document(summary: FrontSummary, **said: object) -> dict[str, Any]:
    """The summary as one JSON document, ``said`` (study, where) first; a row's null columns are left out."""
    return {
        **said,
        "objectives": list(summary.objectives),
        "rows": summary.total,
        "complete": summary.complete,
        "left_out": summary.left_out,
        "constant": list(summary.constant),
        "constraints": {each.measure: each.written for each in summary.constraints},
        "unmet": summary.unmet,
        "hypervolume": summary.hypervolume,
        "hypervolume_reference": None if summary.reference is None else dict(summary.reference),
        "on_front": summary.on_front,
        "front": [
            {name: value for name, value in row.items() if value is not None and not _is_unordered(value)}
            for row in summary.front.to_pylist()
        ],
    }


def _is_unordered(value: object) -> bool:
    """JSON has neither NaN nor infinity: a measure that is one of them is as good as absent."""
    return isinstance(value, float) and not math.isfinite(value)
