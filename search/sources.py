"""Where a spec's settings come from: a file or a ready spec, what it includes, a profile, ``--set``, the environment.

    include: base.yaml                    # or a list; beside the including file, or a ready spec's name
    data: {folder: "${DATA}/cifar"}       # variables and ~, in settings that are paths
    profiles:
      small: {data: {images: 3000}}       # merged over all the rest by `profile: small`

Mappings are merged key by key; lists, scalars and ranges (``{uniform: …}``) take the place of what was there.
"""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from analysis.errors import WrongInput, nearest
from search.grammar import SCALES
from trial.yaml_file import read, value

__all__ = ["INCLUDE", "PROFILE", "PROFILES", "gather", "merged", "ready"]

INCLUDE, PROFILE, PROFILES = "include", "profile", "profiles"
"""What a spec's file may say beside the settings themselves; a frozen spec has none of them."""

BY_NAME = ("network", "data")
"""Sections that are written as a mapping, or as a name alone."""

_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_]\w*))")


def gather(name: str, *, settings: Sequence[str], model: type[BaseModel]) -> tuple[dict[str, Any], str | Path, str]:
    """Every setting of a spec, what messages call its file, and its own name, ``NAME-PROFILE`` under a profile.

    Includes come first, the file over them, then the profile, then ``settings``: ``path=value`` pairs in YAML.
    ``model`` says which settings are paths. Raises WrongInput for a name that is no ready spec and no file, for a
    setting that is none, for an include that is missing, no mapping or goes round in a circle, for a profile that
    the spec has not, and for a variable that is not set.
    """
    path = _find(name)
    where: str | Path = path.name if name in ready() else path
    files: list[Path] = []
    given = _with_includes(path, where=where, within=(), files=files)
    further = ", ".join(dict.fromkeys(file.name for file in files))
    where = f"{where} with {further}" if further else where
    # Which profile, and what profiles hold, is settled first: other settings replace what the profile says.
    of_profiles = [setting for setting in settings if re.match(rf"({PROFILE}|{PROFILES})\b", setting)]
    for setting in of_profiles:
        _replace(given, setting)
    given, profile = _profiled(given, where=where)
    for setting in settings:
        if setting not in of_profiles:
            _replace(given, setting)
    if INCLUDE in given:
        raise WrongInput("include stands in a spec's file: it cannot be set (--set include)")
    where = f"{where}, profile {profile}" if profile else where
    return _expanded(given, model, where=f"{where}: "), where, f"{path.stem}-{profile}" if profile else path.stem


