"""A spec that shows everything a spec may say: ``prunefront spec --example``.

Written from the spec's own model, so that each setting's meaning and default stand in one place. What is commented out
is the default; bringing it in changes nothing but numerics, which a probe settles where nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from search.spec import Spec
from trial.yaml_file import value

__all__ = ["spec_example"]

WIDTH = 120

HEAD = """\
# A spec of prunefront: what is pruned and trained, which recipes are tried, and for how long.
#   prunefront check FILE           what a search of it is about to do
#   prunefront run FILE             the search; --set path=value replaces a setting, such as search.trials=200
# What is commented out is the default. With this as the first line VS Code's YAML extension completes and checks keys:
#   # yaml-language-server: $schema=spec.schema.json      (made by: prunefront spec --schema > spec.schema.json)
"""

CHOSEN: dict[str, str] = {
    "network": "{name: vgg16-bn, width: .125}",
    "data": "{name: digits, validation: .2}",
    "dense": "{epochs: 8, batch: 64}",
    "sparsity": "{epochs: 2, batch: 32}",
    "recovery": "{epochs: 3, batch: 32, rate: .05}",
    "workers": "2",
    "search": "{trials: 40}",
}
"""A small search, as YAML by section; ``search.methods`` is `METHODS`."""

METHODS = """\
  methods:
    magnitude-global: any                             # any: everything that the method's knobs accept
    filter-l1:
      ratio: {uniform: [.1, .9]}                      # a range; also {uniform: [.1, .9], step: .1}, {log: [.01, .9]}
      scope: [layer, global]                          # a list of values; what is left out keeps its default
      schedule: {one-shot: any, stepwise: {rounds: 3}}  # conditional: each schedule brings its own knobs
    slimming:
      ratio: {uniform: [.1, .9]}
      penalty:
        l1: {lambda: [1e-4, 1e-3]}
        lp: {lambda: 1e-4, p: [.25, .5, .75]}
    random-channels: {ratio: {uniform: [.1, .9]}}     # the control
"""

TAIL = """\
# Overrides by name: --set profile=small merges these over all the rest.
profiles:
  small: {data: {images: 300}, search: {trials: 4}}

# Another spec to lay this one over, its file beside this one or a ready spec's name:
#   include: demo
# In settings that are paths, ${NAME} is taken from the environment and ~ is your home folder.
"""


def spec_example() -> str:
    """The example, valid as it stands."""
    lines = [HEAD.rstrip()]
    for name, field in Spec.model_fields.items():
        chosen = value(CHOSEN[name], where=name) if name in CHOSEN else None
        section = field.annotation
        lines.append("")
        if isinstance(section, type) and issubclass(section, BaseModel):
            lines.append(f"# {field.description or (section.__doc__ or '').splitlines()[0]}")
            # A section that holds nothing but comments would be null.
            lines.append(f"{name}:" if chosen else f"# {name}:")
            lines += _section(section, field, chosen or {}, texts={"methods": METHODS} if name == "search" else {})
        else:
            lines += _setting(name, field.description, default=field.default, chosen=chosen)
    return "\n".join([*lines, "", TAIL.rstrip()])


def _section(
    section: type[BaseModel], field: FieldInfo, chosen: dict[str, Any], *, texts: dict[str, str]
) -> Iterator[str]:
    """A section's settings; those that it does not choose are its own default's, commented out."""
    assert chosen.keys() <= section.model_fields.keys(), f"{section.__name__} has not all of {list(chosen)}"
    for name, setting in section.model_fields.items():
        if name in texts:
            yield f"  # {setting.description}"
            yield texts[name].rstrip()
            continue
        default = getattr(field.default, name) if isinstance(field.default, BaseModel) else setting.default
        yield from _setting(name, setting.description, default=default, chosen=chosen.get(name), indent="  ")


def _setting(name: str, description: str | None, *, default: Any, chosen: Any, indent: str = "") -> list[str]:
    """A setting with what it means: behind it where that fits, else above it."""
    assert chosen is not None or default is not PydanticUndefined, f"{name} has no default: choose a value"
    said = f"{name}: {_flow(default if chosen is None else chosen)}"
    line = f"{indent}{said if chosen is not None else f'# {said}'}"
    beside = f"{line:<32}  # {description}"
    if description is None or len(beside) <= WIDTH:
        return [line if description is None else beside]
    return [*wrap(description, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "), line]


def _flow(said: Any) -> str:
    """A value on one line, as a person writes it."""
    match said:
        case None:
            return "null"
        case bool():
            return str(said).lower()
        case list() | tuple():
            return f"[{', '.join(map(_flow, said))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_flow(each)}' for key, each in said.items())}}}"
    return f"{said:g}" if isinstance(said, float) else str(said)
