"""The ``network`` part of a spec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from analysis.errors import WrongInput
from trial.networks.catalogue import NETWORKS, has_scales
from trial.networks.pretrained import PRETRAINED

__all__ = ["Network"]

_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


class Network(BaseModel):
    """Which network is pruned: one of ours by name, or a user's own by code. A plain string is a name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str | None, Field(description="One of prunefront's networks.")] = None
    width: Annotated[
        float,
        Field(
            gt=0,
            le=4,
            description="Factor on the channels of every convolution, rounded, at least 1 channel; "
            "vgg16's hidden linear layers too.",
        ),
    ] = 1.0
    code: Annotated[
        str | None,
        Field(description="A user's own network: package.module:function, called with classes=<int>."),
    ] = None
    weights: Annotated[
        Literal["imagenet"] | Path | None,
        Field(
            description="A .safetensors file with all trained weights, dense training is then skipped; or imagenet: "
            "dense training starts from torchvision's weights.",
        ),
    ] = None
    freeze: Annotated[
        Literal["none", "dense", "always"],
        Field(
            description="Whether only the layers that are new on top of pretrained ones train: in dense training, or "
            "always. What `control: scratch` draws anew trains as a whole.",
        ),
    ] = "none"
    scales: Annotated[
        float, Field(gt=0, description="The first value of every batch-norm scale of prunefront's own networks.")
    ] = 1.0

    @property
    def called(self) -> str:
        """The network's name, or its code, which stands for it."""
        called = self.name or self.code
        assert called is not None, "a network has a name or code"
        return called

    @property
    def weights_file(self) -> Path | None:
        """The file with all trained weights, where there is one: the network comes trained."""
        return self.weights if isinstance(self.weights, Path) else None

    @field_validator("weights", mode="before")
    @classmethod
    def _weights_are_text(cls, given: Any) -> Any:
        if given is None or (isinstance(given, str | Path) and str(given).strip()):
            return given
        raise WrongInput(f"weights must be imagenet or the path of a .safetensors file, got {given!r}")

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
        if self.code is not None:
            if not re.fullmatch(rf"{_DOTTED}:[A-Za-z_]\w*", self.code):
                raise WrongInput(f"code is written package.module:function, got {self.code!r}")
            if self.width != 1.0:
                raise WrongInput(f"width scales prunefront's own networks, not code: leave it out, got {self.width}")
        self._check_weights()
        return self

    def _check_weights(self) -> None:
        called, pretrained = self.name or self.code, PRETRAINED.names()
        if self.weights == "imagenet":
            if self.name not in pretrained:
                raise WrongInput(
                    f"weights: imagenet is there for {', '.join(pretrained)}, not for {called}: "
                    "give a .safetensors file, or leave weights out"
                )
            if self.width != 1.0:
                raise WrongInput(f"weights: imagenet fits width 1, got {self.width}: leave out width, or weights")
        if self.freeze != "none":
            if self.name not in pretrained:
                raise WrongInput(
                    f"freeze needs layers on top of pretrained ones, as {', '.join(pretrained)} has; {called} has none"
                )
            if self.weights is None:
                raise WrongInput(
                    f"freeze: {self.freeze} would keep random layers: give weights too, imagenet or a file"
                )
            if self.freeze == "dense" and self.weights_file is not None:
                raise WrongInput(
                    "freeze: dense has nothing to keep where a weights file takes the place of dense training: "
                    "say always, or leave it out"
                )
        if self.scales != 1.0:
            if self.name is None:
                raise WrongInput(f"scales start prunefront's own networks, not code: leave them out, got {self.scales}")
            if not has_scales(self.name):
                raise WrongInput(
                    f"scales are batch norm's, and {self.name} has none: leave them out, got {self.scales}"
                )
