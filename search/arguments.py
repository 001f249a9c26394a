"""What several commands of a search take on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

__all__ = ["Setting", "Spec", "Trials", "Workers", "settings"]

Spec = Annotated[str, typer.Argument(help="A YAML file, or the name of a ready spec.", show_default=False)]
Trials = Annotated[
    int | None,
    typer.Option("--trials", help="How many trials, those of earlier runs included.", show_default=False),
]
Workers = Annotated[int | None, typer.Option("--workers", help="How many trials at once.", show_default=False)]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="path=value, such as search.sampler=random; may be repeated.", show_default=False),
]


def settings(given: Sequence[str] | None, *, trials: int | None, workers: int | None) -> list[str]:
    """--trials and --workers are --set by another name."""
    named = {"search.trials": trials, "workers": workers}
    return [*(given or []), *(f"{path}={value}" for path, value in named.items() if value is not None)]
