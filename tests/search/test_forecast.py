"""What a search will train, counted beforehand: beside what it then trains, and beside sums by hand."""

from pathlib import Path
from typing import Any

import pytest

from search.forecast import Work, forecast, hours
from search.spec import Spec
from tests.trial.tiny import NETWORK
from trial.recipe import Recipe
from trial.workbench import Workbench


def spec_of(methods: Any, *, trials: int = 1000, recipe: Any = None, **further: Any) -> Spec:
    given = {
        "network": NETWORK,
        "data": {"name": "digits", "images": 80, "validation": 20},
        "dense": {"epochs": 1, "batch": 16},
        "sparsity": {"epochs": 2, "batch": 16},
        "recovery": {"epochs": 3, "batch": 16},
        "search": {"methods": methods, "recipe": recipe or {}, "trials": trials},
        **further,
    }
    spec: Spec = Spec.parse(given, where="spec.yaml")
    return spec


SLIMMING = {"ratio": [0.25, 0.5], "penalty": {"l1": {"lambda": [1e-4, 1e-3]}, "tl1": {"lambda": 1e-3, "a": [0.5, 1]}}}


def test_a_countable_space_within_budget_is_summed_exactly() -> None:
    known = forecast(spec_of({"filter-l1": {"ratio": [0.2, 0.4, 0.6]}, "slimming": SLIMMING}))
    assert known.is_exact
    assert (known.dense, known.sparsity) == (Work(1, 1), Work(4, 8))
    assert (known.cuts, known.recovery) == (3 + 8, Work(11, 33))
    assert known.scratch == Work()


def test_recoveries_at_a_constant_rate_lie_on_one_anothers_way() -> None:
    for schedule, epochs in (("constant", 7), ("cosine", 2 + 5 + 7)):
        known = forecast(
            spec_of({"filter-l1": {"ratio": 0.4}}, recipe={"recovery_epochs": [2, 5, 7], "recovery_schedule": schedule})
        )
        assert (known.cuts, known.recovery) == (1, Work(3, epochs))


def test_rounds_share_their_first_cuts() -> None:
    # .2 in two rounds is .1 and .2; .4 in four is .1, .2, .3, .4: the first two are the same networks.
    known = forecast(
        spec_of({"filter-l1": {"ratio": [0.2, 0.4], "schedule": {"stepwise": {"rounds": [2, 4]}}}}, trials=4)
    )
    by_hand = {("1/10",), ("1/10", "1/5"), ("1/20",), ("1/20", "1/10"), ("1/20", "1/10", "3/20")}
    by_hand |= {("1/20", "1/10", "3/20", "1/5"), ("1/5",), ("1/5", "2/5")}
    by_hand |= {("1/10", "1/5", "3/10"), ("1/10", "1/5", "3/10", "2/5")}
    assert known.cuts == len(by_hand)
    # Where .2 in two rounds ends, .4 in four goes on with the optimiser's momentum: a stage of its own.
    assert known.recovery == Work(len(by_hand) + 1, 3 * (len(by_hand) + 1))


def test_a_control_trains_from_scratch_for_all_epochs_together() -> None:
    known = forecast(spec_of({"slimming": {**SLIMMING, "control": ["none", "scratch"]}}))
    assert known.scratch == Work(8, 8 * (1 + 2 + 3))
    assert known.recovery == Work(8, 24)


@pytest.mark.parametrize(
    ("methods", "trials"),
    [
        ({"filter-l1": {"ratio": {"uniform": [0.1, 0.9]}, "recovery_epochs": [1, 4]}}, 10),
        ({"slimming": {**SLIMMING, "schedule": {"polynomial": {"rounds": 3, "initial": [0, 0.2]}}}}, 5),
        ({"slimming": {**SLIMMING, "control": "scratch", "schedule": {"stepwise": {"rounds": [2, 3]}}}}, 3),
        ({"magnitude-global": {"ratio": {"log": [0.1, 0.9]}}}, 7),
    ],
)
def test_what_is_beyond_the_budget_is_bounded(methods: Any, trials: int) -> None:
    spec = spec_of(methods, trials=trials)
    bound = forecast(spec)
    assert not bound.is_exact
    # No choice of recipes can need more: the costliest alone, each as if it shared nothing.
    size = spec.space.size or 1
    for start in range(0, size, trials):
        chosen = [spec.space.at(index) for index in range(start, min(start + trials, size))] if spec.space.size else []
        recipes = [Recipe.parse(flat, spec.experiment(), where="test") for flat in chosen]
        epochs = sum(len(recipe.ratios) * recipe.recovery.epochs for recipe in recipes)
        assert sum(len(recipe.ratios) for recipe in recipes) <= bound.cuts
        last = sum(recipe.recovery.epochs for recipe in recipes if recipe.course.control == "scratch")
        assert epochs - last <= bound.recovery.epochs
    assert bound.sparsity.trainings <= trials


def test_weights_that_are_given_are_not_trained(tmp_path: Path) -> None:
    network = {"name": "seed-cnn", "weights": str(tmp_path / "w.safetensors")}
    assert forecast(spec_of({"filter-l1": {"ratio": 0.4}}, network=network)).dense == Work()


def test_recipes_that_cannot_be_are_told() -> None:
    known = forecast(
        spec_of({"filter-l1": {"ratio": [0.2, 0.4], "apply": ["remove", "zero"], "control": ["none", "scratch"]}})
    )
    assert len(known.refused) == 2
    assert "control: apply zero leaves no smaller network" in known.refused[0]


def test_hours_are_epochs_times_the_seconds_of_one() -> None:
    known = forecast(spec_of({"slimming": {**SLIMMING, "control": ["none", "scratch"]}}))
    assert hours(known, dense=3600, later=7200) == {
        "dense": 1,
        "sparsity training": 16,
        "recovery": 48,
        "from scratch": 48,
    }


def test_a_search_trains_what_was_forecast(tmp_path: Path) -> None:
    """Every recipe of a small space, run: epochs that were executed are those that were summed up."""
    spec = spec_of(
        {
            "filter-l1": {"ratio": [0.25, 0.5], "schedule": {"one-shot": "any", "stepwise": {"rounds": 2}}},
            "slimming": {"ratio": 0.5, "penalty": {"l1": {"lambda": 1e-3}}, "control": ["none", "scratch"]},
        },
        recipe={"recovery_epochs": [1, 2], "recovery_schedule": "constant"},
        data={"name": "digits", "images": 40, "validation": 10},
    )
    known = forecast(spec)
    workbench = Workbench(spec.experiment(), tmp_path / "study", study_name="study", worker="here")
    rows = [workbench.dense()]
    for flat in spec.space.recipes():
        rows.append(workbench.run(Recipe.parse(flat, spec.experiment(), where="test")))
    assert {row["state"] for row in rows} == {"complete"}
    executed = sum(row["epochs"] - row["epochs_reused"] for row in rows)
    assert executed == known.dense.epochs + known.sparsity.epochs + known.recovery.epochs + known.scratch.epochs
