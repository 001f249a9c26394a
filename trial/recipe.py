"""A recipe: everything about method, sparsity training and recovery that decides a trial's outcome."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import methods
from analysis.errors import WrongInput, nearest
from analysis.schema import Kind
from methods import catalogue, method
from methods.core.knobs import Value, column_kinds, flat, knob_names, parse
from methods.core.method import Method
from trial.course import Course, accepted_applies
from trial.experiment import Experiment
from trial.networks import identity
from trial.recovery import Recovery
from trial.training import Training

__all__ = ["Recipe", "columns", "digest", "trial_id"]


@dataclass(frozen=True)
class Recipe:
    """One way to prune a network.

    ``course`` says what is done with the method's cuts; ``recovery`` is the training after each of them, its
    settings those of the course. ``sparsity`` is None where the method trains no penalty.
    """

    method: Method
    course: Course
    recovery: Recovery
    sparsity: Training | None = None

    @classmethod
    def parse(cls, given: Mapping[str, object], experiment: Experiment, *, where: str) -> Recipe:
        """Make a recipe from flat settings: ``method`` and knobs, its own and the course's, as a row holds them.

        Raises WrongInput that names the setting, its place under ``where``, and what is accepted.
        """
        if "method" not in given:
            raise WrongInput(f"method is missing: {nearest('', catalogue())} ({where}: method)")
        name = str(given["method"])
        owner = method(name, where=f"{where}: method")
        place = f"{where}: {name}"
        own, shared = knob_names(owner), knob_names(Course)
        for knob in given:
            if knob not in {"method", *own, *shared}:
                accepted = nearest(knob, [*own, *shared])
                raise WrongInput(f"{name} has no knob {knob!r}: {accepted} ({place}.{knob})")
        settings = {knob: value for knob, value in given.items() if knob in own}
        made: Method = parse(owner, settings, what=name, where=place)
        said = {knob: value for knob, value in given.items() if knob in shared}
        return cls.of(made, experiment, said, where=place)

    @classmethod
    def of(
        cls, made: Method, experiment: Experiment, said: Mapping[str, object] | None = None, *, where: str = "recipe"
    ) -> Recipe:
        """The recipe of a method under an experiment's settings; ``said`` are knobs of the course, flat."""
        name = made.name()
        settings = Course.defaults(type(made), experiment.recovery) | dict(said or {})
        applies = accepted_applies(type(made))
        if settings["apply"] not in applies:
            why = ": single weights cannot be removed" if settings["apply"] == "remove" else ""
            raise WrongInput(
                f"apply got {settings['apply']!r}{why}; {name} accepts {', '.join(applies)} ({where}.apply)"
            )
        if settings["schedule"] == "one-shot" and {"rounds", "initial"} & settings.keys():
            raise WrongInput(
                f"rounds and initial belong to a schedule: say schedule: stepwise or polynomial too ({where}.schedule)"
            )
        if settings["quantisation"] == "none" and "calibration_images" in settings:
            raise WrongInput(f"calibration_images needs quantisation: static-int8: say that too ({where}.quantisation)")
        course: Course = parse(Course, settings, what=name, where=where)
        if course.apply == "zero" and course.control == "scratch":
            raise WrongInput(f"control: apply zero leaves no smaller network to train from scratch ({where}.control)")
        rate = experiment.dense.rate
        if course.recovery_schedule == "original" and "recovery_rate" in (said or {}) and course.recovery_rate != rate:
            raise WrongInput(
                f"recovery_rate: the original schedule has dense training's rate, {rate:g}, got "
                f"{course.recovery_rate:g}: leave it out ({where}.recovery_rate)"
            )
        recovery = course.recovery(experiment.recovery, dense=experiment.dense)
        sparsity = experiment.sparsity if made.sparsifier is not None else None
        return cls(made, replace(course, recovery_rate=recovery.rate), recovery=recovery, sparsity=sparsity)

    @property
    def ratios(self) -> tuple[Fraction, ...]:
        """The ratio of each round; where a method knows none, so many zeros, which it does not look at."""
        return self.course.schedule.ratios(self.method.target or 0.0)

    @property
    def parent(self) -> str | None:
        """Names the network that the method cuts first, 64 hex digits, shared by recipes; None is the dense one."""
        penalty = self.method.sparsifier
        if penalty is None or self.sparsity is None:
            return None
        return digest({"penalty": type(penalty).__name__, **flat(penalty), "training": self.sparsity.model_dump()})

    def knobs(self) -> dict[str, Value]:
        """``method`` and its own knobs, flat."""
        return {"method": self.method.name(), **flat(self.method)}

    def columns(self) -> dict[str, Value]:
        """The recipe group of a row, which ``parse`` takes."""
        return {**self.knobs(), **flat(self.course)}

    def identity(self) -> dict[str, Any]:
        """Everything that tells this recipe from another, ready for JSON.

        A network that is not quantised has the name that it had before there was any quantisation.
        """
        told = self.columns()
        if told["quantisation"] == "none":
            del told["quantisation"]
        return {
            **told,
            "recovery": self.recovery.model_dump(mode="json"),
            "sparsity": self.sparsity.model_dump(mode="json") if self.sparsity else None,
        }


def columns() -> dict[str, Kind]:
    """The columns of a recipe: the knobs of every method and of the course, name → kind."""
    return methods.columns() | column_kinds([Course])


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
