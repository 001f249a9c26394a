"""How a stage lies on the disk: the files of its folder, and the manifest that says whether they are whole.

``tensors.safetensors`` is complete before it gets its name; ``manifest.json`` is written last, with the stage's kind,
its own record and a checksum of everything. A folder without a manifest is no stage.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["KEY", "MANIFEST", "STAGES", "TENSORS", "check", "manifest", "read"]

STAGES = "stages"
"""The folder of a study's stages, each in a folder named by its key."""
KEY = re.compile("[0-9a-f]{64}")
"""The name of a stage's folder: whatever else lies beside them is not ours to list or to remove."""
TENSORS = "tensors.safetensors"
MANIFEST = "manifest.json"


def manifest(data: bytes, record: Mapping[str, Any], *, kind: str | None) -> bytes:
    """A stage's manifest in bytes: ``data`` is the whole file of its tensors, ``kind`` the name of its stage."""
    # As it will be read: JSON makes lists of tuples and text of keys.
    said = {"kind": kind, "record": json.loads(json.dumps(dict(record)))}
    return json.dumps({"sha256": _checksum([data], said), **said}).encode()


def read(folder: Path) -> dict[str, Any]:
    """Read a stage's manifest, unchecked.

    Raises FileNotFoundError where there is no stage, ValueError where the manifest is none.
    """
    data = (folder / MANIFEST).read_bytes()
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("its manifest is not JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("record"), dict):
        raise ValueError("its manifest holds no record")
    return said


def check(data: Iterable[bytes], said: Mapping[str, Any]) -> None:
    """Raise ValueError where the tensors' bytes, in pieces, and what a manifest says are not what was written."""
    if said.get("sha256") != _checksum(data, {name: value for name, value in said.items() if name != "sha256"}):
        raise ValueError("its checksum is wrong")


def _checksum(data: Iterable[bytes], said: Mapping[str, Any]) -> str:
    """Of tensors and manifest together: a record alone can hold what a row needs."""
    hasher = hashlib.sha256()
    for piece in data:
        hasher.update(piece)
    # Manifests were once without a kind, and the checksum was of the record.
    of = said["record"] if said.keys() == {"record"} else said
    hasher.update(json.dumps(of, sort_keys=True).encode())
    return hasher.hexdigest()
