from itertools import islice
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import WrongInput
from methods import catalogue
from search.ranges import tidy
from search.space import Space
from tests.search.spaces import methods_of_specs
from trial.experiment import Experiment
from trial.recipe import Recipe, columns

DEMO = {
    "filter-l1": {"ratio": {"uniform": [0.1, 0.9]}, "scope": ["layer", "global"]},
    "slimming": {
        "ratio": [0.3, 0.6],
        "penalty": {"l1": {"lambda": [1e-4, 1e-3]}, "lp": {"lambda": 1e-4, "p": "any"}, "tl1": "any"},
    },
}
EXPERIMENT = Experiment.parse({"network": "seed-cnn", "data": "digits"}, where="spec.yaml")


def space(said: object) -> Space:
    return Space.parse(said, where="spec.yaml: search.methods")


def suggested(space: Space, count: int, seed: int = 0) -> list[tuple[optuna.Trial, dict[str, Any]]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(count)]
    return [(trial, space.suggest(trial)) for trial in trials]


def is_recipe(recipe: dict[str, Any]) -> bool:
    Recipe.parse(recipe, EXPERIMENT, where="test")
    return True


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@given(methods_of_specs(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_suggestion_is_a_recipe_and_is_found_again_in_its_row(said: Any, seed: int) -> None:
    searched = space(said)
    for trial, recipe in suggested(searched, 3, seed):
        assert is_recipe(recipe)
        traced = searched.trace({**dict.fromkeys(columns()), **recipe, "state": "complete"})
        assert traced is not None
        assert traced[0] == recipe
        assert traced[1].keys() == trial.params.keys()
        for name, value in traced[1].items():
            # A suggestion is rounded, a listed value is not.
            assert value == trial.params[name] or value == tidy(trial.params[name])
        assert traced[2] == trial.distributions
        optuna.create_trial(state=optuna.trial.TrialState.FAIL, params=traced[1], distributions=traced[2])


@given(methods_of_specs())
@settings(max_examples=60, deadline=None)
def test_a_space_reads_back_as_it_is_written(said: Any) -> None:
    searched = space(said)
    assert space(searched.written()) == searched


@given(methods_of_specs(countable=True))
@settings(max_examples=40, deadline=None)
def test_the_size_counts_the_recipes_and_no_two_are_equal(said: Any) -> None:
    searched = space(said)
    assert searched.size is not None
    if searched.size <= 3000:
        listed = {tuple(sorted(recipe.items())) for recipe in searched.recipes()}
        assert len(listed) == searched.size
    for recipe in islice(searched.recipes(), 20):
        assert is_recipe(recipe)
        assert searched.trace(recipe) is not None


def test_the_size_is_that_of_a_count_by_hand() -> None:
    assert space(DEMO).size == 81 * 2 + 2 * (2 + 3 + 4 * 2)
    assert space(DEMO).parents == 2 + 3 + 4 * 2
    assert space({"slimming": {"ratio": 0.5, "penalty": {"l1": {"lambda": {"log": [1e-4, 1e-2]}}}}}).size is None
    assert space({"filter-l1": {"ratio": {"log": [0.1, 0.9]}}}).parents == 0


def test_any_is_the_whole_catalogue_with_defaults_kept() -> None:
    searched = space("any")
    assert set(searched.methods.options) == set(catalogue())
    assert set(searched.methods.options["filter-l1"].knobs) == {"ratio"}
    assert searched == space(list(catalogue()))


def test_steps_are_the_decimals_that_were_written() -> None:
    ratios = [
        recipe["ratio"] for recipe in space({"filter-l1": {"ratio": {"uniform": [0, 0.95], "step": 0.05}}}).recipes()
    ]
    assert ratios == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85,
                      0.9, 0.95]  # fmt: skip


def test_optuna_knows_a_knob_by_its_path() -> None:
    names = {name for trial, _ in suggested(space(DEMO), 60) for name in trial.params}
    assert names == {
        "method",
        "filter-l1.ratio",
        "filter-l1.scope",
        "slimming.ratio",
        "slimming.penalty",
        "slimming.l1.lambda",
        "slimming.lp.lambda",
        "slimming.lp.p",
        "slimming.tl1.lambda",
        "slimming.tl1.a",
    }


def test_a_row_outside_the_space_is_not_traced() -> None:
    inside = {"method": "filter-l1", "ratio": 0.5, "scope": "layer"}
    assert space(DEMO).trace(inside) is not None
    for other in (
        {"method": "dense"},
        {"method": "random-channels", "ratio": 0.5},
        inside | {"ratio": 0.95},
        inside | {"ratio": 0.505},
        inside | {"ratio": None},
        inside | {"ratio": True},
        {"method": "slimming", "ratio": 0.3, "penalty": "lp", "lambda": 1e-3, "p": 0.5},
    ):
        assert space(DEMO).trace(other) is None, other


RANGE = r"\[0, 0.95\]"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"filter-l1": {"ratio": 1.7}}, rf"^ratio must lie in {RANGE}, got 1.7 \(spec.yaml: .*\.filter-l1.ratio\)$"),
        ({"filter-l1": {"ratio": [0.1, 1.7]}}, rf"ratio must lie in {RANGE}, got 1.7 "),
        ({"filter-l1": {"ratio": {"uniform": [0.1, 1.7]}}}, rf"{RANGE}, got 1.7 .*filter-l1.ratio.uniform\)"),
        ({"filter-l1": {"ratio": {"uniform": [0.9, 0.1]}}}, r"lower to a higher end, got \[0.9, 0.1\]"),
        ({"filter-l1": {"ratio": {"uniform": 0.5}}}, r"two ends, \[low, high\], got 0.5"),
        ({"filter-l1": {"ratio": {"log": [0, 0.5]}}}, r"a log range starts above 0, got \[0, 0.5\]"),
        ({"filter-l1": {"ratio": {"unifrom": [0, 0.5]}}}, "'unifrom' is not a range: did you mean uniform"),
        ({"filter-l1": {"ratio": {"uniform": [0, 0.5], "step": 0}}}, r"step must lie in \[5e-07, 0.5\], got 0"),
        ({"filter-l1": {"ratio": "half"}}, rf"ratio must be a number in {RANGE}, got 'half'"),
        ({"filter-l1": {"ratio": []}}, "at least one value"),
        ({"filter-l1": {"ratio": None}}, "ratio has no value: .*, or any"),
        ({"filter-l1": {"ratio": True}}, "ratio must be a number"),
        ({"filter-l1": {}}, rf"filter-l1 needs ratio: {RANGE}, or any for the whole range \(.*filter-l1.ratio\)"),
        ({"filter-l1": None}, "filter-l1 needs ratio"),
        ({"filter-l1": {"ratio": 0.5, "skope": "layer"}}, "no knob 'skope': did you mean scope"),
        ({"filter-l1": {"ratio": 0.5, "scope": "globl"}}, "scope got 'globl': did you mean global"),
        ({"filter_l1": {"ratio": 0.5}}, r"'filter_l1' is not a method: did you mean filter-l1"),
        ({"slimming": {"ratio": 0.5}}, "slimming needs penalty: l1"),
        ({"slimming": {"ratio": 0.5, "penalty": {"l1": {}}}}, r"penalty l1 needs lambda: .*penalty.l1.lambda\)"),
        ({"slimming": {"ratio": 0.5, "penalty": {"l2": "any"}}}, "penalty got 'l2': accepted: l1"),
        ({"slimming": {"ratio": 0.5, "lambda": 1e-4}}, r"an option, as in penalty: \{l1: \{lambda: any\}\}"),
        ({"filter-l1": {"ratio": 0.5, "keep_min": {"uniform": [1, 4], "step": 2}}}, "keep_min is a whole number"),
        ([], "methods takes names, a mapping"),
        (3, "methods takes names, a mapping"),
        ({"filter-l1": 0.5}, "filter-l1 takes a mapping of its knobs, or any, got 0.5"),
    ],
)  # fmt: skip
def test_a_mistake_names_what_where_and_what_is_accepted(said: object, message: str) -> None:
    with pytest.raises(WrongInput, match=message) as raised:
        space(said)
    assert "(spec.yaml: search.methods" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_recipe_for_all_methods_stands_in_where_a_method_says_nothing() -> None:
    shared = {"schedule": {"stepwise": {"rounds": [2, 5]}}, "apply": "mask"}
    methods = {"filter-l1": {"ratio": 0.5, "apply": ["remove", "zero"]}, "magnitude-global": {"ratio": [0.5, 0.9]}}
    searched = Space.parse(methods, where="spec.yaml: search.methods", recipe=shared)
    assert [(r["method"], r["apply"], r["rounds"]) for r in searched.recipes()] == [
        ("filter-l1", "remove", 2), ("filter-l1", "remove", 5), ("filter-l1", "zero", 2), ("filter-l1", "zero", 5),
        *[("magnitude-global", "mask", rounds) for _ in (0.5, 0.9) for rounds in (2, 5)],
    ]  # fmt: skip
    assert Space.parse(searched.written(), where="spec.yaml") == searched
    with pytest.raises(WrongInput, match=r"magnitude-global: apply got 'remove': accepted: mask, zero"):
        Space.parse(methods, where="spec.yaml: search.methods", recipe={"apply": ["remove", "mask"]})
    with pytest.raises(WrongInput, match=r"recipe has no knob 'aply': did you mean apply.* .search.recipe.aply"):
        Space.parse(methods, where="spec.yaml: search.methods", recipe={"aply": "mask"})
    for odd in ([], "any", 3):
        with pytest.raises(WrongInput, match=r"recipe takes a mapping of knobs, got .* .search.recipe"):
            Space.parse(methods, where="spec.yaml: search.methods", recipe=odd)
    rates = {"recovery_rate": [0.01, 0.02], "recovery_schedule": ["original", "constant"]}
    with pytest.raises(
        WrongInput, match=r"the original schedule has dense training's rate: leave recovery_rate or original out"
    ):
        Space.parse(methods, where="spec.yaml: search.methods", recipe=rates)


def test_layers_to_spare_are_one_list_or_several() -> None:
    def spared(said: object) -> list[object]:
        return [recipe["spare"] for recipe in space({"filter-l1": {"ratio": 0.5, "spare": said}}).recipes()]

    assert spared("features.0") == ["features.0"]
    assert spared(["features.0", "classifier*"]) == ["features.0 classifier*"]
    assert spared([[], ["features.0"], ["features.0", "features.3"]]) == ["", "features.0", "features.0 features.3"]
    with pytest.raises(WrongInput, match="spare must be a list of layer names or patterns"):
        spared(3)
    with pytest.raises(WrongInput, match=r"spare is a list of layer names"):
        spared({"uniform": [0, 1]})
