"""A method in words: what `prunefront methods` prints, read off the method's own file."""

from __future__ import annotations

import inspect
from typing import Any

from methods.core.knobs import Options, knobs
from methods.core.method import Method

__all__ = ["card", "describe"]


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
                name: {"summary": inspect.getdoc(option), "knobs": _knobs(option)}
                for name, option in zip(knob.range.names, knob.range.types, strict=True)
            }
        described.append(entry)
    return described


def card(method: type[Method]) -> str:
    """The same as ``describe`` for a reader: name and summary, formula with its source, needs, knobs."""
    about = describe(method)
    needs = ", ".join(about["needs"]) or "nothing but the weights"
    return "\n".join(
        [
            f"{about['name']}: {about['summary']}",
            f"  {about['formula']}    [{about['source']}]",
            f"  cuts {about['unit']}s; needs {needs}",
            *_lines(about["knobs"], indent="  "),
        ]
    )


def _lines(described: list[dict[str, Any]], *, indent: str) -> list[str]:
    lines = []
    for entry in described:
        default = f"   default {entry['default']}" if "default" in entry else ""
        options = entry.get("options", {})
        accepted = "one of:" if options else entry["range"]
        lines.append(f"{indent}{entry['name']:<10} {accepted}{default}")
        for option, further in options.items():
            summary = further["summary"].splitlines()[0]
            lines += [f"{indent}  {option}: {summary}", *_lines(further["knobs"], indent=f"{indent}    ")]
    return lines
