"""``prunefront store``: from a study's folder and the options as typed to what is printed."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.constraints import BYTES
from analysis.errors import WorkFailed, WrongInput
from search.driver import driving
from trial.inventory import UNFINISHED, Stage, doomed, remove, stages, verified

__all__ = ["duration", "list_stages", "prune_stages", "size", "verify_stages"]

SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
NAMED = 5
"""So many damaged stages are named in the line that ends a verification; the rest are counted."""


def list_stages(study: Path, *, as_json: bool) -> None:
    """Print what is stored by kind of stage, or as JSON stage by stage."""
    found, now = stages(study), time.time()
    if as_json:
        _say(_document(found, study=study, now=now))
        return
    _say(_table(found, now=now) if found else f"{study} holds no stages")


def verify_stages(study: Path, *, as_json: bool) -> None:
    """Check every stage's checksum and print how many are whole; raises WorkFailed that names the damaged ones."""
    found, now = list(verified(study)), time.time()
    damaged = [stage for stage in found if stage.damage is not None]
    if as_json:
        _say(_document(found, study=study, now=now))
    else:
        lines = [f"{stage.key}  {stage.kind}  {stage.damage}" for stage in damaged]
        _say("\n".join([*lines, f"{len(found) - len(damaged)} of {len(found)} stages are whole"]))
    if damaged:
        named = ", ".join(stage.key[:16] for stage in damaged[:NAMED])
        more = f" and {len(damaged) - NAMED} more" if len(damaged) > NAMED else ""
        raise WorkFailed(
            f"{len(damaged)} of {len(found)} stages of {study} are damaged: {named}{more}; "
            "each is made again when a trial needs it"
        )


def prune_stages(study: Path, *, older_than: str, keep: str, dry_run: bool, as_json: bool) -> None:
    """Remove stages by age, by size or both, and print what went; a dry run prints what would.

    Raises WrongInput where an option cannot be understood, or somebody is using the study.
    """
    if not older_than and not keep:
        raise WrongInput("--prune removes by age or by size: give --older-than 7d, --keep 2GB or both")
    age = duration(older_than) if older_than else None
    room = size(keep) if keep else None
    found, now = stages(study), time.time()
    if dry_run:
        gone = doomed(found, older_than=age, keep=room, now=now)
    else:
        with driving(study, cure="wait for it, or stop it"):
            gone = remove(study, older_than=age, keep=room, now=now)
    left = sum(stage.bytes for stage in found) - sum(stage.bytes for stage in gone)
    if as_json:
        _say(_document(gone, study=study, now=now) | {"dry_run": dry_run, "bytes_left": left})
        return
    what = f"{len(gone)} of {len(found)} stages, {_bytes(sum(stage.bytes for stage in gone))}; {_bytes(left)} "
    _say(f"would remove {what}would stay" if dry_run else f"removed {what}stay")


def duration(given: str) -> float:
    """Seconds of a length of time as it is typed, such as 7d; raises WrongInput where it is none.

    >>> [duration("90s"), duration("1.5h"), duration("7d")]
    [90.0, 5400.0, 604800.0]
    """
    return _quantity(given, SECONDS, option="--older-than", example="7d")


def size(given: str) -> int:
    """Bytes of a size as it is typed, such as 2GB; raises WrongInput where it is none.

    >>> [size("0B"), size("2GB"), size("0.5 KiB")]
    [0, 2000000000, 512]
    """
    return int(_quantity(given, BYTES, option="--keep", example="2GB"))


def _quantity(given: str, units: Mapping[str, float], *, option: str, example: str) -> float:
    parts = re.fullmatch(r"(\d{1,15}\.?\d{0,15}|\.\d{1,15})\s*([A-Za-z]+)", given.strip(), re.ASCII)
    # A size in gb is one in GB; lengths of time are small letters anyway.
    unit = {name.lower(): factor for name, factor in units.items()}.get(parts[2].lower()) if parts else None
    if parts is None or unit is None:
        raise WrongInput(f"{option} takes a number and one of {', '.join(units)}, such as {example}; got {given!r}")
    return float(parts[1]) * unit


def _document(found: Sequence[Stage], *, study: Path, now: float) -> dict[str, object]:
    entries = [
        {"key": stage.key, "kind": stage.kind, "bytes": stage.bytes, "age_seconds": round(max(0, now - stage.used), 3)}
        | {"damaged": stage.damage is not None, "damage": stage.damage}
        for stage in found
    ]
    return {"study": str(study), "bytes": sum(stage.bytes for stage in found), "stages": entries}


def _table(found: Sequence[Stage], *, now: float) -> str:
    """By kind: how many, how heavy, when the longest unused and the last used were used; damage below."""
    kinds = sorted({stage.kind for stage in found}, key=lambda kind: (kind == UNFINISHED, kind))
    lines = [("kind", "stages", "bytes", "oldest", "newest")]
    for kind in [*kinds, "all"]:
        of_kind = [stage for stage in found if kind in (stage.kind, "all")]
        ages = [now - stage.used for stage in of_kind]
        weight = _bytes(sum(stage.bytes for stage in of_kind))
        lines.append((kind, str(len(of_kind)), weight, _age(max(ages)), _age(min(ages))))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    damaged = [stage for stage in found if stage.damage is not None]
    return "\n".join([*text, *(f"damaged: {stage.key}  {stage.kind}  {stage.damage}" for stage in damaged)])


def _bytes(count: int) -> str:
    factor, unit = next(
        ((factor, unit) for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)) if count >= factor), (1, "B")
    )
    return f"{count / factor:.1f} {unit}" if factor > 1 else f"{count} B"


def _age(seconds: float) -> str:
    seconds = max(0.0, seconds)
    unit = next((unit for unit in ("d", "h", "m") if seconds >= SECONDS[unit]), "s")
    return f"{seconds / SECONDS[unit]:.0f} {unit}"


def _say(text: str | dict[str, object]) -> None:
    sys.stdout.write((text if isinstance(text, str) else json.dumps(text)) + "\n")
