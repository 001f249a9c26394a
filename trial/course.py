"""The knobs of a recipe that every method has: how a cut is carried out, in which rounds, and how one recovers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from methods.core.knobs import Log, Uniform, Whole
from methods.core.method import Method
from methods.core.schedule import OneShot, Polynomial, Stepwise
from trial.quantising import Quantisation
from trial.recovery import Recovery
from trial.training import Training

__all__ = ["Apply", "Course", "accepted_applies"]

Apply = Literal["remove", "mask", "zero"]

_RECOVERY = "recovery_"


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is done with a method's cuts.

    ``apply``: channels are removed, the network thinner; or units are held at zero; or set to zero once and free
    to grow back. ``schedule``: the rounds of cutting and recovering. ``control: scratch`` trains the final
    architecture from new weights for the same total of epochs [Liu 2019, Scratch-B]. ``quantisation``: how the
    finished network is quantised, so that what is measured is the file that ships. What begins with
    ``recovery_`` stands in for that setting of the experiment's recovery.
    """

    schedule: OneShot | Stepwise | Polynomial
    apply: Apply
    control: Literal["none", "scratch"]
    quantisation: Quantisation
    recovery_epochs: Annotated[int, Whole(0, 10_000, grid=(1, 2, 5, 10))]
    recovery_rate: Annotated[float, Log(1e-9, 1e30, grid=(0.005, 0.01, 0.02, 0.05, 0.1))]
    recovery_schedule: Literal["one-cycle", "cosine", "step", "constant", "original"]
    recovery_label_smoothing: Annotated[float, Uniform(0.0, 0.95, step=0.05)]
    recovery_augment: bool
    recovery_distillation: Annotated[float, Uniform(0.0, 1.0, step=0.1)]
    recovery_recalibrate: Annotated[int, Whole(0, 10_000, grid=(0, 20))]

    @staticmethod
    def defaults(method: type[Method], recovery: Recovery) -> dict[str, Any]:
        """What a recipe does not say: one shot, the unit's own way to go, the experiment's recovery, no more."""
        said = {
            field.name: getattr(recovery, field.name.removeprefix(_RECOVERY))
            for field in fields(Course)
            if field.name.startswith(_RECOVERY)
        }
        return {
            "schedule": "one-shot",
            "apply": accepted_applies(method)[0],
            "control": "none",
            "quantisation": "none",
            **said,
        }

    def recovery(self, given: Recovery, *, dense: Training) -> Recovery:
        """The experiment's recovery with this course's settings; a rate that follows dense training is dense's."""
        said = {
            field.name.removeprefix(_RECOVERY): getattr(self, field.name)
            for field in fields(self)
            if field.name.startswith(_RECOVERY)
        }
        if self.recovery_schedule == "original":
            said["rate"] = dense.rate
        return given.model_copy(update=said)


def accepted_applies(method: type[Method]) -> tuple[Apply, ...]:
    """How a method's cut may be carried out, the usual way first: single weights cannot be removed."""
    return ("remove", "mask", "zero") if method.unit == "channel" else ("mask", "zero")
