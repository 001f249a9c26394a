"""A recipe: everything about method, sparsity training and recovery that decides a trial's outcome."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analysis.errors import WrongInput, nearest
from methods import catalogue, method
from methods.core.knobs import Value, flat, parse
from methods.core.method import Method
from trial.experiment import Experiment
from trial.networks import identity
from trial.training import Training

__all__ = ["Recipe", "digest", "trial_id"]


@dataclass(frozen=True)
class Recipe:
    """One way to prune a network.

    ``sparsity`` is None where the method trains no penalty; ``apply`` says how the cut is carried out: channels
    are removed, single weights masked.
    """

    method: Method
    recovery: Training
    sparsity: Training | None = None
    schedule: Literal["one-shot"] = "one-shot"

    @classmethod
    def of(cls, made: Method, experiment: Experiment) -> Recipe:
        """The recipe of a method under an experiment's training settings."""
        sparsity = experiment.sparsity if made.sparsifier is not None else None
        return cls(made, recovery=experiment.recovery, sparsity=sparsity)

    @classmethod
    def parse(cls, given: Mapping[str, object], experiment: Experiment, *, where: str) -> Recipe:
        """Make a recipe from flat settings: ``method`` and its knobs, one level deep, as a row holds them.

        Raises WrongInput that names the setting, its place under ``where``, and what is accepted.
        """
        if "method" not in given:
            raise WrongInput(f"method is missing: {nearest('', catalogue())} ({where}: method)")
        name = str(given["method"])
        owner = method(name, where=f"{where}: method")
        settings = {knob: value for knob, value in given.items() if knob != "method"}
        return cls.of(parse(owner, settings, what=name, where=f"{where}: {name}"), experiment)

    @property
    def apply(self) -> Literal["remove", "mask"]:
        """How the cut is carried out."""
        return "remove" if self.method.unit == "channel" else "mask"

    def knobs(self) -> dict[str, Value]:
        """``method`` and its knobs, flat: what ``parse`` takes and a row's columns hold."""
        return {"method": self.method.name(), **flat(self.method)}

    def columns(self) -> dict[str, Value]:
        """The recipe group of a row."""
        return {
            **self.knobs(),
            "schedule": self.schedule,
            "rounds": 1,
            "recovery_epochs": self.recovery.epochs,
            "apply": self.apply,
        }

    def identity(self) -> dict[str, Any]:
        """Everything that tells this recipe from another, ready for JSON."""
        return {
            **self.columns(),
            "recovery": self.recovery.model_dump(mode="json"),
            "sparsity": self.sparsity.model_dump(mode="json") if self.sparsity else None,
        }


def digest(identity: object) -> str:
    """SHA-256, 64 hex digits, of anything JSON can hold, whatever the order of its keys."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def trial_id(recipe: Recipe | None, experiment: Experiment, *, fingerprint: str) -> str:
    """The trial's name, 16 hex digits: recipe, network with its dense training, data and seed; None is dense.

    Equal on every machine, so that a trial with a row is never run again.
    """
    return digest(
        {
            "recipe": recipe.identity() if recipe else "dense",
            "network": identity(experiment.network),
            "dense": experiment.dense.model_dump(mode="json"),
            "data": fingerprint,
            "seed": experiment.seed,
        }
    )[:16]
