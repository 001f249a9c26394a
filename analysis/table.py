"""Studies' rows as one table: read from their folders, compacted into them, narrowed by an expression.

``rows/TRIAL.json`` is the source of truth, one file per finished trial; ``trials.parquet`` holds the same
rows compacted, so that ten thousand of them are read in milliseconds, and may be stale or absent.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, expression, latency, parquet
from analysis.declared import check_row, in_schema, joined, kind_of, migrated
from analysis.errors import WrongInput, about, nearest
from analysis.expression import where
from analysis.migration import older_names, today
from analysis.object_path import Entry, ObjectPath, each, path_of, scan
from analysis.row import read_row
from analysis.schema import COLUMNS, Kind, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Wanted", "compact", "labels", "read", "together", "where"]

PARQUET = "trials.parquet"
ROWS = "rows"
UNREADABLE = "trials.unreadable.parquet"
"""A trials.parquet that could not be read when it was to be written anew."""

_PUT_NS = 10 * 10**9
"""An object is dated to when its put began: a row may be that much older than its first reader could have known."""
_DECLARED: dict[str, Kind] = {column.name: column.kind for column in COLUMNS}

Wanted = Callable[[str], bool]
"""Whether a column is to be read."""


def read(
    *studies: Path | str,
    columns: Collection[str] | Wanted | None = None,
    where: str = "",
    trials: Collection[str] | None = None,
    damage: list[str] | None = None,
) -> pa.Table:
    """Every row of some studies, newest version of each trial, study by study, in no particular order within one.

    Studies may be running: nothing is locked and nothing written. Taken from ``trials.parquet`` are the trials whose
    row in ``rows/`` is older than it; all others are read from ``rows/``, so that the answer does not depend on when
    the study was last compacted. What older versions wrote is given as this one would have written it.

    Columns of the schema that no row has are there, filled with null, and so are knobs that only some of the studies
    have. Where several are read, ``study`` holds what tells them apart (see ``labels``). Where the search took no
    latencies, those that ``prunefront latency`` measured last are in their columns (see ``analysis.latency``).

    Args:
        studies: Their folders, or their addresses (s3://BUCKET/STUDY, gs://BUCKET/STUDY).
        columns: What is read and given, as names or as a claim on a name, else every column; names that there are not
            are passed over.
        where: The rows that are given (see ``analysis.expression``), else all.
        trials: The trials whose rows are given, else all: of a few among many few others are held at a time. A column
            that the schema does not know is of the kind that these rows have.
        damage: Where it is given, files that cannot be read are passed over, and it gets a line for each.

    Raises:
        WrongInput: There is no such study, one is named twice, a Parquet file is damaged, not ours or of a newer
            schema, a row is not a flat JSON object of the columns' types, or ``where`` cannot be used.
    """
    paths = [path_of(study) if isinstance(study, str) else study for study in studies]
    called = labels(paths)
    given = _claim(columns)
    beside = expression.names(where)
    wanted = given if not where else _either(given, beside)
    parts = [_read_one(path, wanted=wanted, trials=trials, damage=damage) for path in paths]
    table = parts[0] if len(parts) == 1 else together(parts, called)
    if not where:
        return table
    with about(paths):
        if columns is not None and not set(beside) <= set(table.column_names):
            expression.where(read(*paths, damage=[]), where)  # says which name is wrong, and all that there are
        return _chosen(expression.where(table, where), given)


def labels(studies: Sequence[Path]) -> list[str]:
    """What tells some studies apart: the folders' names, or, where two have the same, the paths as they were given.

    Raises WrongInput where none is named, or one twice.

    >>> labels([Path("runs/a"), Path("runs/b"), Path("old/a")])
    ['runs/a', 'b', 'old/a']
    """
    if not studies:
        raise WrongInput("at least one study is needed")
    places = [study.resolve() for study in studies]
    for position, place in enumerate(places):
        if place in places[:position]:
            raise WrongInput(f"{studies[position]} is named twice: name each study once")
    times = Counter(place.name for place in places)
    return [place.name if times[place.name] == 1 else str(study) for place, study in zip(places, studies, strict=True)]


def together(parts: Sequence[pa.Table], called: Sequence[str]) -> pa.Table:
    """One table of several studies, with the columns of all of them; ``study`` holds what each is ``called``.

    Raises WrongInput where a column holds values of kinds that do not go together.
    """
    import pyarrow as pa

    kinds: dict[str, Kind] = {}
    held: dict[str, str] = {}
    for part, label in zip(parts, called, strict=True):
        for field in part.schema:
            own = kind_of(field.type)
            if part[field.name].null_count == len(part):
                kinds.setdefault(field.name, own)
                continue
            known = kinds[field.name] if field.name in held else own
            if known != own and {known, own} != {"int", "float"}:
                raise WrongInput(
                    f"column {field.name} holds {known} values in {held[field.name]} and {own} values in {label}: "
                    "read them apart"
                )
            kinds[field.name] = joined(known, own)
            held.setdefault(field.name, label)
    full = arrow_schema({name: kind for name, kind in kinds.items() if name not in _DECLARED})
    schema = pa.schema([field for field in full if field.name in kinds], metadata=full.metadata)
    whole = []
    for part, label in zip(parts, called, strict=True):
        fitted = in_schema(part, schema, where=label)
        if "study" in kinds:
            told = pa.repeat(arrow.scalar(label), len(part))
            fitted = fitted.set_column(schema.get_field_index("study"), schema.field("study"), told)
        whole.append(fitted)
    return pa.concat_tables(whole)


def _claim(columns: Collection[str] | Wanted | None) -> Wanted:
    if columns is None:
        return lambda _: True
    return columns if callable(columns) else frozenset(columns).__contains__


def _either(wanted: Wanted, others: Collection[str]) -> Wanted:
    return lambda name: wanted(name) or name in others


def _chosen(table: pa.Table, wanted: Wanted) -> pa.Table:
    return table.select([name for name in table.column_names if wanted(name)])


def _read_one(study: Path, *, wanted: Wanted, trials: Collection[str] | None, damage: list[str] | None) -> pa.Table:
    _check_exists(study)
    is_timed = any(map(wanted, latency.SHOWN))
    needed = _either(wanted, latency.NEEDED) if is_timed else wanted
    rows = _rows_of(study, wanted=needed, trials=trials, damage=damage)
    if is_timed and (trials is None or (study / latency.PARQUET).exists()):
        # Of all trials, not of those that are given: whether the search took latencies.
        every = rows if trials is None else _rows_of(study, wanted=latency.NEEDED.__contains__, trials=None, damage=[])
        with _passed_over(damage):
            rows = latency.shown(rows, study, taken=every["latency_machine"])
    return _chosen(rows, wanted)


def _rows_of(study: Path, *, wanted: Wanted, trials: Collection[str] | None, damage: list[str] | None) -> pa.Table:
    """A study's rows as they are in its own files, without the latencies that were measured later."""
    files = _row_files(study)
    keyed = bool(files)
    if trials is not None:
        files = [entry for entry in files if entry.name.removesuffix(".json") in trials]
    try:
        compacted, since = _read_parquet(study, wanted, keyed=keyed, trials=trials)
    except WrongInput as error:
        if damage is None:
            raise
        damage.append(str(error))
        compacted, since = None, 0
    return _with_newer_rows(study, files, compacted, since=since, wanted=wanted, damage=damage)


def compact(study: Path, knobs: Mapping[str, Kind]) -> Path:
    """Write all rows into ``trials.parquet``, whole or not at all, and return its path.

    ``knobs`` are the catalogue's knobs and their kinds (as for ``arrow_schema``). A Parquet file that can be read only
    has the newer rows added. One that cannot is built again from ``rows/`` and kept beside as ``UNREADABLE``, for it
    may hold rows that nobody else has; where ``rows/`` is empty nothing is written, and WrongInput is raised.

    The file is dated to before the rows were listed: a row that is replaced while this runs then counts as
    newer.
    """
    _check_exists(study)
    path, is_readable, every = study / PARQUET, True, _claim(None)
    try:
        compacted, since = _read_parquet(study, every, keyed=True)
    except WrongInput:
        if not _row_files(study):
            # Raises again, and says that there are no rows to be used instead.
            _read_parquet(study, every, keyed=False)
        compacted, since, is_readable = None, 0, False
    listed = _now(study)
    table = _with_newer_rows(study, _row_files(study), compacted, since=since, wanted=every, knobs=knobs)
    if not is_readable:
        from analysis.durable import write_durably  # it loads a dozen modules, which no reader needs

        write_durably(study / UNREADABLE, path.read_bytes())
    parquet.write(table, path, dated=listed)
    return path


def _now(study: Path) -> int:
    """The time [ns] from which a row counts as newer, by the clock that dates the rows too."""
    marker = study / f".{PARQUET}.{os.getpid()}"
    try:
        marker.touch()
        return marker.stat().st_mtime_ns - (_PUT_NS if isinstance(study, ObjectPath) else 0)
    finally:
        marker.unlink(missing_ok=True)


def _check_exists(study: Path) -> None:
    if study.is_dir():
        if (study / ROWS).is_dir() or (study / PARQUET).is_file() or (study / "spec.yaml").is_file():
            return
        raise WrongInput(f"{study} is not a study: it has no {ROWS}/, no {PARQUET} and no spec.yaml")
    if study.exists():
        raise WrongInput(f"{study} is a file: accepted is a study's folder, which holds {ROWS}/ or {PARQUET}")
    siblings = (
        sorted(path.name for path in study.parent.iterdir() if (path / ROWS).is_dir() or (path / PARQUET).is_file())
        if study.parent.is_dir()
        else []
    )
    cure = nearest(study.name, siblings) if siblings else f"accepted is a folder that holds {ROWS}/ or {PARQUET}"
    raise WrongInput(f"there is no study at {study}: {cure}")


def _read_parquet(
    study: Path, wanted: Wanted, *, keyed: bool, trials: Collection[str] | None = None
) -> tuple[pa.Table | None, int]:
    """The compacted rows, and the time [ns] from which a row is newer; (None, 0) where there is no file.

    With ``keyed`` there are rows beside the file: the trials' names are among the columns, to be compared with theirs.
    So they are where only some ``trials`` are read.
    """
    path = study / PARQUET

    def chosen(names: Sequence[str], version: int) -> Sequence[str]:
        if "trial" not in names:
            raise WrongInput(f"{path} has no column trial: it was not written by prunefront")
        named = {name for name in (*today(names, version), *_DECLARED) if wanted(name)}
        older = older_names({*named, *(["trial"] if keyed or trials is not None else [])}, version)
        return [name for name in names if name in older] or ["trial"]  # without columns there are no rows

    cure = (
        f"delete it, the rows in {ROWS}/ are used instead"
        if keyed
        else f"take it from a copy, there are no rows in {ROWS}/ to be used instead"
    )
    try:
        loaded = parquet.load(path, choose=chosen, only=None if trials is None else ("trial", trials), cure=cure)
    except FileNotFoundError:
        return None, 0
    return migrated(loaded.table, loaded.version), loaded.dated


def _row_files(study: Path) -> list[Entry]:
    """The files of its rows, by name.

    They are listed before trials.parquet is opened: one that is written later is as one that was written too late.
    """
    try:
        found = [entry for entry in scan(study / ROWS) if entry.name.endswith(".json") and entry.name[0] != "."]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda entry: entry.name)


