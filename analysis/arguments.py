"""What several commands take on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import WrongInput
from analysis.object_path import path_of

__all__ = ["FOLDER", "Json", "Studies", "Study", "study_path"]

FOLDER = "A study's folder, or s3://BUCKET/STUDY or gs://BUCKET/STUDY."


def study_path(typed: str | Path) -> Path:
    """A study's folder as it is typed; click, which would take a WrongInput for its own, gets one of its errors."""
    try:
        return path_of(str(typed))
    except WrongInput as error:
        raise typer.BadParameter(str(error)) from error


Study = Annotated[Path, typer.Argument(help=FOLDER, parser=study_path, metavar="STUDY", show_default=False)]
Studies = Annotated[
    list[Path],
    typer.Argument(help=f"{FOLDER} Or several.", parser=study_path, metavar="STUDY...", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
