"""The store of stages: each is computed once, whoever asks, and read back checked.

Who makes a stage is settled by a claim that is handed in; how a stage lies on the disk is `trial.manifest`'s matter.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from analysis.durable import sweep, write_durably
from analysis.object_path import ObjectPath
from methods.core.mask import Mask
from trial import manifest
from trial.claims import CLAIMS, Claims, FileClaims, claims_at
from trial.manifest import MANIFEST, STAGES, TENSORS
from trial.near import read_once
from trial.notices import Notice

__all__ = ["Claims", "FileClaims", "Product", "Store", "StoreDamaged", "write_durably"]

_MASK = "mask:"
_MOMENTUM = "momentum:"
SHARED = ("dense", "sparsity")
"""Kinds that trial after trial of one worker begins with: it reads them once."""
CHECKSUM = re.compile("[0-9a-f]{64}")
KEPT_BYTES = 2**29
"""VGG-16 with its momentum is 120 MB."""


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


class StoreDamaged(Notice):
    """A stage did not read back as it was written, and is made again."""


class Store:
    """Stages by key, in a folder. Nobody removes stages from it for as long as this lives.

    The networks that trials begin with are read once by each worker and kept; they cross the network once for each
    machine (`trial.near`).
    """

    def __init__(self, folder: Path, claims: Claims) -> None:
        self._folder = folder
        self._claims = claims
        self._share = claims.use()
        self._making: set[tuple[int, str]] = set()
        self._kept: OrderedDict[str, tuple[bytes, dict[str, Any]]] = OrderedDict()
        """What was read of shared stages, as bytes: whoever gets a network may train it."""

    @classmethod
    def of(cls, study: Path, claims: Claims | None = None) -> Store:
        """The store of a study: on this machine, with file locks, unless other claims are handed in."""
        return cls(study / STAGES, claims or claims_at(study / STAGES / CLAIMS))

    def get_or_make(
        self,
        key: str,
        make: Callable[[], Product],
        *,
        kind: str | None = None,
        absent: Callable[[], None] | None = None,
    ) -> tuple[Product, bool]:
        """Return the stage and whether this call made it; two callers with one key make it once.

        ``make`` runs inside the key's claim; when it raises, nothing is stored and the next caller tries again. It may
        ask for other keys. ``kind`` is what a listing calls the stage. ``absent`` is called where the stage is not
        stored, before its claim is waited for.
        """
        found = self._read(key)
        if found is not None:
            return found, False
        if absent is not None:
            absent()
        here = (threading.get_ident(), key)
        assert here not in self._making, f"stage {key[:16]} asks for itself, and would wait for ever"
        with self._claims.claim(key):
            found = self._read(key)
            if found is not None:
                return found, False
            self._making.add(here)
            try:
                made = make()
            finally:
                self._making.remove(here)
            self._write(key, made, kind=kind)
            # What goes on is what was read back, so a stage that does not load never reaches a row.
            stored = self._read(key)
            if stored is None:
                raise OSError(f"stage {key[:16]} was written to {self._folder / key} and did not read back")
            return stored, True

    def _read(self, key: str) -> Product | None:
        folder = self._folder / key
        try:
            if key in self._kept:
                data, said = self._kept[key]
                self._kept.move_to_end(key)
            else:
                said = manifest.read(folder)
                data = self._tensors(folder, said)
                manifest.check([data], said)
            found = Product.from_bytes(data, deepcopy(said["record"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(f"stage {key[:16]} is damaged ({error}): it is made again", StoreDamaged, stacklevel=3)
            return None
        if said.get("kind") in SHARED:
            self._keep(key, data, said)
        # When it was last used, for whoever makes room; a folder that may only be read keeps its times, and so does an
        # object, whose date is that of its put.
        if not isinstance(folder, ObjectPath):
            with suppress(OSError):
                os.utime(folder / MANIFEST)
        return found

    def _tensors(self, folder: Path, said: Mapping[str, Any]) -> bytes:
        """A stage's tensors in bytes, unchecked; from an object store those of shared stages once for each machine."""

        def fetch() -> bytes:
            return (folder / TENSORS).read_bytes()

        def is_whole(data: bytes) -> bool:
            try:
                manifest.check([data], said)
            except ValueError:
                return False
            return True

        checksum = str(said.get("sha256", ""))
        if not isinstance(folder, ObjectPath) or said.get("kind") not in SHARED or not CHECKSUM.fullmatch(checksum):
            return fetch()
        return read_once(checksum, fetch=fetch, is_whole=is_whole)

    def _keep(self, key: str, data: bytes, said: dict[str, Any]) -> None:
        """Keep a stage at hand, and let go of those that were not asked for the longest."""
        self._kept[key] = data, said
        while sum(len(kept) for kept, _ in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)

    def _write(self, key: str, made: Product, *, kind: str | None) -> None:
        folder = self._folder / key
        # Inside the claim: what lies here is of makers who died, or damaged. Where claims may be held by two, whoever
        # is first keeps his manifest: it fits what the second one puts.
        if not isinstance(folder, ObjectPath):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MANIFEST).unlink(missing_ok=True)
            for name in (TENSORS, MANIFEST):
                sweep(folder / name)
        data = made.to_bytes()
        write_durably(folder / TENSORS, data)
        write_durably(folder / MANIFEST, manifest.manifest(data, made.record, kind=kind))
