"""What to remove: one file is one method is one idea of one paper.

A file's name is the method's name everywhere: ``filter_l1.py`` is ``filter-l1`` in YAML, columns and
messages. Adding a method is adding a file. Sources are keyed in ``methods/sources.md``.
"""

import importlib
import inspect
import pkgutil
from functools import cache
from types import MappingProxyType

from analysis.errors import WrongInput, nearest
from analysis.schema import Kind
from methods.core.knobs import column_kinds
from methods.core.method import Method

__all__ = ["catalogue", "columns", "method"]


@cache
def catalogue() -> MappingProxyType[str, type[Method]]:
    """Every method by name, found from the files of this folder; in alphabetical order.

    >>> "filter-l1" in catalogue()
    True
    """
    found = {}
    for file in sorted(entry.name for entry in pkgutil.iter_modules(__path__) if not entry.ispkg):
        module = importlib.import_module(f"{__name__}.{file}")
        own = [
            member
            for _, member in inspect.getmembers(module, inspect.isclass)
            if issubclass(member, Method) and member.__module__ == module.__name__
        ]
        if len(own) != 1:
            raise TypeError(f"methods/{file}.py must hold one method, found {len(own)}")
        found[own[0].name()] = own[0]
    return MappingProxyType(found)


def method(name: str, *, where: str) -> type[Method]:
    """Look a method up by name; raises WrongInput, with the nearest name and the place ``where``."""
    if name not in catalogue():
        raise WrongInput(f"{name!r} is not a method: {nearest(name, catalogue())} ({where})")
    return catalogue()[name]


def columns() -> dict[str, Kind]:
    """The columns of the whole catalogue's knobs: name → kind, in order of first appearance.

    Raises TypeError where two methods give one name two kinds: the same name means the same thing everywhere.
    """
    return column_kinds(catalogue().values())
