"""A study's folder as the search sees it: its frozen spec, what may change in it, and its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import table
from analysis.errors import WrongInput
from search.spec import Spec
from trial.data import Splits
from trial.experiment import Experiment
from trial.numerics import device_here
from trial.probe import probe
from trial.recipe import Recipe, columns, trial_id
from trial.rows import Row, check_unchanged, read_all, remove
from trial.store import write_durably
from trial.yaml_file import read, text

__all__ = ["differences", "enter", "own_rows", "without_failed"]

SPEC = "spec.yaml"
MAY_CHANGE = {
    "search.trials",
    "search.time_limit",
    "search.warm_start",
    "search.storage",
    "search.loggers",
    "workers",
    "resources.cpu",
    "resources.gpu",
    "checkpoint_every",
    "artefacts",
}
"""What another run of a study may say anew: none of it decides what comes of a recipe."""


def enter(
    study: Path,
    spec: Spec,
    splits: Splits | None = None,
    *,
    is_here: bool = True,
    say: Callable[[str], None] = print,
) -> Spec:
    """Freeze the spec into a new study's folder, or check that an old study's is the same; return what holds.

    Settings of ``numerics`` that the spec does not give are the frozen ones; in a new study those that a probe on
    ``splits`` settles, which ``say`` is told in one line; without splits nothing is timed. ``is_here`` says that trials
    run on this machine and no cluster. Raises WrongInput where the folder belongs to another spec, one line for each
    path that differs.
    """
    frozen = study / SPEC
    if not frozen.exists():
        if any(study.glob("rows/*.json")):
            raise WrongInput(f"{study} holds rows and no {SPEC}: name a folder of its own with --study")
        spec = spec.with_numerics(is_here=is_here)
        probed = probe(spec.experiment(), splits, device=device_here()) if splits is not None else None
        if probed is not None:
            spec = spec.model_copy(update={"numerics": probed.numerics})
            say(str(probed))
        _freeze(frozen, spec)
        return spec
    old: Spec = Spec.parse(read(frozen), where=frozen)
    given = {name: getattr(spec.numerics, name) for name in spec.numerics.model_fields_set}
    spec = spec.model_copy(update={"numerics": old.numerics.model_copy(update=given)})
    differing = differences(old, spec)
    if differing:
        lines = "\n".join(f"  {path}: {before} → {after}" for path, before, after in differing)
        raise WrongInput(f"{study} belongs to another spec; name another folder with --study, or undo:\n{lines}")
    if spec != old:
        _freeze(frozen, spec)
    return spec


def differences(old: Spec, new: Spec) -> list[tuple[str, Any, Any]]:
    """Every path at which two specs differ, among those that may not change in a study, with both values."""
    before, after = (_paths(spec.model_dump(mode="json")) for spec in (old, new))
    paths = [path for path in {**before, **after} if path not in MAY_CHANGE]
    absent = "(absent)"
    return [
        (path, before.get(path, absent), after.get(path, absent))
        for path in paths
        if before.get(path, absent) != after.get(path, absent)
    ]


def own_rows(study: Path, spec: Spec, experiment: Experiment, *, fingerprint: str) -> list[Row]:
    """The study's rows that a search of this spec would write, in order of start; the dense row is not among them.

    Raises WrongInput where the study's dense network was trained on other data than there is now.
    """
    rows = read_all(study)
    check_unchanged(rows, study, experiment, fingerprint=fingerprint)
    space = spec.space
    own = []
    for row in rows:
        traced = space.trace(row)
        if traced is None:
            continue
        recipe = Recipe.parse(traced[0], experiment, where=row["trial"])
        if trial_id(recipe, experiment, fingerprint=fingerprint) == row["trial"]:
            own.append(row)
    return own


def without_failed(study: Path, rows: Sequence[Row]) -> list[Row]:
    """Remove the rows of failed trials from the study, so that they may be run again; those that stay."""
    failed = [row for row in rows if row["state"] == "failed"]
    for row in failed:
        remove(study, row)
    if failed:
        # Compacting adds rows and forgets none.
        (study / table.PARQUET).unlink(missing_ok=True)
        table.compact(study, columns())
    return [row for row in rows if row["state"] != "failed"]


def _freeze(frozen: Path, spec: Spec) -> None:
    write_durably(frozen, text(spec.model_dump(mode="json")).encode())


def _paths(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted path → value."""
    paths: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            paths |= _paths(value, f"{prefix}{name}.")
        else:
            paths[f"{prefix}{name}"] = value
    return paths
