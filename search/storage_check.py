"""Can a study's storage be written and read from here, how fast, and does its clock agree with ours."""

from __future__ import annotations

import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path

from search.finding import Finding, gigabytes

__all__ = ["PROBE", "findings", "skew", "standing"]

PROBE = ".prunefront-doctor-"
"""How the files begin that doctor writes, and removes."""
SECONDS = 20.0
"""Storage that does not answer for so long is not there."""
MOST_SKEW = 5.0
"""Clocks that differ by more, in seconds, make ages in `status` and `store` wrong; S3 refuses who is 15 minutes off."""
BYTES = 2**20


def findings(study: str) -> Iterator[Finding]:
    """Write, read and remove a file of a megabyte where the study is or will be: a path, s3:// or gs://."""
    shown = re.sub(r"//[^/@]*@", "//…@", study)
    said: list[Finding | Exception] = []

    def work() -> None:
        try:
            said.extend(_tried(study, shown))
        except Exception as error:  # a file system says in its own ways what is wrong
            said.append(error)

    # A store that is not there may be asked for minutes: the thread is left behind, and ends with the process.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if not said:
        yield Finding("storage", f"{shown} does not answer within {SECONDS:g} s", cure=_cure(study))
    for each in said:
        if isinstance(each, Finding):
            yield each
        else:
            why = " ".join(str(each).replace(study, shown).split())[:300]
            yield Finding("storage", f"{shown} cannot be used: {why}", cure=_cure(study))


def _tried(study: str, shown: str) -> Iterator[Finding]:
    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" in study:
        files, folder = FileSystem.from_uri(study)
    else:
        files, folder = LocalFileSystem(), str(standing(study))
    path = f"{folder.rstrip('/')}/{PROBE}{uuid.uuid4().hex}"
    content = uuid.uuid4().bytes * (BYTES // 16)
    start, before = time.monotonic(), time.time()
    try:
        with files.open_output_stream(path, compression=None) as stream:
            stream.write(content)
        after, written = time.time(), time.monotonic()
        with files.open_input_stream(path, compression=None) as stream:
            is_same = stream.read() == content
        read = time.monotonic()
        modified = files.get_file_info(path).mtime.replace(tzinfo=UTC).timestamp()
    finally:
        files.delete_file(path)
    took = f"1 MB written in {written - start:.2f} s, read in {read - written:.2f} s"
    yield Finding("storage", f"{shown}: {took}", cure="" if is_same else "what was read is not what was written")
    if isinstance(files, LocalFileSystem):
        free = shutil.disk_usage(folder).free
        yield Finding("room there", f"{gigabytes(free)} free", cure="make room" if free < 2e9 else "")
    yield skew("clock of storage", lambda: modified, between=(before, after))


def skew(what: str, other: Callable[[], float], *, between: tuple[float, float] | None = None) -> Finding:
    """How far another clock is from ours, as well as can be told.

    Args:
        what: Whose clock it is.
        other: Its time, in seconds since 1970.
        between: Our times before and after it was told; left out, they are taken around the call.
    """
    before = time.time()
    told = other()
    first, last = between or (before, time.time())
    # Between two of our own times it cannot be told from ours. Storage keeps whole seconds.
    ahead = max(0.0, told - last) - max(0.0, first - told - 1)
    said = f"agrees with this one to {max(last - first, 1):.0f} s" if not ahead else f"{ahead:+.0f} s from this one"
    return Finding(what, said, cure="let NTP set both (timedatectl)" if abs(ahead) > MOST_SKEW else "")


def standing(study: str) -> Path:
    """The folder itself, or the nearest one above it that is there already."""
    folder = Path(study).expanduser().absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _cure(study: str) -> str:
    if study.startswith(("s3://", "gs://")):
        return "check the bucket's name and region, and the credentials in the environment"
    return "check that the folder is mounted and may be written"