def _with_newer_rows(
    study: Path,
    files: Sequence[Entry],
    compacted: pa.Table | None,
    *,
    since: int,
    wanted: Wanted,
    knobs: Mapping[str, Kind] | None = None,
    damage: list[str] | None = None,
) -> pa.Table:
    """``compacted`` with the rows that are newer than ``since`` or that it lacks; columns as declared."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _newer_rows(study / ROWS, files, compacted, since=since, damage=damage)
    declared = _DECLARED | dict(knobs or {})
    old = {} if compacted is None else {field.name: kind_of(field.type) for field in compacted.schema}
    further = {name: kind for name, kind in old.items() if name not in declared}
    whole = {}
    for path, row in rows.items():
        with _passed_over(damage):
            check_row(row, path, declared, further)
            whole[path] = row
    rows = whole
    full = arrow_schema({**(knobs or {}), **further})
    schema = pa.schema([field for field in full if wanted(field.name)], metadata=full.metadata)

    parts = []
    if compacted is not None:
        if rows:
            replaced = arrow.array([path.stem for path in rows], pa.string())
            compacted = compacted.filter(pc.invert(pc.is_in(compacted["trial"], value_set=replaced)))
        parts.append(in_schema(compacted, schema, where=str(study / PARQUET)))
    if rows or not parts:
        values = {field.name: [row.get(field.name) for row in rows.values()] for field in schema}
        parts.append(pa.table([arrow.array(values[field.name], field.type) for field in schema], schema=schema))
    return pa.concat_tables(parts)


@contextmanager
def _passed_over(damage: list[str] | None) -> Iterator[None]:
    """Add to ``damage``, where it is given, why a file inside the block could not be read.

    One that went is none: a search that tries failed trials again takes their rows away.
    """
    try:
        yield
    except FileNotFoundError:
        pass
    except WrongInput as error:
        if damage is None:
            raise
        damage.append(str(error))


def _newer_rows(
    folder: Path, files: Sequence[Entry], compacted: pa.Table | None, *, since: int, damage: list[str] | None = None
) -> dict[Path, dict[str, Any]]:
    """Path → row of every file that ``compacted`` lacks or that is not older than ``since``, in their order."""
    known = set(compacted["trial"].to_pylist()) if compacted is not None and files else set()
    newer = []
    for entry in files:
        with _passed_over(damage):
            if entry.name.removesuffix(".json") not in known or entry.stat().st_mtime_ns >= since:
                newer.append(folder / entry.name)
    rows: dict[Path, dict[str, Any]] = {}

    def take(path: Path) -> None:
        with _passed_over(damage):
            rows[path] = read_row(path)

    list(each(take, newer, at=folder))
    return {path: rows[path] for path in newer if path in rows}
