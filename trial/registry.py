"""Things found by name, from the files that define them: adding one is adding a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Generic, TypeVar

from analysis.errors import WrongInput, nearest

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """What the modules of one package registered; they are imported when the first name is asked for.

    ``noun`` says in messages what is being named, as the user's spec calls it.
    """

    def __init__(self, package: str, *, noun: str) -> None:
        self._package = package
        self._noun = noun
        self._entries: dict[str, T] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[T], T]:
        """Enter the decorated object under ``name``, which is its name in YAML and in the rows."""

        def enter(entry: T) -> T:
            assert name not in self._entries, f"two entries are called {name}"
            self._entries[name] = entry
            return entry

        return enter

    def names(self) -> list[str]:
        """All names, sorted."""
        if not self._complete:
            path = importlib.import_module(self._package).__path__
            for module in pkgutil.iter_modules(path):
                importlib.import_module(f"{self._package}.{module.name}")
            self._complete = True
        return sorted(self._entries)

    def __getitem__(self, name: str) -> T:
        """Look an entry up; raises WrongInput, with the nearest name, where there is none."""
        if name not in self.names():
            raise WrongInput(f"{name!r} is not a {self._noun}: {nearest(name, self.names())}")
        return self._entries[name]
