"""Paths on an object store: a study may lie at ``s3://BUCKET/STUDY`` or ``gs://BUCKET/STUDY`` as it may on a disk.

An `ObjectPath` is a `Path` whose reading and writing go to the store through pyarrow.fs, so that whoever takes a
study's folder takes either. What a disk has and a store has not (locks, appending, dates that can be set) whoever needs
it asks for with ``isinstance``. Objects are only ever put whole: bytes first, then one put.

Credentials, region and endpoint come from the environment, as the store's own tools read them (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL …; GOOGLE_APPLICATION_CREDENTIALS), and from nowhere else.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PosixPath
from typing import Any, NoReturn, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from analysis.errors import WrongInput

__all__ = ["WILDCARDS", "Entry", "ObjectPath", "each", "path_of", "scan"]

T = TypeVar("T")
U = TypeVar("U")

SCHEMES = ("s3", "gs")
WILDCARDS = "*?["
AT_ONCE = 32
"""So many objects are read at once: each costs a round trip, and next to nothing of this machine."""
ATTEMPTS = 10
"""Of one request, each after twice as long as the one before: a store that is away for half a minute is waited for."""
REFUSALS = (
    *("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "EXPIRED_TOKEN", "INVALID_CLIENT"),
    *("HTTP status 401", "HTTP status 403", "PERMISSION_DENIED", "UNAUTHENTICATED"),
)


def path_of(typed: str, *, wildcards: bool = False) -> Path:
    """The path that was typed: an `ObjectPath` for s3://… and gs://…, else one on this machine's disks.

    Raises WrongInput for a store that is not known, for what cannot be an object's name, and for anything beside the
    name: settings and credentials come from the environment.

    >>> str(path_of("s3://bucket/study") / "rows"), path_of("studies/demo")
    ('s3://bucket/study/rows', PosixPath('studies/demo'))
    """
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", typed, re.DOTALL)  # one slash: what Path leaves of two
    if found is None:
        return Path(typed)
    scheme, name = found[1].lower(), found[2].rstrip("/")
    if scheme not in SCHEMES:
        raise WrongInput(f"a study lies in a folder, at s3://BUCKET/STUDY or at gs://BUCKET/STUDY; got {scheme}://…")
    # What may be a password is not repeated.
    if "@" in name or "#" in name or ("?" in name and (not wildcards or "=" in name)):
        raise WrongInput(
            f"a {scheme}:// address is {scheme}://BUCKET/STUDY and nothing else: credentials, region and endpoint are "
            "taken from the environment"
        )
    parts = name.split("/")
    if len(parts) < 2 or any(part in {"", ".", ".."} for part in parts):
        raise WrongInput(f"a study on an object store lies at {scheme}://BUCKET/STUDY, got {scheme}://{name}")
    return ObjectPath(f"{scheme}:", *parts)


class ObjectPath(PosixPath):
    """A path whose first part is the store's scheme, the second a bucket, the rest an object's name.

    A folder is there while an object lies in it. Errors are those of a disk: FileNotFoundError, PermissionError where
    the store refuses, and OSError with EIO where it does not answer, or not rightly, however often it is asked.
    """

    def __str__(self) -> str:
        return f"{self.parts[0]}//{self._key}"

    def __fspath__(self) -> NoReturn:
        """Nothing on a disk: whoever opens a file by this path has forgotten that it may lie elsewhere."""
        raise TypeError(f"{self} is not a file of this machine")

    @property
    def _key(self) -> str:
        """Bucket and name, as pyarrow calls an object."""
        return "/".join(self.parts[1:])

    @property
    def _store(self) -> Any:
        return _store(self.parts[0].removesuffix(":"))

    def read_bytes(self) -> bytes:
        """The whole object, all of it of one version.

        pyarrow asks for the size first and then for so many bytes: where a longer or shorter version is put in between
        it gives half of that, or that and whatever was in memory behind it.
        """
        while True:
            with _asked(self), self._store.open_input_file(self._key) as file:
                before = file.metadata() or {}
                data = bytes(file.read(file.size()))
            # An object that was put in one piece has its MD5 for an ETag, unless the store encrypts it.
            known = hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
            if known in before.get("ETag", b"") or self._metadata() == before:
                return data

    def read_parts(self, work: Callable[[Any], T]) -> T:
        """What ``work`` gives, which reads parts of the object from the file that it is handed, all of one version.

        ``work`` is called again where another version was put meanwhile, whatever it made of the mixture.
        """
        while True:
            before = self._metadata()
            try:
                with _asked(self), self._store.open_input_file(self._key) as file:
                    done = work(file)
            except Exception:
                if self._metadata() == before:
                    raise
                continue
            if self._metadata() == before:
                return done

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """The whole object as text, UTF-8 unless another encoding is named."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def open(self, mode: str = "rb") -> Any:  # type: ignore[override]
        """A stream to read the object piece by piece; there is no other mode."""
        assert mode == "rb", "objects are put whole"
        with _asked(self):
            return self._store.open_input_stream(self._key, compression=None)

    def write_bytes(self, data: Any) -> int:
        """Put the object: seen whole from now on, or, where this raises, not at all."""
        with _asked(self):
            stream = self._store.open_output_stream(self._key, compression=None)
            # No `with`: it would publish what had been written when an error came in between.
            stream.write(data)
            stream.close()
        return len(data)

    def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        """Put the text as an object, in UTF-8 unless another encoding is named."""
        assert newline is None, "lines end as they are given"
        return self.write_bytes(data.encode(encoding or "utf-8", errors or "strict"))

    def exists(self, **_: Any) -> bool:
        """Whether it is an object, or a folder that holds one."""
        return bool(self._info().type.name != "NotFound")

    def is_file(self, **_: Any) -> bool:
        """Whether it is an object."""
        return bool(self._info().is_file)

    def is_dir(self, **_: Any) -> bool:
        """Whether objects lie below it."""
        return bool(self._info().type.name == "Directory")

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002  # there are none
        """Size and date, by the store's clock."""
        info = self._info()
        if info.type.name == "NotFound":
            raise FileNotFoundError(errno.ENOENT, "No such object", str(self))
        return _stat(info)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder comes with its first object."""

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:  # noqa: ARG002
        """Put an empty object."""
        self.write_bytes(b"")

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        try:
            with _asked(self):
                self._store.delete_file(self._key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_folder(self) -> None:
        """Remove everything below."""
        with _asked(self):
            self._store.delete_dir(self._key)

    def scan(self) -> list[Entry]:
        """What lies directly below, each with size and date."""
        from pyarrow.fs import FileSelector

        with _asked(self):
            return [_Listed(info) for info in self._store.get_file_info(FileSelector(self._key))]

    def iterdir(self) -> Generator[Self, None, None]:
        """Every path directly below."""
        for entry in self.scan():
            yield self / entry.name

    def glob(self, pattern: str) -> Generator[Self, None, None]:
        """The paths below that fit; every part of the pattern may hold ``*``, ``?`` and ``[…]``, which fit no /."""
        names, _, rest = pattern.partition("/")
        if not any(sign in names for sign in WILDCARDS):
            below = self / names
            if rest:
                yield from below.glob(rest)
            elif below.exists():
                yield below
            return
        try:
            found = self.scan()
        except FileNotFoundError:
            return
        for entry in found:
            if fnmatchcase(entry.name, names) and (not rest or entry.is_dir()):
                yield from (self / entry.name).glob(rest) if rest else [self / entry.name]

    def absolute(self) -> Self:
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> Self:  # noqa: ARG002
        """Itself."""
        return self

    def expanduser(self) -> Self:
        """Itself."""
        return self

    def _metadata(self) -> Any:
        with _asked(self), self._store.open_input_file(self._key) as file:
            return file.metadata() or {}

    def _info(self) -> Any:
        with _asked(self):
            return self._store.get_file_info(self._key)


class Entry(Protocol):
    """What `scan` tells of a file or folder; that of a disk is an os.DirEntry."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        ...

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        ...

    def stat(self) -> os.stat_result:
        """Its size and date; on a store as they were when it was listed."""
        ...


