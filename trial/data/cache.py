"""Decoded images, kept from one run to the next: $XDG_CACHE_HOME/prunefront, else ~/.cache/prunefront.

An entry is three files that begin with its key. The manifest is written last and each file is renamed into place
complete, so that an entry is whole or absent whoever writes at the same time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from analysis.errors import WrongInput
from trial.data.source import Decoded

__all__ = ["alone", "cache_folder", "content_digest", "decoded_once"]

VERSION = 3
"""Raised when any source decodes the same files to other arrays or class names, or refuses what it took."""


def cache_folder() -> Path:
    """Where prunefront keeps what it can make again; raises WrongInput where the user has no home and says no other."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunefront"
    except RuntimeError:
        raise WrongInput(
            f"user {os.getuid()} has no home folder, and HOME is not set: set it, or XDG_CACHE_HOME to a cache folder"
        ) from None


def decoded_once(
    files: Sequence[Path], decode: Callable[[], Decoded], /, *, name: str, part: str, settings: Sequence[object] = ()
) -> tuple[Decoded, str]:
    """Return the cached arrays and their digest, or decode and cache them.

    An entry belongs to the files' paths, sizes and modification times, and to the ``settings`` that decide what is
    decoded from them. A cache that cannot be read or written is never an error: then each run decodes again.
    """
    entry = cache_folder() / "data" / _key(files, name=name, part=part, settings=settings)
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError):
        return _read(entry)
    with alone(entry):  # of many workers that start on a machine one reads the files
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError):
            return _read(entry)
        decoded = decode()
        digest = content_digest(decoded)
        with contextlib.suppress(OSError):
            _write(entry, decoded, digest=digest)
        return decoded, digest


@contextlib.contextmanager
def alone(entry: Path) -> Iterator[None]:
    """Be the only process of this machine at an entry of the cache; where there is nothing to lock all are let in."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{entry}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):  # a home on a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # A process that was forked off meanwhile has the file open too.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def content_digest(decoded: Decoded, /) -> str:
    """Hash images and labels (sha256, 64 hex digits); layout and byte order are fixed: the same everywhere."""
    digest = hashlib.sha256(repr(decoded.images.shape).encode())
    digest.update(np.ascontiguousarray(decoded.images).data)
    digest.update(np.ascontiguousarray(decoded.labels.astype("<i8")).data)
    return digest.hexdigest()


def _key(files: Sequence[Path], *, name: str, part: str, settings: Sequence[object]) -> str:
    states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return f"{name}-{part}-{hashlib.sha256(repr((VERSION, states, *settings)).encode()).hexdigest()[:24]}"


def _read(entry: Path) -> tuple[Decoded, str]:
    manifest = json.loads(Path(f"{entry}.json").read_text())
    images = np.load(f"{entry}.images.npy", allow_pickle=False)
    labels = np.load(f"{entry}.labels.npy", allow_pickle=False)
    if len(images) != len(labels) or images.dtype != np.uint8 or labels.dtype != np.int64:
        raise ValueError("not the arrays that were written")
    return Decoded(images, labels, tuple(manifest["classes"])), manifest["digest"]


def _write(entry: Path, decoded: Decoded, *, digest: str) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    manifest = json.dumps({"classes": decoded.classes, "digest": digest}, ensure_ascii=False)
    _put(Path(f"{entry}.images.npy"), lambda file: np.save(file, decoded.images))
    _put(Path(f"{entry}.labels.npy"), lambda file: np.save(file, decoded.labels))
    _put(Path(f"{entry}.json"), lambda file: file.write(manifest.encode()))


def _put(target: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file completely, then give it its name."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        try:
            write(file)
            file.close()
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
