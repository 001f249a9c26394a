"""A method in words: what `prunefront methods` prints, read off the method's own file."""

from __future__ import annotations

from typing import Any

from methods.core.knobs import Options, knobs
from methods.core.method import Method

__all__ = ["describe"]


def describe(method: type[Method]) -> dict[str, Any]:
    """The method's name, summary, formula, source, needs and knobs, ready for JSON.

    A knob without a default has none in its entry; an option's knobs stand under ``options``.
    """
    summary, formula, source = method.about()
    return {
        "name": method.name(),
        "summary": summary,
        "formula": formula,
        "source": source,
        "unit": method.unit,
        "needs": sorted(method.needs),
        "knobs": _knobs(method),
    }


def _knobs(owner: type[Any]) -> list[dict[str, Any]]:
    described = []
    for knob in knobs(owner):
        entry: dict[str, Any] = {"name": knob.name, "range": str(knob.range)}
        if not knob.required:
            entry["default"] = knob.default
        if isinstance(knob.range, Options):
            entry["options"] = {
                name: _knobs(option) for name, option in zip(knob.range.names, knob.range.types, strict=True)
            }
        described.append(entry)
    return described
