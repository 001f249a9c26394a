"""``prunefront importance``: which knobs matter for which objective, as tables or as one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import table
from analysis.errors import WrongInput, about
from analysis.front_table import Cells, aligned, human
from analysis.importance import Curve, Effect, Importance, learn
from analysis.summary import chosen_objectives

__all__ = ["print_importance"]

EXPLAINS = 0.1
"""A forest that explains less of the variance than this has found next to nothing."""
DEPENDENCES = ("ratio", "lambda", "p", "a", "delta")
"""The knobs whose dependence is told where no others are asked for."""
PAIRS = 5
"""Interactions that are printed at most; in JSON are all."""
SHOWN = 7
"""Values of a knob that a line of a dependence has."""


def print_importance(
    studies: Sequence[Path], *, objectives: str, where: str, dependence: str, as_json: bool, seed: int = 0
) -> None:
    """Print for each objective what each knob explains of it, and how accuracy depends on some of the knobs.

    ``objectives`` are joined by commas ("": the studies' own), so are the knobs of ``dependence`` ("": ratio,
    lambda, p, a and delta, as far as they vary). An objective that cannot be explained is said in one line beside the
    others; where none can the first one's line is a WrongInput.
    """
    named = chosen_objectives(studies, objectives)
    rows = table.read(*studies, where=where)
    if len(rows) == 0:
        listed = ", ".join(map(str, studies))
        raise WrongInput(
            f"no row of {listed} fulfils --where {where!r}"
            if where
            else f"{listed} has no rows yet: nothing can matter"
        )
    found: dict[str, Importance] = {}
    curves: dict[str, dict[str, tuple[Curve, ...]]] = {}
    refused: dict[str, WrongInput] = {}
    for name in named:
        try:
            learned = learn(rows, name, seed=seed)
            found[name] = learned.importance()
        except WrongInput as error:
            refused[name] = error
            continue
        asked = [knob.strip() for knob in dependence.split(",")] if dependence else []
        if asked or name == "val_accuracy":
            with about(studies):
                told = {
                    knob: learned.dependence(knob)
                    for knob in asked or DEPENDENCES
                    if asked or knob in found[name].knobs
                }
            curves[name] = {knob: each for knob, each in told.items() if each}
    if not found:
        with about(studies):
            raise next(iter(refused.values()))
    if as_json:
        document = {
            "studies": [str(study) for study in studies],
            "where": where or None,
            "objectives": {name: _document(each, curves.get(name, {})) for name, each in found.items()},
            "refused": {name: str(error) for name, error in refused.items()},
        }
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
        return
    parts = [_text(each, curves.get(name, {})) for name, each in found.items()]
    parts += [f"{name}: {error}" for name, error in refused.items()]
    parts.append(
        "effect: the share of the objective's variance that is left when all other knobs are known, ± 95 % of what the "
        "folds say;\ninteraction: the share that hangs on both knobs together. Knobs are exchanged within methods, "
        "and a method with its own knobs."
    )
    sys.stdout.write("\n\n".join(parts) + "\n")


def _text(found: Importance, curves: Mapping[str, Sequence[Curve]]) -> str:
    drawn = "" if found.trials == found.of else f" drawn from {found.of:,}"
    lines = [
        f"{found.objective}: a forest learned from {found.trials:,} trials{drawn} explains "
        f"{_percent(max(found.explained, 0.0))} of its variance on trials it has not seen (R² {found.explained:.2f})"
    ]
    if found.explained < EXPLAINS:
        lines.append("that is next to nothing: what follows says nothing about the knobs")
    rows = [[knob, *_cells(effect)] for knob, effect in found.knobs.items()]
    lines.append(
        aligned(Cells(["knob", "effect", "95 % interval", "trials", ""], rows, [False, True, True, True, False]))
    )
    if found.pairs:
        rows = [[f"{a} × {b}", *_cells(effect)] for (a, b), effect in list(found.pairs.items())[:PAIRS]]
        headers = ["interaction", "share", "95 % interval", "trials", ""]
        lines += ["", aligned(Cells(headers, rows, [False, True, True, True, False]))]
    for knob, each in curves.items():
        lines += ["", f"{found.objective} by {knob}, all else as in the trials of the method (partial dependence)"]
        lines += [_curve(curve, knob, found.objective) for curve in each]
    return "\n".join(lines)


def _cells(effect: Effect) -> list[str]:
    seen = "" if effect.is_seen else "may be none"
    return [_percent(effect.mean), f"{_percent(effect.low)} to {_percent(effect.high)}", str(effect.trials), seen]


def _curve(curve: Curve, knob: str, objective: str) -> str:
    last = len(curve.values) - 1
    places = sorted({round(i * last / (SHOWN - 1)) for i in range(SHOWN)})
    points = [f"{human(knob, curve.values[place])}: {human(objective, curve.means[place])}" for place in places]
    return f"  {curve.group or 'all'} ({curve.trials} trials)  " + "  ".join(points)


def _percent(share: float) -> str:
    """A share for people.

    >>> _percent(0.1234), _percent(-0.004), _percent(0.0001)
    ('12 %', '−0.4 %', '0 %')
    """
    percent = 100 * share
    digits = f"{percent:.0f}" if abs(percent) >= 9.95 else f"{percent:.1f}"
    return f"{'0' if float(digits) == 0 else digits.replace('-', '−')} %"


def _document(found: Importance, curves: Mapping[str, Sequence[Curve]]) -> dict[str, Any]:
    def effect(each: Effect) -> dict[str, Any]:
        return {
            "mean": each.mean,
            "std": each.std,
            "low": each.low,
            "high": each.high,
            "trials": each.trials,
        }

    return {
        "trials": found.trials,
        "of": found.of,
        "explained": found.explained,
        "knobs": {knob: effect(each) for knob, each in found.knobs.items()},
        "interactions": [{"knobs": list(pair), **effect(each)} for pair, each in found.pairs.items()],
        "dependence": {
            knob: [
                {
                    "method": curve.group,
                    "trials": curve.trials,
                    "values": list(curve.values),
                    "means": list(curve.means),
                    "stds": list(curve.stds),
                }
                for curve in each
            ]
            for knob, each in curves.items()
        },
    }
