"""What becomes of a trial, as Optuna is told it.

- A complete trial is told its values, and per constraint how far it is from meeting it (0 or less where it does).
- A stopped one is PRUNED and told no value: accuracy after one epoch of recovery is not accuracy after sixteen. It gets
  a constraint of its own instead, ``stopped``, violated by 1 + 1 / (1 + epochs trained). So it comes after all finished
  networks that meet the constraints, and after those that miss them by less than the bound itself; among stopped ones
  those that came further come first. Without it Optuna's TPE takes stopped trials of several objectives for equally
  good, and where few trials finish, the oldest of them for the best of all. NSGA-II has complete parents alone.
- A failed trial, and one whose objective or constrained measure is missing or not finite, is told as a failure, which
  no sampler learns from.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from analysis.constraints import Constraint
from analysis.schema import measure

__all__ = ["CONSTRAINTS_BY_NAME", "Aims", "Told", "frozen_trial"]

STOPPED = "stopped"
CONSTRAINTS_BY_NAME = "constraints" in inspect.signature(optuna.create_trial).parameters
"""Since Optuna 5 a trial has constraints; before, a sampler has a function that finds them in a trial's attributes."""


@dataclass(frozen=True)
class Told:
    """How a trial ended: its values where it is complete, and its violations where it is not a failure."""

    state: TrialState
    values: tuple[float, ...] | None = None
    violations: Mapping[str, float] = field(default_factory=dict)


FAILURE = Told(TrialState.FAIL)


@dataclass(frozen=True)
class Aims:
    """What a search is for: measures to be good in, and bounds to keep."""

    objectives: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """The objectives' directions in Optuna's words."""
        return ["maximize" if measure(name).better == "higher" else "minimize" for name in self.objectives]

    def told(self, row: Mapping[str, Any] | None) -> Told:
        """What a row says; None is a trial that left no row."""
        if row is None:
            return FAILURE
        if row.get("state") == "stopped":
            return Told(TrialState.PRUNED, None, {STOPPED: 1 + 1 / (1 + (row.get("epochs") or 0))})
        values = _finite([row.get(name) for name in self.objectives])
        bounded = _finite([row.get(each.measure) for each in self.constraints])
        if row.get("state") != "complete" or values is None or bounded is None:
            return FAILURE
        violations = {
            each.measure: each.violation(value) for each, value in zip(self.constraints, bounded, strict=True)
        }
        return Told(TrialState.COMPLETE, values, violations)


def frozen_trial(
    parameters: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    told: Told,
    *,
    attributes: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A trial as Optuna keeps it; ``attributes`` are those of a sampler's own."""
    attributes = dict(attributes or {})
    constraints: dict[str, Any] = {"constraints": dict(told.violations)}
    if not CONSTRAINTS_BY_NAME:
        constraints = {}
        attributes["constraints"] = tuple(told.violations.values()) or (0.0,)
    return optuna.create_trial(
        state=told.state,
        values=told.values,
        params=dict(parameters),
        distributions=dict(distributions),
        system_attrs=attributes,
        **constraints,
    )


def _finite(values: Sequence[Any]) -> tuple[float, ...] | None:
    finite = tuple(float(value) for value in values if isinstance(value, int | float) and math.isfinite(value))
    return finite if len(finite) == len(values) else None
