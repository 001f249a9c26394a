"""Everything that a page shows of studies, as JSON holds it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, knobs, plots, table
from analysis.chance import results
from analysis.confirmed import PARQUET as CONFIRMED
from analysis.confirmed import read as read_confirmed
from analysis.constraints import met
from analysis.epochs import counted
from analysis.errors import WrongInput
from analysis.page.columns import compact
from analysis.page.controls import against_random, against_scratch
from analysis.page.learning import learning
from analysis.page.matters import matters
from analysis.page.progress import progress
from analysis.page.sparsity import zeros_pay
from analysis.page.widths import widths
from analysis.schema import ARTEFACTS, DENSE, MEASURES, SCHEMA_VERSION
from analysis.summary import SPEC, FrontSummary, study_constraints, study_objectives, summarise

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["facts"]

NOT_SHOWN = {"version"}
LOOKED_UP = 500
"""Of so many trials the layers are looked up: the front's, then the most accurate."""
SHAPES = dict(
    zip(
        (*plots.SHAPES, "o", "*"),
        (
            *("square", "diamond", "triangle-up", "triangle-down", "cross", "x", "triangle-left", "triangle-right"),
            *("hexagon2", "diamond-tall", "circle", "star"),
        ),
        strict=True,
    )
)
"""matplotlib's names of the marks in plotly's words: a method looks alike in figures and on the page."""


def facts(studies: Sequence[Path]) -> dict[str, Any]:
    """Read studies for `page`: their rows side by side in compact columns, and what is said of each.

    Raises WrongInput for what cannot be read, a study without rows, one that is named twice, and columns that do
    not go together.
    """
    names = table.labels(studies)
    tables = [_rows(study) for study in studies]
    told = [_study(study, rows) for study, rows in zip(studies, tables, strict=True)]
    whole = table.together(tables, names)
    methods = sorted({name for name in whole["method"].to_pylist() if name is not None})
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "schema": SCHEMA_VERSION,
        "studies": [
            {"name": name} | {key: value for key, value in one.items() if key not in {"on_front", "meets"}}
            for name, one in zip(names, told, strict=True)
        ],
        "rows": len(whole),
        "columns": compact(_placed(whole, tables, told)),
        "measures": {
            column.name: {"label": column.label, "unit": column.unit, "better": column.better} for column in MEASURES
        },
        "knobs": knobs.names(whole),
        "marks": {"method": _marks(methods), "study": _marks(names)},
    }


def _rows(study: Path) -> pa.Table:
    rows = table.read(study)
    if len(rows) == 0:
        raise WrongInput(f"{study} has no rows yet: a report needs at least one finished trial")
    return rows


def _study(study: Path, rows: pa.Table) -> dict[str, Any]:
    """What is said of one study; of what is broken beside its rows, why it is not shown."""
    objectives, constraints = study_objectives(study), study_constraints(study)
    summary = summarise(rows, objectives, constraints=constraints)
    front = summary.front["trial"].to_pylist()
    listed = rows.to_pylist()
    said = [] if summary.complete else [f"none of the {len(rows)} rows is complete: there is no front to show"]
    dense = [row["trial"] for row in listed if row["method"] == DENSE]
    order = _by_interest(listed, [*front, *dense])
    epochs, notes = learning(study, order, dense=dense)
    said += notes
    grown: dict[str, Any] | None = None
    if summary.hypervolume is not None:
        try:
            grown = progress(rows, objectives, constraints=constraints)
        except WrongInput as error:
            said.append(f"hypervolume over cost not given: {error}")
    else:
        said.append(f"hypervolume not given: {summary.no_hypervolume}")
    return {
        "path": str(study),
        "objectives": list(objectives),
        "constraints": [str(one) for one in constraints],
        "counts": _counts(summary, listed),
        "hypervolume": summary.hypervolume,
        "progress": grown,
        "importance": matters(rows, objectives),
        "failures": _failures(listed),
        "random": against_random(listed),
        "scratch": against_scratch(listed),
        "zeros": zeros_pay(listed),
        "curves": epochs,
        "widths": widths(study, order[:LOOKED_UP]),
        "artefacts": _artefacts(study),
        "confirmed": _confirmed(study, objectives, said),
        "environment": _environment(study, listed),
        "spec": _spec(study),
        "notes": said,
        "on_front": set(front),
        "meets": met(rows, constraints),
    }


