"""The recipe of a row, for whoever makes its network again."""

from __future__ import annotations

from pathlib import Path

from analysis.errors import WrongInput
from analysis.schema import DENSE
from methods import catalogue
from methods.core.knobs import knob_names
from trial.course import Course
from trial.experiment import Experiment
from trial.recipe import Recipe, trial_id
from trial.rows import Row

__all__ = ["recipe_of", "said_in"]


def said_in(row: Row) -> dict[str, object]:
    """What a row says of its recipe: method and knobs, those that apply."""
    known = catalogue().get(row["method"])
    names = {"method", *knob_names(Course), *(knob_names(known) if known else ())}
    return {name: value for name, value in row.items() if name in names and value is not None}


def recipe_of(row: Row, experiment: Experiment, *, fingerprint: str, study: Path) -> Recipe:
    """The recipe of a pruned trial's row; raises WrongInput where today's code gives that another name."""
    assert row["method"] != DENSE, "the dense network has no recipe"
    trial = row["trial"]
    other = f"the row of {trial} was written by another version of prunefront, or its data or network changed"
    cure = "use the version that ran it, or run the study again"
    try:
        recipe = Recipe.parse(said_in(row), experiment, where="its row")
    except WrongInput as error:
        raise WrongInput(f"{other}: {error} ({study}); {cure}") from error
    if trial_id(recipe, experiment, fingerprint=fingerprint) != trial:
        raise WrongInput(f"{other}: the same recipe has another name now ({study}); {cure}")
    return recipe
