"""Indicators as text and as JSON: what `prunefront front --indicators` and ``--over`` add to a front.

Both together add what each method added over the cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from analysis import costs, quality
from analysis.constraints import without_unmet
from analysis.front_table import Cells, aligned
from analysis.quality import Indicators, Reference

if TYPE_CHECKING:
    import pyarrow as pa

    from analysis.constraints import Constraint

__all__ = ["documents", "lines"]

SHOWN = 12
"""Lines of text at most that show how a front grew; ``--json`` has all."""
METHODS = 6
"""Methods at most whose shares are shown beside one another: those that are missed most in the end."""
UNITS = {"trials": "trials", "seconds": "worker-seconds", "epochs": "epochs"}


def documents(
    groups: Iterable[pa.Table],
    rows: pa.Table,
    objectives: Sequence[str],
    *,
    constraints: Sequence[Constraint] = (),
    indicators: bool = False,
    over: str = "",
) -> list[dict[str, Any]]:
    """What is said of each group's front, ready for JSON; all refer to the dense networks and the front of ``rows``.

    Raises WrongInput for what is no cost, and where no row meets the constraints, the scale cannot be known, or no row
    says when it started.
    """
    reference = Reference.of(without_unmet(rows, constraints), objectives, scale_of=rows)
    found = []
    for group in (without_unmet(each, constraints) for each in groups):
        said: dict[str, Any] = {"indicators_reference": str(reference)}
        if indicators:
            said["indicators"] = asdict(quality.assess(group, reference))
            said["contributions"] = [asdict(each) for each in quality.contributions(group, reference)]
        if over:
            grown = costs.over_cost(group, reference, cost=over)  # type: ignore[arg-type]  # it was checked
            said["over"] = {"cost": over, "points": [{"cost": each.cost, **asdict(each.indicators)} for each in grown]}
        if indicators and over:
            added = costs.added_over_cost(group, reference, cost=over)  # type: ignore[arg-type]
            said["added"] = {"cost": over, "points": [asdict(each) for each in added]}
        found.append(said)
    return found


def lines(said: dict[str, Any]) -> list[str]:
    """The same for people; none where nothing is said."""
    if not said:
        return []
    found = ["", f"indicators, {said['indicators_reference']}:"]
    if "indicators" in said:
        found += aligned(_cells([said["indicators"]], list(Indicators.__dataclass_fields__))).splitlines()
        found += ["", *aligned(_cells(said["contributions"], ["group", *_NUMBERS])).splitlines()]
        found += ["alone: hypervolume of the method by itself; own: what the front of all loses without it"]
    if "over" in said:
        found += ["", *_over(said["over"]["points"], said["over"]["cost"], list(Indicators.__dataclass_fields__))]
    if "added" in said:
        found += _added(said["added"]["points"], said["added"]["cost"])
    return found


def _over(points: Sequence[dict[str, Any]], cost: str, names: Sequence[str]) -> list[str]:
    chosen = _spread(points)
    named = [{UNITS[cost]: f"{point['cost']:.6g}", **point} for point in chosen]
    found = aligned(_cells(named, [UNITS[cost], *names])).splitlines()
    if len(chosen) < len(points):
        found.append(f"{len(chosen)} of {len(points)} points, --json has all of them")
    return found


def _added(points: Sequence[dict[str, Any]], cost: str) -> list[str]:
    """What each method added, for those that anybody would have missed at some time."""
    last = points[-1]["own"]
    most = {name: max(point["own"][name] for point in points) for name in last}
    missed = sorted((name for name in most if most[name] > 0), key=lambda name: (-last[name], -most[name], name))
    found = ["", f"own, of each method, over {UNITS[cost]}: what the front of all by then would have lost without it"]
    if not missed:
        return [*found[:1], f"no method has anything of its own at any number of {UNITS[cost]}"]
    shown = missed[:METHODS]
    found += _over([{"cost": point["cost"], **point["own"]} for point in points], cost, shown)
    if len(shown) < len(missed):
        found.append(f"{len(shown)} of {len(missed)} methods, --json has all of them")
    return found


_NUMBERS = ("networks", "on_front", "alone", "own")


def _cells(entries: Sequence[dict[str, Any]], names: Sequence[str]) -> Cells:
    return Cells(
        headers=list(names),
        rows=[[_text(entry[name]) for name in names] for entry in entries],
        numeric=[name != "group" for name in names],
    )


def _text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _spread(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most ``SHOWN`` points, evenly over their number, first and last among them."""
    if len(points) <= SHOWN:
        return list(points)
    last = len(points) - 1
    return [points[round(place * last / (SHOWN - 1))] for place in range(SHOWN)]
