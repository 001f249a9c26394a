"""Files that are there complete and on the disk, or not there at all; objects likewise, in their store."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from analysis.object_path import ObjectPath

__all__ = ["sweep", "write_durably"]


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is either there, complete and on the disk, or not there at all."""
    if isinstance(path, ObjectPath):
        path.write_bytes(data)
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # noqa: PTH101  # mkstemp's 0600 would hide a shared study from its readers
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(path: Path) -> None:
    """Remove what writers of a file left who were killed; the caller sees to it that none is at work.

    On an object store they leave nothing.
    """
    if isinstance(path, ObjectPath):
        return
    for temporary in path.parent.glob(f".{path.name}.*"):
        temporary.unlink(missing_ok=True)