class _Listed:
    """An entry of an object store."""

    def __init__(self, info: Any) -> None:
        self._info = info
        self.name = str(info.base_name)

    def is_dir(self) -> bool:
        return not self._info.is_file

    def stat(self) -> os.stat_result:
        return _stat(self._info)


def scan(folder: Path) -> list[Entry]:
    """What lies directly in a folder, in no particular order; raises FileNotFoundError where there is none."""
    if isinstance(folder, ObjectPath):
        return folder.scan()
    with os.scandir(folder) as entries:
        return list(entries)


def each(work: Callable[[U], T], items: Iterable[U], *, at: Path) -> Iterable[T]:
    """What ``work``, which reads below ``at``, gives for each item, in order.

    On an object store, where each reading waits for an answer, many are under way at once.
    """
    if not isinstance(at, ObjectPath):
        return map(work, items)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, items))


def _stat(info: Any) -> os.stat_result:
    when = info.mtime_ns or 0
    whole = (0, 0, 0, 1, 0, 0, info.size or 0, *[when // 10**9] * 3)
    return os.stat_result(whole, {"st_mtime": when / 1e9, "st_mtime_ns": when})


@cache
def _store(scheme: str) -> Any:
    """The file system of a scheme, one for each process: it keeps connections, and asks for no bucket's region."""
    from pyarrow import fs

    if scheme == "gs":
        # Google's own libraries send no credentials to an emulator either.
        return fs.GcsFileSystem(anonymous="CLOUD_STORAGE_EMULATOR_ENDPOINT" in os.environ)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    elsewhere = {}
    if endpoint:
        address = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        elsewhere = {"scheme": address.scheme, "endpoint_override": address.netloc + address.path.rstrip("/")}
    return fs.S3FileSystem(
        allow_delayed_open=True,  # else a small object takes three requests, and not one
        background_writes=False,
        retry_strategy=fs.AwsDefaultS3RetryStrategy(max_attempts=ATTEMPTS),
        **elsewhere,
    )


@contextmanager
def _asked(path: ObjectPath) -> Iterator[None]:
    """Turn what the store answers inside the block into a disk's errors, in one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "No such object", str(path)) from error
    except OSError as error:
        said = " ".join(str(error).split())[:300]
        if any(refusal in said for refusal in REFUSALS):
            raise PermissionError(errno.EACCES, f"the store refuses: {said}", str(path)) from error
        if "NO_SUCH_BUCKET" in said:
            raise PermissionError(errno.EACCES, f"there is no bucket {path.parts[1]}", str(path)) from error
        raise OSError(errno.EIO, said, str(path)) from error
