"""YAML as it is read and written here: numbers such as 1e-4 are numbers, mistakes name their line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import WrongInput

__all__ = ["read", "text", "value"]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats: PyYAML follows 1.1, where 1e-4 is a string."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is given twice; PyYAML keeps the last one silently."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes the text that the loader would read as a number."""


_FLOAT = re.compile(
    r"""^(?: [-+]? (?: \.[0-9]+ | [0-9]+\.[0-9]* ) (?:[eE][-+]?[0-9]+)?
          | [-+]? [0-9]+ [eE][-+]?[0-9]+
          | [-+]? \.(?:inf|Inf|INF)
          | \.(?:nan|NaN|NAN) )$""",
    re.VERBOSE,
)
for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def read(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; raises WrongInput for a missing file, bad YAML, another shape."""
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # derived from SafeLoader
    except (FileNotFoundError, IsADirectoryError, PermissionError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise WrongInput(f"cannot read {path}: {reason}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise WrongInput(f"{path}{line} is not YAML: {problem}") from None
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise WrongInput(f"{path} must hold a mapping of settings, got {type(given).__name__}")
    return given


def value(written: str, *, where: str) -> Any:
    """Read one value as a YAML file would hold it; raises WrongInput where it is not YAML.

    >>> value("[1e-4, any]", where="--set")
    [0.0001, 'any']
    """
    try:
        return yaml.load(written, Loader=_Loader)  # derived from SafeLoader
    except yaml.YAMLError as error:
        raise WrongInput(f"{written!r} is not YAML: {getattr(error, 'problem', error)} ({where})") from None


def text(given: dict[str, Any]) -> str:
    """The mapping as YAML, in the order given; reading it back gives an equal mapping."""
    return yaml.dump(given, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
