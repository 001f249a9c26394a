"""``prunefront compare``: groups of repeated studies side by side, and what may be said about which is better."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import chance, confirmed, costs, repeats
from analysis.contest import Contest, contest
from analysis.costs import COSTS
from analysis.errors import WrongInput, nearest
from analysis.front_table import Cells, aligned
from analysis.repeats import Group
from analysis.resampling import Interval, Superiority, smallest_p
from analysis.summary import chosen_objectives

__all__ = ["print_comparison"]


def print_comparison(
    arguments: Sequence[str], *, objectives: str, over: str, figure: Path | None, as_json: bool
) -> None:
    """Print how groups of repeated studies compare; see `repeats.groups` for how ``arguments`` name them.

    ``objectives`` are joined by commas ("": the studies' own), ``over`` is the cost whose common budget decides.
    ``figure`` is a .png or .svg to write.
    """
    found = repeats.groups(arguments)
    decides = next((cost for cost in COSTS if cost == over), None)
    if decides is None:
        raise WrongInput(f"{over!r} is not a cost: {nearest(over, COSTS)} (--over)")
    named = chosen_objectives([study for group in found for study in group.studies], objectives)
    groups = repeats.read(found, named)
    result = contest(groups, named, over=decides)
    tested = {group.name: _tested(group, named) for group in groups}
    drawn = None
    if figure is not None:
        from analysis.contest_figure import write

        drawn = write(result, figure)
    if as_json:
        document = _document(groups, result, tested) | ({"figure": str(drawn)} if drawn else {})
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
    else:
        sys.stdout.write(_text(groups, result, tested) + "\n" + (f"\n{drawn}\n" if drawn else ""))


def _tested(group: Group, objectives: Sequence[str]) -> list[tuple[Path, chance.Result]]:
    names = list(dict.fromkeys(["val_accuracy", *objectives]))
    return [
        (study, each)
        for study in group.studies
        if (study / confirmed.PARQUET).exists()
        for each in chance.results(confirmed.read(study), names)
    ]


def _text(groups: Sequence[Group], result: Contest, tested: Mapping[str, Sequence[tuple[Path, chance.Result]]]) -> str:
    scale = ", ".join(
        f"{name} {scale.worst:.6g} to {scale.best:.6g}"
        for name, scale in zip(result.reference.objectives, result.reference.scales, strict=True)
    )
    names = [group.name for group in groups]
    rows = [
        [
            stand.cost,
            f"{stand.paid:,.4g}" if stand.paid < 1000 else f"{stand.paid:,.0f}",
            *(_interval(stand.means[name]) for name in names),
        ]
        for stand in result.stands
    ]
    counted = [f"{group.name} ({_repeats(len(group))})" for group in groups]
    parts = [
        "hypervolume, mean over repeats [95 % bootstrap interval], at a quarter, half, three quarters and all of what "
        f"every study paid\none scale for all, from worst to best: {scale}",
        aligned(Cells(["paid", "", *counted], rows, [False, True, *[True] * len(names)])),
    ]
    if result.pairs:
        parts.append("\n".join(_verdicts(groups, result)))
    if any(len(group) > 1 for group in groups):
        parts.append(_surfaces(result, names))
    parts.append(_confirmed(tested))
    return "\n\n".join(parts)


def _verdicts(groups: Sequence[Group], result: Contest) -> list[str]:
    sizes = {group.name: len(group) for group in groups}
    lines = []
    if any(each.low is not None for each in result.pairs.values()):
        lines.append(
            "P(A beats B): that a repeat of A drawn at random has the larger hypervolume at "
            f"{result.budget:,.6g} {result.over} than one of B, equal ones counting half"
        )
    for (a, b), each in result.pairs.items():
        said = _verdict(a, b, each, sizes, len(result.pairs))
        if each.low is None or each.high is None:
            lines.append(f"{a} and {b}: {said}")
        else:
            test = (
                "exact permutation test" if each.is_exact else f"permutation test, {each.labels_drawn:,} labels drawn"
            )
            known = f"{each.probability:.2f} [{each.low:.2f}, {each.high:.2f}], p {each.p:.3g} ({test})"
            lines.append(f"P({a} beats {b}) = {known}: {said}")
    return lines


def _verdict(a: str, b: str, each: Superiority, sizes: Mapping[str, int], pairs: int) -> str:
    """What may be said: never that one is better without repeats, an interval and a test that say so."""
    match each.verdict(pairs=pairs):
        case 1:
            return f"{a} is better"
        case -1:
            return f"{b} is better"
    if each.low is None:
        once = [name for name in (a, b) if sizes[name] == 1]
        who = "one repeat each" if len(once) == 2 else f"one repeat of {once[0]}"
        return f"{who}, so nothing can be said about which is better: run the same spec with other seeds"
    least = smallest_p(sizes[a], sizes[b])
    if least > 0.05 / pairs:
        return f"too few repeats to say which is better: {sizes[a]} and {sizes[b]} give no p below {least:.2g}"
    return "not told apart"


def _surfaces(result: Contest, names: Sequence[str]) -> str:
    if not result.surfaces:
        return f"no attainment surfaces: {result.no_surfaces}"
    percents = [surface.percent for surface in result.surfaces[names[0]]]
    rows = [
        [f"{percent} %", *(f"{result.surfaces[name][place].hypervolume:.3f}" for name in names)]
        for place, percent in enumerate(percents)
    ]
    table = aligned(Cells(["attained by", *names], rows, [True] * (len(names) + 1)))
    at = f"{result.budget:,.6g} {result.over}"
    return f"hypervolume of what so many of the repeats attain, at {at} (corners: --json)\n{table}"


def _confirmed(tested: Mapping[str, Sequence[tuple[Path, chance.Result]]]) -> str:
    rows = [
        [
            group,
            study.name,
            each.trial,
            each.method,
            "" if each.ratio is None else f"{each.ratio:.4g}",
            _spread(each),
            str(each.seeds),
            "" if each.chance is None else f"{each.chance:.2f}",
        ]
        for group, found in tested.items()
        for study, each in found
        if "test_accuracy" in each.measures
    ]
    if not rows:
        return "no test results: `prunefront confirm STUDY` trains a front again over seeds and tests it"
    headers = ["group", "study", "trial", "method", "ratio", "test_accuracy", "seeds", "chance"]
    numeric = [False, False, False, False, True, True, True, True]
    return f"test results, mean ± standard deviation over seeds; {chance.LAW}\n{aligned(Cells(headers, rows, numeric))}"


def _spread(each: chance.Result) -> str:
    place = each.measures.index("test_accuracy")
    return f"{each.means[place]:.4f}" + ("" if each.stds is None else f" ± {each.stds[place]:.4f}")


def _interval(each: Interval) -> str:
    return f"{each.mean:.3f}" + ("" if each.low is None or each.high is None else f" [{each.low:.3f}, {each.high:.3f}]")


def _repeats(count: int) -> str:
    return "1 repeat" if count == 1 else f"{count} repeats"


def _document(
    groups: Sequence[Group], result: Contest, tested: Mapping[str, Sequence[tuple[Path, chance.Result]]]
) -> dict[str, Any]:
    pairs = len(result.pairs)
    return {
        "objectives": list(result.reference.objectives),
        "scale": {
            name: {"worst": scale.worst, "best": scale.best}
            for name, scale in zip(result.reference.objectives, result.reference.scales, strict=True)
        },
        "over": result.over,
        "budget": result.budget,
        "groups": {
            group.name: {
                "studies": [str(study) for study in group.studies],
                "hypervolume": {
                    str(study): {
                        cost: [list(point) for point in result.curves[group.name][cost][place]] for cost in costs.COSTS
                    }
                    for place, study in enumerate(group.studies)
                },
                "attainment": [
                    {"percent": each.percent, "hypervolume": each.hypervolume, "corners": each.points.tolist()}
                    for each in result.surfaces.get(group.name, ())
                ],
                "confirmed": [
                    {
                        "study": str(study),
                        "trial": each.trial,
                        "method": each.method,
                        "ratio": each.ratio,
                        "seeds": each.seeds,
                        "means": dict(zip(each.measures, each.means, strict=True)),
                        "stds": None if each.stds is None else dict(zip(each.measures, each.stds, strict=True)),
                        "chance": each.chance,
                    }
                    for study, each in tested[group.name]
                ],
            }
            for group in groups
        },
        "stands": [
            {
                "cost": stand.cost,
                "paid": stand.paid,
                "hypervolume": {
                    name: {
                        "mean": each.mean,
                        "low": each.low,
                        "high": each.high,
                        "repeats": list(stand.hypervolumes[name]),
                    }
                    for name, each in stand.means.items()
                },
            }
            for stand in result.stands
        ],
        "pairs": [
            {
                "first": first,
                "second": second,
                "probability": each.probability,
                "low": each.low,
                "high": each.high,
                "p": None if each.low is None else each.p,
                "labels_drawn": each.labels_drawn,
                "better": {1: first, -1: second, 0: None}[each.verdict(pairs=pairs)],
            }
            for (first, second), each in result.pairs.items()
        ],
        "no_surfaces": result.no_surfaces or None,
    }
