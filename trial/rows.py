"""One durable row per trial: a flat JSON object in ``STUDY/rows/TRIAL.json``, the source of truth."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis.errors import WorkFailed, WrongInput
from analysis.object_path import each
from analysis.row import VERSION, read_row
from analysis.schema import COLUMNS, DENSE, SCHEMA_VERSION
from trial.experiment import Experiment
from trial.recipe import columns, trial_id
from trial.store import write_durably

__all__ = ["Row", "blank", "check_unchanged", "read", "read_all", "remove", "writable", "write"]

Row = dict[str, Any]


def blank() -> Row:
    """A row with every column of the schema and every knob of a recipe, all None: not applicable."""
    return dict.fromkeys((*(column.name for column in COLUMNS), *columns()))


def write(study: Path, row: Row) -> None:
    """Write the row, complete and on the disk before it has its name; it replaces an earlier row of its trial."""
    folder = study / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(
        folder / f"{row['trial']}.json", json.dumps({VERSION: SCHEMA_VERSION, **row}, allow_nan=False).encode()
    )


def remove(study: Path, row: Row) -> None:
    """Remove a trial's row: the trial is there to be run again."""
    (study / "rows" / f"{row['trial']}.json").unlink(missing_ok=True)


def read(study: Path, trial: str) -> Row | None:
    """Read a trial's row, None where it has none."""
    try:
        return _checked(study / "rows" / f"{trial}.json")
    except FileNotFoundError:
        return None


def read_all(study: Path) -> list[Row]:
    """Read every row of a study, in the order in which the trials started."""
    rows = each(_checked, (study / "rows").glob("[!.]*.json"), at=study)
    return sorted(rows, key=lambda row: (row["started"], row["trial"]))


def check_unchanged(rows: Sequence[Row], study: Path, experiment: Experiment, *, fingerprint: str) -> None:
    """Raise WrongInput where the study's dense network was trained on other data, or by other code, than there is now.

    A study whose dense network has no row yet is unchanged.
    """
    references = [row["trial"] for row in rows if row["method"] == DENSE]
    if references and trial_id(None, experiment, fingerprint=fingerprint) not in references:
        raise WrongInput(
            f"the data, or the code or weights of the network, changed since {study} was made: restore them, "
            f"or run a new study with --study (data: {experiment.data.folder or experiment.data.name}, "
            f"network: {experiment.network.called})"
        )


@contextmanager
def writable(study: Path) -> Iterator[None]:
    """Name what stops a study from being written: a full disk is failed work, all else a wrong folder."""
    try:
        yield
    except OSError as error:
        kept = _kept(study)
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}:
            raise WorkFailed(f"{error.strerror} while writing {study}: {kept} kept there") from error
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise WrongInput(f"{study} is not a folder") from error
        raise WrongInput(f"cannot write to {study}: {error.strerror}; name another folder with --study") from error


def _kept(study: Path) -> str:
    try:
        kept = len(list(study.glob("rows/[!.]*.json")))
    except OSError:  # an object store that does not answer, again
        return "all finished rows are"
    return "1 finished row is" if kept == 1 else f"{kept} finished rows are"


def _checked(path: Path) -> Row:
    row = read_row(path)
    for name in ("method", "state", "started"):
        if not isinstance(row.get(name), str):
            raise WrongInput(f"{path} says no {name}: delete it and the trial is run again")
    return row