def _by_interest(rows: Sequence[Mapping[str, Any]], first: Sequence[str]) -> list[str]:
    """Every trial: those named first, then stopped ones and complete ones in turn, from the most accurate down."""
    rest = [row for row in rows if row["trial"] not in set(first)]
    ranked = sorted(rest, key=lambda row: -(row["val_accuracy"] or 0.0))
    return [*dict.fromkeys(first), *(row["trial"] for row in ranked)]


def _counts(summary: FrontSummary, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    states = Counter(str(row["state"]) for row in rows)
    return {
        "rows": len(rows),
        **{state: states[state] for state in ("complete", "stopped", "failed")},
        "front": len(summary.front),
        "left_out": summary.left_out,
        "unmet": summary.unmet,
    }


def _failures(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Failed trials by what their errors say, numbers aside, the most frequent first."""
    alike = defaultdict(list)
    for row in rows:
        if row["state"] == "failed":
            error = str(row["error"] or "no reason was recorded")
            alike[re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", error)].append((error, row))
    groups = [
        {
            "error": found[0][0],
            "count": len(found),
            "methods": dict(Counter(str(row["method"]) for _, row in found).most_common()),
            "trials": [row["trial"] for _, row in found[:5]],
        }
        for found in alike.values()
    ]
    return sorted(groups, key=lambda group: -group["count"])


def _artefacts(study: Path) -> dict[str, str]:
    """Trial → the folder of what was made of it to be deployed."""
    try:
        return {path.name: str(path) for path in (study / ARTEFACTS).iterdir()}
    except OSError:
        return {}


def _confirmed(study: Path, objectives: Sequence[str], said: list[str]) -> dict[str, Any]:
    """Trial → test accuracy over its seeds, as `prunefront pick` gives it."""
    if not (study / CONFIRMED).exists():
        return {}
    try:
        lines = read_confirmed(study)
    except WrongInput as error:
        said.append(str(error))
        return {}
    found = {}
    for each in results(lines, list(dict.fromkeys(["val_accuracy", *objectives]))):
        place = each.measures.index("test_accuracy")
        std = None if each.stds is None else each.stds[place]
        found[each.trial] = {"mean": each.means[place], "std": std, "seeds": each.seeds}
    return found


def _environment(study: Path, rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What the trials ran on, as pairs of a word and what there is to say."""
    found = [
        [label, _tally(counts)]
        for label, name in (
            *(("network", "network"), ("width", "width"), ("data", "data"), ("seed", "seed"), ("device", "device")),
            *(("precision", "precision"), ("torch", "torch"), ("prunefront", "version"), ("worker", "worker")),
        )
        if (counts := Counter(row[name] for row in rows if row[name] is not None))
    ]
    started = sorted(row["started"] for row in rows if row["started"])
    seconds = sum(row["seconds"] or 0.0 for row in rows)
    trained = counted(study)
    if started:
        first, last = (when[:16].replace("T", " ") for when in (started[0], started[-1]))
        found.append(["trials started", f"{first} to {last} UTC"])
    if seconds:
        found.append(["time of workers", f"{seconds / 3600:,.2f} hours"])
    if trained.executed:
        found.append(["epochs of training", str(trained)])
    return found


def _tally(counts: Counter[Any]) -> str:
    """What there is, the most frequent first, and how often where it is not always the same."""
    if len(counts) == 1:
        return str(next(iter(counts)))
    return ", ".join(f"{value} ({count:,})" for value, count in counts.most_common(8)) + ", …" * (len(counts) > 8)


def _spec(study: Path) -> str:
    try:
        return (study / SPEC).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _marks(names: Sequence[str]) -> dict[str, dict[str, str]]:
    drawn = plots.marks(names)
    return {name: {"colour": drawn[name].colour, "symbol": SHAPES[drawn[name].shape]} for name in names}


def _placed(whole: pa.Table, tables: Sequence[pa.Table], told: Sequence[Mapping[str, Any]]) -> pa.Table:
    """All rows with their study's place, whether they are on its front, and whether they meet its constraints."""
    import pyarrow as pa

    added = {
        "_study": [place for place, rows in enumerate(tables) for _ in range(len(rows))],
        "_front": [
            int(trial in one["on_front"])
            for rows, one in zip(tables, told, strict=True)
            for trial in rows["trial"].to_pylist()
        ],
        "_meets": [int(claim) for one in told for claim in one["meets"]],
    }
    for name, values in added.items():
        whole = whole.append_column(name, arrow.array(values, pa.int64()))
    return whole.drop_columns(["study", *NOT_SHOWN])
