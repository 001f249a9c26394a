"""What a study's store holds, whether it is whole, and making room in it; reads no tensors, and loads no torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.errors import WrongInput
from analysis.object_path import ObjectPath, each, scan
from trial import manifest
from trial.claims import CLAIMS, FileClaims, InUse
from trial.leaving import forget
from trial.manifest import KEY, MANIFEST, STAGES, TENSORS

__all__ = ["UNFINISHED", "Stage", "doomed", "remove", "stages", "verified"]

UNFINISHED = "unfinished"
"""The kind of what has no manifest: its maker is at work, or was killed."""
UNKNOWN = "unknown"
"""The kind of a stage whose manifest does not say one."""
PIECE = 2**20
"""Bytes of tensors that are held in memory at once."""


@dataclass(frozen=True)
class Stage:
    """One stage as it lies on the disk."""

    key: str
    kind: str
    """The name of the stage, such as dense or recovery."""
    bytes: int
    """Of all its files."""
    used: float
    """When it was last made or read, in seconds of Unix time."""
    damage: str | None = None
    """What is wrong with it, as far as was looked; None where nothing is."""


def stages(study: Path) -> list[Stage]:
    """Every stage of a study, the least recently used first; damage is what shows without reading tensors.

    Raises WrongInput where the folder is no study's.
    """
    if not any((study / name).exists() for name in ("spec.yaml", "rows", STAGES)):
        raise WrongInput(f"{study} is not a study's folder: it has no spec.yaml, no rows and no stages")
    try:
        folders = [
            study / STAGES / entry.name
            for entry in scan(study / STAGES)
            if KEY.fullmatch(entry.name) and entry.is_dir()
        ]
    except FileNotFoundError:
        return []
    found = each(_stage, folders, at=study)
    return sorted((stage for stage in found if stage is not None), key=lambda stage: (stage.used, stage.key))


def verified(study: Path) -> Iterator[Stage]:
    """Every finished stage of a study with its checksum checked; ``damage`` says what came out."""
    for stage in stages(study):
        folder = study / STAGES / stage.key
        if stage.kind == UNFINISHED:
            continue
        if stage.damage is None:
            try:
                manifest.check(_pieces(folder / TENSORS), manifest.read(folder))
            except FileNotFoundError:
                # Removed, or made again, while this was looking.
                continue
            except ValueError as error:
                stage = replace(stage, damage=str(error))
        yield stage


def doomed(found: Sequence[Stage], *, older_than: float | None, keep: int | None, now: float) -> list[Stage]:
    """The stages to remove, in the order in which to.

    What is unfinished goes always, since nobody is making it while stages are removed; then what was last used more
    than ``older_than`` seconds before ``now``; then the least recently used until the rest fits ``keep`` bytes.
    """
    gone: list[Stage] = []
    rest: list[Stage] = []
    for stage in sorted(found, key=lambda stage: (stage.kind != UNFINISHED, stage.used, stage.key)):
        is_old = older_than is not None and now - stage.used > older_than
        (gone if is_old or stage.kind == UNFINISHED else rest).append(stage)
    left = sum(stage.bytes for stage in rest)
    for stage in rest:
        if keep is None or left <= keep:
            break
        gone.append(stage)
        left -= stage.bytes
    return gone


def remove(study: Path, *, older_than: float | None, keep: int | None, now: float) -> list[Stage]:
    """Remove the stages that `doomed` names from a study that nobody uses, and return them; notes about them go along.

    Raises WrongInput where a process has the store open. On an object store nobody knows: there the caller sees to it
    that no search is running, and a trial by itself may have to make a stage again that it had begun to read.
    """
    found = stages(study)
    if not found:
        return []
    if isinstance(study, ObjectPath):
        gone = doomed(found, older_than=older_than, keep=keep, now=now)
        for stage in gone:
            (study / STAGES / stage.key / MANIFEST).unlink(missing_ok=True)
            (study / STAGES / stage.key).remove_folder()
        forget(study)
        return gone
    claims = FileClaims(study / STAGES / CLAIMS)
    try:
        with claims.alone():
            gone = doomed(stages(study), older_than=older_than, keep=keep, now=now)
            for stage in gone:
                with claims.claim(stage.key):
                    # Without a manifest it is no stage: whatever happens from here on, nobody reads half of it.
                    (study / STAGES / stage.key / MANIFEST).unlink(missing_ok=True)
                    shutil.rmtree(study / STAGES / stage.key)
            claims.forget()
            forget(study)
    except InUse as error:
        raise WrongInput(
            f"{study} is in use: a search, a trial or a confirmation has its store open; wait for it, or stop it"
        ) from error
    return gone


def _stage(folder: Path) -> Stage | None:
    """A stage by its folder; None where it is gone by now."""
    try:
        files = [(entry.name, entry.stat()) for entry in scan(folder)]
    except FileNotFoundError:
        return None
    weight = sum(file.st_size for _, file in files)
    times = {name: file.st_mtime for name, file in files}
    if MANIFEST not in times:
        return Stage(folder.name, UNFINISHED, weight, max(times.values(), default=folder.stat().st_mtime))
    kind, damage = UNKNOWN, None
    try:
        kind = manifest.read(folder).get("kind") or UNKNOWN
    except FileNotFoundError:
        return None
    except ValueError as error:
        damage = str(error)
    if TENSORS not in times:
        damage = "its tensors are gone"
    return Stage(folder.name, str(kind), weight, times[MANIFEST], damage)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
