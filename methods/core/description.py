"""A method in words: what `prunefront methods` prints, read off the method's own file."""

from __future__ import annotations

import inspect
from typing import Any

from methods import catalogue
from methods.core.knobs import Options, knobs
from methods.core.method import Method

__all__ = ["card", "describe", "table"]

SHARED = ("spare", "keep_min", "round_to")
"""Knobs that every method, or every one that cuts channels, has."""


def describe(method: type[Method]) -> dict[str, Any]:
    """The method's name, summary, formula, source, needs, cost and knobs, ready for JSON.

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
        "cost": method.cost,
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
            f"  cuts {about['unit']}s; needs {needs}; costs {about['cost']}",
            *_lines(about["knobs"], indent="  "),
        ]
    )


def table() -> str:
    """Every method in one Markdown table, for the README: name, what it cuts, rule, needs, knobs and source."""
    lines = ["| method | cuts | rule | needs | knobs | source |", "| --- | --- | --- | --- | --- | --- |"]
    for method in catalogue().values():
        about = describe(method)
        rule = about["formula"].replace("|", "\\|")
        own = ", ".join(knob["name"] for knob in about["knobs"] if knob["name"] not in SHARED)
        needs = ", ".join(about["needs"]) or "weights only"
        lines.append(f"| `{about['name']}` | {about['unit']}s | {rule} | {needs} | {own} | {about['source']} |")
    return "\n".join(lines)


def _lines(described: list[dict[str, Any]], *, indent: str) -> list[str]:
    lines = []
    for entry in described:
        default = f"   default {entry['default'] if entry['default'] != '' else 'none'}" if "default" in entry else ""
        options = entry.get("options", {})
        accepted = "one of:" if options else entry["range"]
        lines.append(f"{indent}{entry['name']:<10} {accepted}{default}")
        for option, further in options.items():
            summary = further["summary"].splitlines()[0]
            lines += [f"{indent}  {option}: {summary}", *_lines(further["knobs"], indent=f"{indent}    ")]
    return lines
