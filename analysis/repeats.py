"""Groups of repeated studies: of one spec, each with a seed of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import arrow, table
from analysis.constraints import without_unmet
from analysis.costs import NEEDED
from analysis.errors import WrongInput
from analysis.object_path import WILDCARDS, ObjectPath, path_of
from analysis.pareto import candidates
from analysis.schema import DENSE
from analysis.summary import SPEC, study_constraints, study_spec

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Group", "groups", "read"]

SAME = ("network", "width", "data")
"""What all studies that are compared have in common."""
SPECIFIED = ("network", "data", "dense", "sparsity", "recovery", "search")
FREE = {"trials", "folder", "download", "storage", "loggers"}
"""What may differ in them: a study's budget may be raised, its data lie elsewhere, others be told of its trials."""


@dataclass(frozen=True)
class Group:
    """Repeats of one study under a name."""

    name: str
    studies: tuple[Path, ...]
    tables: tuple[pa.Table, ...] = ()
    """A study's rows each."""
    dense: tuple[pa.Table, ...] = ()
    """Of each study the dense networks, whether they meet its constraints or not."""

    def __len__(self) -> int:
        return len(self.studies)


def groups(arguments: Sequence[str]) -> list[Group]:
    """Read what is compared as it is typed: each argument a study or a group of repeats.

    ``[NAME=]STUDY[,STUDY …]``, where STUDY may hold ``*``, ``?`` and ``[…]`` and stands for all studies that fit; the
    same NAME twice is one group. Without NAME a study is called as its folder, several as they were typed.

    Raises WrongInput where nothing fits, a study is named twice, or two groups have one name.

    >>> [(group.name, len(group)) for group in groups(["a=runs/a-0,runs/a-1", "runs/b"])]
    [('a', 2), ('b', 1)]
    """
    found: dict[str, list[Path]] = {}
    unnamed: set[str] = set()
    for typed in arguments:
        name, equals, rest = typed.partition("=")
        if not equals or "/" in name or Path(typed).is_dir():
            name, rest = "", typed
        paths = [path for part in rest.split(",") for path in _fitting(part.strip(), typed)]
        called = name.strip() or (paths[0].resolve().name if len(paths) == 1 else typed)
        if called in found and (not name or called in unnamed):
            raise WrongInput(f"two groups are called {called}: name them, such as first={rest}")
        unnamed |= set() if name else {called}
        found.setdefault(called, []).extend(paths)
    every = [path for paths in found.values() for path in paths]
    table.labels(every)  # raises where one is named twice
    return [Group(name, tuple(paths)) for name, paths in found.items()]


def read(groups: Sequence[Group], objectives: Sequence[str]) -> list[Group]:
    """The groups with their rows, each network that does not meet its study's constraints as one that is not complete.

    Raises WrongInput where a study cannot be read, has no rows or no complete network with every objective, where
    repeats of a group share a seed or were specified differently, or where studies are not of one network and data set.
    """
    import pyarrow.compute as pc

    columns = {*NEEDED, *objectives, *SAME, "seed", "study", "classes"}
    filled = []
    common: dict[str, tuple[str, Path]] = {}
    for group in groups:
        _check_specs(group)
        tables, dense = [], []
        seeds: dict[int, Path] = {}
        for study in group.studies:
            demanded = study_constraints(study)
            rows = table.read(study, columns=columns | {each.measure for each in demanded})
            dense.append(rows.filter(pc.equal(rows["method"], arrow.scalar(DENSE))))
            rows = without_unmet(rows, demanded)
            if len(rows) == 0:
                raise WrongInput(f"{study} has no rows yet: a comparison needs at least one finished trial")
            if len(candidates(rows, objectives)) == 0:
                raise WrongInput(
                    f"none of the {len(rows)} rows of {study} is complete with a number for each of "
                    f"{', '.join(objectives)}" + (" and meets the study's constraints" if demanded else "")
                )
            for name in SAME:
                value = str(next((each for each in rows[name].to_pylist() if each is not None), None))
                known, where = common.setdefault(name, (value, study))
                if known != value:
                    raise WrongInput(
                        f"{name} is {known} in {where} and {value} in {study}: fronts of one network and data set "
                        "can be compared"
                    )
            for seed in {each for each in rows["seed"].to_pylist() if each is not None}:
                if seed in seeds:
                    raise WrongInput(
                        f"{seeds[seed]} and {study} have the same seed {seed}: repeats of {group.name} differ in it"
                    )
                seeds[seed] = study
            tables.append(rows)
        filled.append(Group(group.name, group.studies, tuple(tables), tuple(dense)))
    return filled


def _fitting(typed: str, argument: str) -> list[Path]:
    if not typed:
        raise WrongInput(f"a group is [NAME=]STUDY[,STUDY …], such as l1=studies/l1-*, got {argument!r:.80}")
    base, below = path_of(typed, wildcards=True), list[str]()
    if not any(sign in typed for sign in WILDCARDS) or base.is_dir():
        return [base]
    if isinstance(base, ObjectPath) and any(sign in base.parts[1] for sign in WILDCARDS):
        raise WrongInput(f"wildcards stand for studies, a bucket is named in full, got {typed!r:.80}")
    while any(sign in str(base) for sign in WILDCARDS):
        below.insert(0, base.name)
        base = base.parent
    found = sorted(
        path for path in base.glob("/".join(below)) if (path / table.ROWS).is_dir() or (path / table.PARQUET).is_file()
    )
    if not found:
        raise WrongInput(f"no study fits {typed!r}: accepted are folders that hold {table.ROWS}/ or {table.PARQUET}")
    return found


def _check_specs(group: Group) -> None:
    """Raise WrongInput where two repeats were specified differently; one without a spec is taken as it is."""
    known: tuple[dict[str, Any], Path] | None = None
    for study in group.studies:
        spec = study_spec(study)
        if not spec:
            continue
        path, said = study / SPEC, _specified(spec)
        if known is None:
            known = said, path
        differing = [name for name in sorted({*said, *known[0]}) if said.get(name) != known[0].get(name)]
        if differing:
            raise WrongInput(
                f"{differing[0]} is not the same in {known[1]} and {path}: repeats of {group.name} differ in the "
                "seed alone"
            )


def _specified(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What repeats have in common, by its place in the spec, two levels deep."""
    found: dict[str, Any] = {}
    for name in SPECIFIED:
        part = spec.get(name)
        if isinstance(part, dict):
            found |= {f"{name}.{key}": value for key, value in part.items() if key not in FREE}
        else:
            found[name] = part
    return found
