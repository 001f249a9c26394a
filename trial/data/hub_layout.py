"""Where the Hugging Face hub puts the Parquet files of a part."""

from __future__ import annotations

import re
from pathlib import Path

from analysis.errors import WrongInput
from trial.data.source import Part

__all__ = ["PART_NAMES", "part_files"]

PART_NAMES: dict[Part, tuple[str, ...]] = {"train": ("train",), "test": ("test", "validation", "val")}
"""What a part may be called, the best first: a validation part stands in for a test part that is not there."""

_SHARD = re.compile(r"-(\d+)-of-(\d+)(-[0-9a-f]+)?$")


def part_files(folder: Path, part: Part, /) -> list[Path]:
    """All Parquet files of a part, in the order of their rows.

    They are ``PART.parquet``, ``PART-*.parquet`` or ``PART/*.parquet``, sorted by name, in the folder itself or in
    the one folder inside it (the hub's ``data``, or one named after a configuration) that has such files.

    Returns:
        The files; empty where the folder has no such part.

    Raises:
        WrongInput: Two folders inside have such files, a part is there in two ways, or a numbered file is missing.
    """
    place = folder
    if not _has_parts(folder) and folder.is_dir():
        inside = [each for each in sorted(folder.iterdir()) if each.is_dir() and _has_parts(each)]
        if len(inside) > 1:
            names = " and ".join(each.name for each in inside)
            raise WrongInput(f"data.folder: {folder} has Parquet parts in each of {names}: name one of these folders")
        place = inside[0] if inside else folder
    return next((files for name in PART_NAMES[part] if (files := _named(place, name))), [])


def _has_parts(folder: Path) -> bool:
    return any(_ways(folder, name) for names in PART_NAMES.values() for name in names)


def _ways(folder: Path, name: str) -> dict[str, list[Path]]:
    """The files of a part for each way of naming them that finds some."""
    ways = (f"{name}.parquet", f"{name}-*.parquet", f"{name}/*.parquet")
    return {way: files for way in ways if (files := sorted(folder.glob(way)))}


def _named(folder: Path, name: str) -> list[Path]:
    there = _ways(folder, name)
    if len(there) > 1:
        raise WrongInput(f"data.folder: {folder} has {' and '.join(there)}, which may be the same images: keep one")
    files = next(iter(there.values()), [])
    _check_whole(files)
    return files


def _check_whole(files: list[Path]) -> None:
    """Refuse numbered files (``-00000-of-00002``) that are not all there, or belong to two sets."""
    shards = [shard for file in files if (shard := _SHARD.search(file.stem))]
    if not shards:
        return
    totals = sorted({int(shard[2]) for shard in shards})
    numbers = sorted(int(shard[1]) for shard in shards)
    if len(totals) > 1 or len(set(numbers)) < len(numbers):
        listed = ", ".join(file.name for file in files[:4])
        raise WrongInput(f"data.folder: {files[0].parent} has files of two sets: {listed}: keep one set")
    if missing := sorted(set(range(totals[0])) - set(numbers)):
        raise WrongInput(
            f"data.folder: {files[0].parent} lacks number {missing[0]} of {totals[0]} files like {files[0].name}"
        )
