"""The ``data`` part of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from analysis.errors import WrongInput
from trial.data.source import SOURCES, Augmentation

__all__ = ["Data"]


class Data(BaseModel):
    """Which images a search trains and validates on. A plain string is a name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(description="The data set; parquet and image-folder are folders of one's own.")]
    folder: Annotated[Path | None, Field(description="Where the data set's files lie.")] = None
    label: Annotated[
        str | None,
        Field(description="The Parquet column of labels; left out, label, labels or fine_label."),
    ] = None
    size: Annotated[
        int | None,
        Field(
            ge=8,
            le=256,
            strict=True,
            description="Make every image RGB of size×size pixels (bicubic); left out, it must be so with size 32.",
        ),
    ] = None
    classes: Annotated[
        tuple[str | int, ...] | None,
        Field(description="Use only these classes, by name or number; labels are renumbered in this order."),
    ] = None
    validation: Annotated[
        int | float,
        Field(description="Images held out of the training set, equally per class: a count ≥ 1 or a share in (0, 1)."),
    ] = 0.1
    images: Annotated[
        int | None,
        Field(
            ge=2,
            description="Use only so many training images, equally per class; validation is taken from them.",
        ),
    ] = None
    download: Annotated[bool, Field(description="Fetch the files where they are missing.")] = False
    augment: Annotated[
        tuple[Augmentation, ...] | None,
        Field(description="Changes of training images; left out, those that suit the data set, written in full."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _in_full(cls, given: Any) -> Any:
        given = {"name": given} if isinstance(given, str) else given
        # A frozen spec must not change its meaning when a data set's own augmentation does.
        if isinstance(given, dict) and given.get("augment") is None and isinstance(given.get("name"), str):
            return {**given, "augment": SOURCES[given["name"]].augment}
        return given

    @field_validator("validation", mode="before")
    @classmethod
    def _is_count_or_share(cls, given: Any) -> Any:
        # To Python true is 1, and one validation image is not what it says.
        is_count = isinstance(given, int) and not isinstance(given, bool) and given >= 1
        if is_count or (isinstance(given, float) and 0 < given < 1):
            return given
        raise WrongInput(f"validation must be a count of at least 1 or a share in (0, 1), got {given!r}")

    @field_validator("classes", mode="before")
    @classmethod
    def _are_names_or_numbers(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            if given is None:
                return None
            raise WrongInput(f"classes must be a list of names or numbers such as [cat, dog], got {given!r}")
        for each in given:
            # YAML reads yes and no as true and false.
            if not isinstance(each, str | int) or isinstance(each, bool):
                raise WrongInput(f"each class must be a name (in quotes) or a number from 0, got {each!r}")
        if len(given) < 2:
            raise WrongInput(f"classes must be at least two, got {list(given)}")
        return given

    @model_validator(mode="after")
    def _source_has_such_files(self) -> Data:
        source = SOURCES[self.name]
        if self.folder is not None and not source.takes_folder:
            raise WrongInput(f"{self.name} comes with prunefront and has no folder, got folder {self.folder}")
        if self.label is not None and not source.takes_label:
            raise WrongInput(f"label names a column of parquet; {self.name} has its own labels, got {self.label!r}")
        if self.download and not source.downloads:
            raise WrongInput(f"{self.name} cannot be downloaded: leave download out")
        return self
