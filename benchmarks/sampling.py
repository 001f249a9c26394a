"""What a proposal costs with 10,000 trials behind it, and what a sampler loses by not seeing all of them."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from analysis.indicators import Scale, hypervolume
from search.model import KINDS, STARTUP
from search.sampler import Sampler
from search.space import Space

BEHIND = 10_000
ASKED = 300
TRIALS = 250
SEEDS = 3
OBJECTIVES = ("val_accuracy", "macs")
SPACE = Space.parse(
    {
        "filter-l1": {"ratio": {"uniform": [0.05, 0.95]}, "scope": "any", "keep_min": {"uniform": [1, 50]}},
        "slimming": {"ratio": {"uniform": [0.05, 0.95]}, "penalty": "any"},
        "taylor": {"ratio": {"uniform": [0.05, 0.95]}, "keep_min": {"uniform": [1, 50]}},
    },
    where="",
    recipe={"recovery_epochs": {"uniform": [1, 50]}, "recovery_rate": {"log": [1e-3, 1e-1]}},
)


def figures() -> Iterator[str]:
    """Milliseconds of ask and tell, then the front's hypervolume against that of samplers that see everything."""
    rows = _behind()
    for name in KINDS:
        taken = _milliseconds(name, rows)
        p99 = statistics.quantiles(taken, n=100)[98]
        yield (
            f"{name}, {BEHIND:,} trials behind: ask + tell {statistics.median(taken):.1f} ms of a core in the median, "
            f"{p99:.1f} at the 99th percentile, {max(taken):.1f} at most ({ASKED} recipes)"
        )
    programs = {"random": _ours("random"), "nsga2": _ours("nsga2"), "tpe": _ours("tpe"), "tpe that sees all": _optunas}
    for name, program in programs.items():
        volumes = [program(seed) for seed in range(SEEDS)]
        yield (
            f"{name}: hypervolume {statistics.mean(volumes):.4f} (from {min(volumes):.4f} to {max(volumes):.4f}, "
            f"{SEEDS} seeds) after {TRIALS} trials of a made-up problem with two objectives"
        )


def made_up(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose accuracy falls the less with what is cut the better method, rate and epochs suit each other."""
    ratio, rate = float(recipe["ratio"]), math.log10(float(recipe["recovery_rate"]))
    weakness = {"filter-l1": 0.5, "slimming": 0.3, "taylor": 0.35}[recipe["method"]]
    weakness += {"l1": 0.1, "lp": 0.0, "tl1": 0.05}.get(recipe.get("penalty", ""), 0.1)
    weakness += 0.3 * (rate + 1.8 - 0.5 * ratio) ** 2 + 0.25 * (1 - float(recipe["recovery_epochs"]) / 50) * ratio
    weakness += 0.002 * abs(float(recipe.get("keep_min", 25)) - 25)
    return {
        **recipe,
        "state": "complete",
        "val_accuracy": max(0.1, 0.95 - weakness * ratio**2),
        "macs": (1 - ratio) ** 1.5 * (1 + 0.2 * (recipe.get("scope") == "global")) / 1.2,
    }


def _behind() -> list[dict[str, Any]]:
    chance, rows = Sampler(SPACE, OBJECTIVES, seed=1, sampler="random"), []
    for _ in range(BEHIND):
        proposal = chance.ask()
        assert proposal is not None
        rows.append(made_up(proposal[1]))
        chance.tell(proposal[0], rows[-1])
    return rows


def _milliseconds(name: str, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Of each ask and tell, in time of the core, which other processes do not add to; the process is warm."""
    sampler = Sampler(SPACE, OBJECTIVES, seed=0, sampler=name)
    for row in rows:
        sampler.remember(row)
    taken = []
    for _ in range(ASKED + 1):
        start = time.thread_time()
        proposal = sampler.ask()
        assert proposal is not None
        asked = time.thread_time()
        made = made_up(proposal[1])
        told = time.thread_time()
        sampler.tell(proposal[0], made)
        taken.append(1e3 * (asked - start + time.thread_time() - told))
    return taken[1:]


def _ours(name: str) -> Any:
    def volume(seed: int) -> float:
        sampler, values = Sampler(SPACE, OBJECTIVES, seed=seed, sampler=name), []
        for _ in range(TRIALS):
            proposal = sampler.ask()
            assert proposal is not None
            row = made_up(proposal[1])
            sampler.tell(proposal[0], row)
            values.append([row[objective] for objective in OBJECTIVES])
        return _volume(values)

    return volume


def _optunas(seed: int) -> float:
    """Optuna's own sampler for several objectives, which sees every trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=STARTUP, multivariate=False, constant_liar=True, seed=random.Random(seed).randrange(2**32)
    )
    study, values = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler), []
    for _ in range(TRIALS):
        trial = study.ask()
        row = made_up(SPACE.suggest(trial))
        values.append([row[objective] for objective in OBJECTIVES])
        study.tell(trial, values[-1])
    return _volume(values)


def _volume(values: list[list[float]]) -> float:
    return hypervolume(np.array(values), [Scale(0.1, 1.0), Scale(1.0, 0.0)])
