"""The store of stages: each is computed once, whoever asks, and read back checked.

A stage lies in a folder named by its key: ``tensors.safetensors``, complete before it gets its name, and
``manifest.json``, written last, with the stage's own record and the checksum of both. A folder without a
manifest is no stage. Who makes a stage is settled by a claim that is handed in.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import safetensors.torch
import torch
from torch import Tensor

from methods.core.mask import Mask

__all__ = ["Claims", "FileClaims", "Product", "Store", "StoreDamaged", "write_durably"]

_MASK = "mask:"
_MOMENTUM = "momentum:"
TENSORS = "tensors.safetensors"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Product:
    """What a stage leaves: tensors, the network's mostly; the mask that holds some at zero; a record for JSON.

    ``momentum`` is the optimiser's, by parameter, where the training is to go on after another cut.
    """

    tensors: Mapping[str, Tensor]
    mask: Mask = field(default_factory=lambda: Mask({}))
    record: Mapping[str, Any] = field(default_factory=dict)
    momentum: Mapping[str, Tensor] = field(default_factory=dict)

    def content(self) -> str:
        """A hash of tensors, mask and momentum, 64 hex digits: equal networks have equal content."""
        hasher = hashlib.sha256()
        for name, tensor in sorted(self._stored().items()):
            data = tensor.detach().cpu().contiguous()
            hasher.update(f"{name} {data.dtype} {tuple(data.shape)};".encode())
            hasher.update(data.numpy().tobytes())
        return hasher.hexdigest()

    def to(self, device: torch.device) -> Product:
        """The same on a device."""
        tensors, keep, momentum = (
            {name: tensor.to(device) for name, tensor in held.items()}
            for held in (self.tensors, self.mask.keep, self.momentum)
        )
        return Product(tensors, Mask(keep), self.record, momentum)

    def to_bytes(self) -> bytes:
        """Tensors, mask and momentum as one safetensors file."""
        return safetensors.torch.save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in self._stored().items()}
        )

    @classmethod
    def from_bytes(cls, data: bytes, record: Mapping[str, Any]) -> Product:
        """Read what ``to_bytes`` wrote."""
        stored = safetensors.torch.load(data)
        parts: dict[str, dict[str, Tensor]] = {"": {}, _MASK: {}, _MOMENTUM: {}}
        for name, tensor in stored.items():
            part = next(prefix for prefix in (_MASK, _MOMENTUM, "") if name.startswith(prefix))
            parts[part][name.removeprefix(part)] = tensor
        return cls(parts[""], Mask(parts[_MASK]), record, parts[_MOMENTUM])

    def _stored(self) -> dict[str, Tensor]:
        return {
            **self.tensors,
            **{_MASK + name: kept for name, kept in self.mask.keep.items()},
            **{_MOMENTUM + name: buffer for name, buffer in self.momentum.items()},
        }


class Claims(Protocol):
    """Settles who makes a stage: whoever holds a key's claim; a claim ends when its holder dies."""

    def claim(self, key: str) -> AbstractContextManager[None]:
        """Wait for the key's claim and hold it inside the block."""
        ...


class FileClaims:
    """Claims of the processes of one machine: file locks, which the system takes back from the dead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Wait for the key's lock and hold it inside the block."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / key).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class StoreDamaged(UserWarning):
    """A stage did not read back as it was written, and is made again."""


class Store:
    """Stages by key, in a folder."""

    def __init__(self, folder: Path, claims: Claims) -> None:
        self._folder = folder
        self._claims = claims

    def get_or_make(self, key: str, make: Callable[[], Product]) -> tuple[Product, bool]:
        """Return the stage and whether this call made it; two callers with one key make it once.

        ``make`` runs inside the key's claim; when it raises, nothing is stored and the next caller tries again.
        """
        found = self._read(key)
        if found is not None:
            return found, False
        with self._claims.claim(key):
            found = self._read(key)
            if found is not None:
                return found, False
            self._write(key, make())
            # What goes on is what was read back, so a stage that does not load never reaches a row.
            stored = self._read(key)
            if stored is None:
                raise OSError(f"stage {key[:16]} was written to {self._folder / key} and did not read back")
            return stored, True

    def _read(self, key: str) -> Product | None:
        folder = self._folder / key
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            data, record = (folder / TENSORS).read_bytes(), manifest["record"]
            if _checksum(data, record) != manifest["sha256"]:
                raise ValueError("its checksum is wrong")
            return Product.from_bytes(data, record)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(f"stage {key[:16]} is damaged ({error}): it is made again", StoreDamaged, stacklevel=3)
            return None

    def _write(self, key: str, made: Product) -> None:
        folder = self._folder / key
        folder.mkdir(parents=True, exist_ok=True)
        # As it will be read: JSON makes lists of tuples and text of keys.
        data, record = made.to_bytes(), json.loads(json.dumps(dict(made.record)))
        manifest = {"sha256": _checksum(data, record), "record": record}
        write_durably(folder / TENSORS, data)
        write_durably(folder / MANIFEST, json.dumps(manifest).encode())


def _checksum(data: bytes, record: Mapping[str, Any]) -> str:
    """Of tensors and record together: a record alone can hold what a row needs."""
    hasher = hashlib.sha256(data)
    hasher.update(json.dumps(record, sort_keys=True).encode())
    return hasher.hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is either there, complete and on the disk, or not there at all."""
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