def ready() -> dict[str, Path]:
    """The ready specs by name."""
    folder = Path(str(resources.files("search.specs")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``, both unchanged: mappings key by key, anything else replaced.

    >>> merged({"data": "digits", "seed": 1}, {"data": {"images": 300}})
    {'data': {'name': 'digits', 'images': 300}, 'seed': 1}
    >>> merged({"ratio": {"uniform": [0.1, 0.5], "step": 0.1}}, {"ratio": {"log": [0.1, 0.9]}})
    {'ratio': {'log': [0.1, 0.9]}}
    """
    return _merged({name: _in_full(name, said) for name, said in base.items()} if _by_name(over) else base, over)


def _by_name(over: Mapping[str, Any]) -> bool:
    return any(isinstance(over.get(name), dict) for name in BY_NAME)


def _in_full(name: str, said: Any) -> Any:
    return {"name": said} if name in BY_NAME and isinstance(said, str) else said


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, said in over.items():
        before = result.get(name)
        # A range is one value: half of one and half of another is neither.
        is_deep = isinstance(before, dict) and isinstance(said, dict) and not said.keys() & set(SCALES)
        result[name] = _merged(before, said) if is_deep else said  # type: ignore[arg-type]
    return result


def _find(name: str) -> Path:
    if name in ready():
        return ready()[name]
    path = Path(name)
    if path.is_file() or path.is_fifo() or path.suffix in {".yaml", ".yml"}:
        return path
    raise WrongInput(f"{name!r} is neither a file nor a ready spec: {nearest(name, ready())}")


def _with_includes(
    path: Path, *, where: str | Path, within: tuple[Path, ...], files: list[Path], said: str = ""
) -> dict[str, Any]:
    """The settings of a file over those that it includes, which are noted in ``files``.

    ``within`` are the files that include this one, ``said`` is where they do.
    """
    try:
        given: dict[str, Any] = _own(read(path), where=where)
    except WrongInput as error:
        raise WrongInput(f"{error}{said}") from None
    if INCLUDE not in given:
        return given
    place = f"({where}: {INCLUDE})"
    names = given.pop(INCLUDE)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise WrongInput(f"include takes a file, a ready spec's name, or a list of them, got {names!r:.60} {place}")
    within = (*within, path.resolve())
    base: dict[str, Any] = {}
    for name in names:
        below = _beside(name, path, place=place)
        if below.resolve() in within:
            circle = [*within[within.index(below.resolve()) :], below]
            raise WrongInput(f"includes go round in a circle: {' → '.join(file.name for file in circle)} {place}")
        files.append(below)
        base = merged(base, _with_includes(below, where=below, within=within, files=files, said=f" {place}"))
    return merged(base, given)


def _beside(name: str, path: Path, *, place: str) -> Path:
    if name in ready():
        return ready()[name]
    below = path.parent / _in_environment(name, where=place)
    if not below.is_file():
        raise WrongInput(f"cannot include {name}: there is no file {below}, and it is no ready spec {place}")
    return below


def _own(given: Any, *, where: str | Path) -> Any:
    """A copy in which nothing is shared: an alias in YAML makes one object of two settings."""

    def copied(said: Any, depth: int) -> Any:
        if depth > 50:
            raise WrongInput(f"{where} holds itself, or is nested more than 50 deep")
        if isinstance(said, dict):
            return {name: copied(each, depth + 1) for name, each in said.items()}
        return [copied(each, depth + 1) for each in said] if isinstance(said, list) else said

    return copied(given, 0)


def _profiled(given: dict[str, Any], *, where: str | Path) -> tuple[dict[str, Any], str | None]:
    """The settings with the chosen profile merged over them, and which it was; null chooses none."""
    given = dict(given)
    profiles, chosen = given.pop(PROFILES, None) or {}, given.pop(PROFILE, None)
    if not isinstance(profiles, dict) or not all(isinstance(each, dict) for each in profiles.values()):
        raise WrongInput(f"profiles take a mapping from names to settings, got {profiles!r:.60} ({where}: {PROFILES})")
    for name, said in profiles.items():
        for key in said:
            if key in {INCLUDE, PROFILE, PROFILES}:
                raise WrongInput(f"a profile holds settings, it has no {key} ({where}: {PROFILES}.{name}.{key})")
    if chosen is None:
        return given, None
    if not isinstance(chosen, str) or chosen not in profiles:
        accepted = nearest(str(chosen), map(str, profiles)) if profiles else "this spec has none"
        raise WrongInput(f"{chosen!r} is not a profile: {accepted} ({where}: {PROFILE})")
    return merged(given, profiles[chosen]), chosen


def _replace(given: dict[str, Any], setting: str) -> None:
    path, equals, text = setting.partition("=")
    names = path.split(".")
    if not equals or not all(names):
        raise WrongInput(f"--set takes path=value, such as search.trials=10, got {setting!r}")
    inside = given
    for depth, name in enumerate(names[:-1]):
        below = inside.setdefault(name, {})
        if isinstance(below, str) and depth == 0 and name in BY_NAME:
            below = inside[name] = {"name": below}
        if not isinstance(below, dict):
            raise WrongInput(
                f"{'.'.join(names[: depth + 1])} is {below!r:.60}, it has no {names[depth + 1]} (--set {setting})"
            )
        inside = below
    try:
        said = value(text, where=f"--set {setting}")
    except WrongInput as error:
        # A shell takes away the quotes that YAML wants around text such as >= .9.
        example = 'search.constraints={val_accuracy: ">= .9"}' if text[:1] in "{['\"" else f'{path}="{text}"'
        raise WrongInput(f"{error}: text in double quotes, and all of it in single ones: --set '{example}'") from None
    inside[names[-1]] = _own(said, where=f"--set {setting}")


def _expanded(given: Mapping[str, Any], model: type[BaseModel], *, where: str) -> dict[str, Any]:
    """The settings with variables and ~ filled in wherever the model says that a setting is a path."""
    filled = dict(given)
    for name, said in given.items():
        kinds = set(_kinds(model.model_fields[name].annotation)) if name in model.model_fields else set()
        place = f"{where}{name}"
        if Path in kinds and isinstance(said, str):
            filled[name] = _in_environment(said, where=f"({place})")
        elif Path in kinds and isinstance(said, list):
            filled[name] = [_in_environment(e, where=f"({place})") if isinstance(e, str) else e for e in said]
        elif isinstance(said, dict):
            for section in kinds:
                if isinstance(section, type) and issubclass(section, BaseModel):
                    filled[name] = _expanded(said, section, where=f"{place}.")
    return filled


def _kinds(annotation: Any) -> list[Any]:
    """A type, or all types within an optional, a union or a collection."""
    inside = [kind for each in typing.get_args(annotation) for kind in _kinds(each)]
    return inside or [annotation]


def _in_environment(path: str, *, where: str) -> str:
    """The path with ``${NAME}``, ``$NAME`` and ``~`` filled in; raises WrongInput where one of them is not known."""

    def known(found: re.Match[str]) -> str:
        name = found[1] if found[1] is not None else found[2]
        if name not in os.environ:
            raise WrongInput(f"{name or found[0]} is not set in the environment: set it, or write the path out {where}")
        return os.environ[name]

    filled = os.path.expanduser(_VARIABLE.sub(known, path))  # noqa: PTH111 — Path raises where there is no such user
    if filled.startswith("~"):
        raise WrongInput(f"{path} begins with no user's home folder: write the path out {where}")
    return filled
