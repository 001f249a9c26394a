"""What every trial of a study has in common: network, data, training settings, seed and numerics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from analysis.errors import WrongInput, nearest
from analysis.schema import TIMED
from trial.data import Data
from trial.networks import Network
from trial.numerics import Numerics
from trial.recovery import Recovery
from trial.training import Training

__all__ = ["Experiment", "explain"]


class Experiment(BaseModel):
    """The part of a spec that one trial needs besides its recipe's method."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Network
    data: Data
    dense: Training = Field(Training(epochs=20), description="training of the unpruned network")
    sparsity: Training = Field(
        Training(epochs=5, rate=0.02), description="training with a penalty, from the dense network on"
    )
    recovery: Recovery = Field(Recovery(epochs=5, rate=0.02), description="training after each cut, or none")
    seed: int = Field(0, ge=0, le=2**62, description="decides initial weights, order of images, random cuts")
    numerics: Numerics = Field(Numerics(), description="precision and threads")
    checkpoint_every: int = Field(
        20, ge=1, le=10_000, description="epochs of any training that a killed worker loses at most"
    )
    latency: tuple[str, ...] = Field(
        (),
        description="measures of time that each trial takes, alone on the machine, such as latency_ms; those that are "
        "objectives are added",
    )

    @field_validator("dense", "sparsity", "recovery", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any, info: ValidationInfo) -> Any:
        """What a section leaves out is that section's default, not the default of training in general."""
        if given == "none" and info.field_name == "recovery":
            given = {"epochs": 0}
        if not isinstance(given, dict) or info.field_name is None:
            return given
        return {**cls.model_fields[info.field_name].default.model_dump(), **given}

    @field_validator("latency", mode="before")
    @classmethod
    def _measures_of_time(cls, given: Any) -> Any:
        """Names of measures; true and false are how studies said torch_latency_ms when there was no other."""
        if isinstance(given, bool):
            return ("torch_latency_ms",) * given
        named = given if isinstance(given, list | tuple) else (given,)
        unknown = next((name for name in named if name not in TIMED), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is not a measure of time: {nearest(str(unknown), TIMED)}")
        return tuple(dict.fromkeys(named))

    @classmethod
    def parse(cls, given: dict[str, Any], *, where: str | Path) -> Any:
        """Validate a mapping; raises WrongInput that names the first mistake, its place and what is accepted."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise WrongInput(explain(error, cls, where=where)) from None


def explain(error: ValidationError, model: type[BaseModel], *, where: str | Path) -> str:
    """The first mistake of a validation in one line: what, where in the file, what is accepted."""
    mistakes = error.errors(include_url=False)
    # A misspelt key also leaves the key it meant missing: the misspelling is the mistake.
    first = next((mistake for mistake in mistakes if mistake["type"] == "extra_forbidden"), mistakes[0])
    # An entry of a list has a number and no name.
    name = next((part for part in reversed(first["loc"]) if isinstance(part, str)), "the file")
    place = f"{where}: {'.'.join(str(part) for part in first['loc'])}"
    if first["type"] == "extra_forbidden":
        parent: Any = model
        for part in first["loc"][:-1]:
            fields = getattr(parent, "model_fields", {})
            parent = fields[part].annotation if part in fields else parent
        accepted = list(getattr(parent, "model_fields", {}))
        return f"{name!r} is not a setting: {nearest(name, accepted)} ({place})"
    if first["type"] == "missing":
        return f"{name} is missing ({place})"
    message = first["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    # Our own messages say what was given, pydantic's do not.
    said = first["type"] == "value_error" or isinstance(first["input"], dict | BaseModel)
    given = "" if said else f", got {first['input']!r}"
    return f"{name}: {message[0].lower()}{message[1:]}{given} ({place})"
