"""``python -m benchmarks.scale`` writes the figures of benchmarks/results/scale.txt into docs/scale.md."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

from benchmarks.scale.simulation import Carried, Costs, carried

__all__ = ["costs_in", "costs_told", "filled", "main", "moves", "scales"]

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "benchmarks/results/scale.txt", ROOT / "docs/scale.md"
COSTS = "scale: costs: "
GPUS, TRIAL_SECONDS, TRIALS = (1, 4, 64, 256, 1_000), (30, 300), 1_000_000
RANDOM_SECONDS = 0.005
"""Of the driver, less for each trial where nobody learns: benchmarks/results/search.txt, tpe 6.5 ms, random 1.5 ms."""
FULL = 0.8
"""A part that is busier than that makes others wait."""
PARTS = {"driver": "driver", "head": "head", "store": "store", "network": "network"}


def costs_told(costs: Costs) -> str:
    """The costs in JSON, to three digits."""
    return json.dumps({name: float(f"{value:.3g}") for name, value in asdict(costs).items()})


def costs_in(results: str) -> Costs:
    """The costs that a file of results says last."""
    (*_, line) = (line for line in results.splitlines() if line.startswith(COSTS))
    return Costs(**json.loads(line.removeprefix(COSTS)))


def scales(costs: Costs) -> list[list[str]]:
    """A row for each number of GPUs and length of trials, a title first."""
    rows = [["GPUs", "trial", f"{TRIALS:,} trials take", "efficiency", *PARTS, "driver's memory", "first to fill up"]]
    for seconds in TRIAL_SECONDS:
        for gpus in GPUS:
            rows.append(
                [f"{gpus:,}", f"{seconds} s", *_told(carried(costs, workers=gpus, trials=TRIALS, seconds=seconds))]
            )
    return rows


def moves(costs: Costs) -> list[list[str]]:
    """What each setting moves at a thousand GPUs and trials of 30 s."""
    few = TRIALS // 10
    learnt = replace(costs, driver=max(0.0, costs.driver - RANDOM_SECONDS))
    half = replace(costs, head_worker=costs.head_worker / 2, head=costs.head / 2)
    asked = {
        "as it is": (costs, 1_000, TRIALS, 30.0),
        "trials of 60 s (`recovery.epochs`, a larger network)": (costs, 1_000, TRIALS, 60.0),
        "`search.sampler: random`": (learnt, 1_000, TRIALS, 30.0),
        "ten studies one after another (`search.trials: 100000`, `warm_start`)": (costs, 1_000, few, 30.0),
        "two studies side by side, 500 GPUs each": (costs, 500, TRIALS // 2, 30.0),
        "four studies side by side, 250 GPUs each": (costs, 250, TRIALS // 4, 30.0),
        "a head with twice the cores": (half, 1_000, TRIALS, 30.0),
    }
    rows = [["setting", "a driver's trials take", "efficiency", *PARTS, "driver's memory", "first to fill up"]]
    for what, (changed, workers, trials, seconds) in asked.items():
        rows.append([what, *_told(carried(changed, workers=workers, trials=trials, seconds=seconds))])
    return rows


def _told(found: Carried) -> list[str]:
    days = f"{found.hours / 24:,.1f} days"
    shares = [f"{getattr(found, field.name):.3f}" for field in fields(found) if field.name in {"efficiency", *PARTS}]
    part = max(PARTS, key=lambda name: float(getattr(found, name)))
    busiest = float(getattr(found, part))
    return [
        days,
        *shares,
        f"{found.memory / 1e9:.1f} GB",
        f"**{part}**" if busiest >= FULL else part if busiest >= FULL / 2 else f"{part}, far off",
    ]


def filled(page: str, results: str) -> str:
    """The page with its blocks as the results have them: between ``<!-- NAME -->`` and ``<!-- end -->``."""
    costs = costs_in(results)
    heading = [line.lstrip("# ") for line in results.splitlines() if line.startswith("#")]
    measured = [
        line.removeprefix("scale: ") for line in results.splitlines() if line[:7] == "scale: " and COSTS not in line
    ]
    blocks = {
        "where": [*heading],
        "measured": [f"- {line}" for line in measured if not line.startswith("simulated: ")],
        "costs": ["```", json.dumps(json.loads(costs_told(costs)), indent=1), "```"],
        "scales": _table(scales(costs)),
        "moves": _table(moves(costs)),
    }
    for name, lines in blocks.items():
        block = "\n".join([f"<!-- {name} -->", *lines, "<!-- end -->"])
        page, count = re.subn(rf"<!-- {name} -->.*?<!-- end -->", lambda _, block=block: block, page, flags=re.DOTALL)
        assert count == 1, f"the page has one block {name}"
    return page


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    title, *others = ["| " + " | ".join(row) + " |" for row in rows]
    return [title, "|" + " --- |" * len(rows[0]), *others]


def main() -> int:
    """Write the page."""
    PAGE.write_text(filled(PAGE.read_text(), RESULTS.read_text()))
    return 0
