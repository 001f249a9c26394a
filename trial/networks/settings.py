"""The ``network`` part of a spec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from analysis.errors import WrongInput
from trial.networks.catalogue import NETWORKS

__all__ = ["Network"]

_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


class Network(BaseModel):
    """Which network is pruned: one of ours by name, or a user's own by code. A plain string is a name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str | None, Field(description="One of prunefront's networks.")] = None
    width: Annotated[
        float,
        Field(
            gt=0,
            le=4,
            description="Factor on the channels of every convolution, rounded, at least 1 channel.",
        ),
    ] = 1.0
    code: Annotated[
        str | None,
        Field(description="A user's own network: package.module:function, called with classes=<int>."),
    ] = None
    weights: Annotated[
        Path | None,
        Field(description="A .safetensors file with the trained weights of `code`; dense training is skipped."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _is_one_network(self) -> Network:
        if (self.name is None) == (self.code is None):
            raise WrongInput("a network has either a name or code, one of the two")
        if self.name is not None:
            NETWORKS[self.name]
            if self.weights is not None:
                raise WrongInput("weights belong to a user's own network: give code too, and no name")
        if self.code is not None:
            if not re.fullmatch(rf"{_DOTTED}:[A-Za-z_]\w*", self.code):
                raise WrongInput(f"code is written package.module:function, got {self.code!r}")
            if self.width != 1.0:
                raise WrongInput(f"width scales prunefront's own networks, not code: leave it out, got {self.width}")
        return self
