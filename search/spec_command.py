"""Specs to look at, to start from, and to be helped with: ``prunefront spec``."""

from __future__ import annotations

import json

from analysis.errors import WrongInput, nearest
from search.sources import ready

__all__ = ["example", "listed", "printed", "schema"]


def listed() -> str:
    """Every ready spec with the first line of its comments."""
    lines = []
    for name, path in ready().items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        lines.append(f"{name:<18}{first.removeprefix('#').strip()}")
    return "\n".join(lines)


def printed(name: str) -> str:
    """A ready spec as it is, with its comments; raises WrongInput where there is none of this name."""
    if name not in ready():
        raise WrongInput(f"{name!r} is not a ready spec: {nearest(name, ready())}")
    return ready()[name].read_text(encoding="utf-8").rstrip("\n")


def schema() -> str:
    """The JSON schema of a spec's file, for editors."""
    from search.spec_schema import spec_schema

    return json.dumps(spec_schema(), indent=1, ensure_ascii=False)


def example() -> str:
    """A commented spec that is valid as it stands."""
    from search.spec_example import spec_example

    return spec_example()
