import math
import random
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from analysis.constraints import parse as parse_constraints
from search.best import best
from search.model import GENERATION, KINDS
from search.sampler import SAMPLERS, Sampler
from search.space import Space
from search.told import Aims

OBJECTIVES = ("val_accuracy", "macs")
SMALL = Space.parse(
    {"filter-l1": {"ratio": [0.1, 0.2, 0.3], "scope": "any"}, "random-channels": {"ratio": 0.5}}, where=""
)
LARGE = Space.parse("any", where="")


def row(recipe: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """What a trial would give: the more is cut, the worse and the cheaper."""
    ratio = recipe.get("ratio", recipe.get("q", 0.0) / 3)  # the rules by deviation know no ratio
    return {**recipe, "state": "complete", "val_accuracy": 1 - ratio**3, "macs": 1e6 * (1 - ratio), **changed}


def all_of(sampler: Sampler, count: int) -> list[dict[str, Any]]:
    asked = []
    for _ in range(count):
        proposal = sampler.ask()
        if proposal is None:
            break
        asked.append(proposal[1])
        sampler.tell(proposal[0], row(proposal[1]))
    return asked


def seen(sampler: Sampler) -> list[optuna.trial.FrozenTrial]:
    """What Optuna's sampler is shown when it is asked next."""
    assert sampler._model is not None
    return sampler._model._shown()


def ended(sampler: Sampler) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in seen(sampler) if trial.state.is_finished()]


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "points"])
@pytest.mark.parametrize("seed", range(3))
def test_a_small_space_is_used_up_without_a_repeat(name: str, seed: int) -> None:
    sampler = Sampler(SMALL, OBJECTIVES, seed=seed, sampler=name)
    asked = all_of(sampler, 100)
    assert len(asked) == SMALL.size == 7
    assert len({tuple(sorted(recipe.items())) for recipe in asked}) == 7
    assert sampler.is_used_up


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_proposes_the_same_and_another_seed_does_not(name: str) -> None:
    """NSGA-II has parents from the 21st on; TPE clears its window after the 72nd."""
    first, again, other = (
        all_of(Sampler(LARGE, OBJECTIVES, seed=seed, sampler=name), 76 if name == "tpe" else 45) for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_a_grid_is_the_cross_product_in_an_order_that_the_seed_decides() -> None:
    space = Space.parse({"filter-l1": {"ratio": [0.1, 0.2, 0.3], "scope": "any", "keep_min": [1, 2]}}, where="")
    grids = [all_of(Sampler(space, OBJECTIVES, seed=seed, sampler="grid"), 20) for seed in (1, 1, 2)]
    product = [
        {"method": "filter-l1", "ratio": ratio, "scope": scope, "keep_min": keep}
        for ratio in (0.1, 0.2, 0.3)
        for scope in ("layer", "global")
        for keep in (1, 2)
    ]
    for grid in grids:
        assert sorted(grid, key=str) == sorted([{name: point[name] for name in grid[0]} for point in product], key=str)
    assert grids[0] == grids[1] != grids[2]
    assert len({recipe["ratio"] for recipe in grids[0][:4]}) == 3  # wherever it is interrupted, it lies evenly


def test_points_are_proposed_as_they_are_listed_and_a_lost_one_once_more() -> None:
    points = [SMALL.at(place) for place in (4, 0, 6)]
    sampler = Sampler(SMALL, OBJECTIVES, seed=0, sampler="points", points=points)
    assert sampler.remember(row(points[1]))
    (first, recipe), (second, other) = sampler.ask() or (0, {}), sampler.ask() or (0, {})
    assert [recipe, other] == [points[0], points[2]]
    assert sampler.is_used_up
    assert sampler.ask() is None
    sampler.tell(first, None)
    assert not sampler.is_used_up
    again = sampler.ask()
    assert again is not None
    assert again[1] == points[0]
    sampler.tell(again[0], None)
    sampler.tell(second, row(points[2]))
    assert sampler.is_used_up
    assert sampler.ask() is None


def test_proposals_that_are_under_way_are_not_proposed_again_and_count_as_bad_ones() -> None:
    sampler = Sampler(SMALL, OBJECTIVES, seed=0)
    asked = [sampler.ask() for _ in range(8)]
    assert asked[-1] is None
    recipes = [proposal[1] for proposal in asked if proposal]
    assert len({tuple(sorted(recipe.items())) for recipe in recipes}) == 7
    assert [trial.state for trial in seen(sampler)] == [TrialState.RUNNING] * 7


@pytest.mark.parametrize("name", KINDS)
def test_what_is_remembered_is_not_proposed_again(name: str) -> None:
    before = all_of(Sampler(LARGE, OBJECTIVES, seed=1), 20)
    sampler = Sampler(LARGE, OBJECTIVES, seed=1, sampler=name)
    assert all(sampler.remember(row(recipe)) for recipe in before)
    after = all_of(sampler, 20)
    assert not [recipe for recipe in after if recipe in before]


def test_another_studys_rows_teach_and_its_stopped_recipes_may_come_again() -> None:
    sampler = Sampler(SMALL, OBJECTIVES, seed=0)
    complete, stopped = SMALL.at(0), SMALL.at(1)
    assert sampler.remember(row(complete), is_own=False)
    assert sampler.remember(row(stopped, state="stopped"), is_own=False)
    assert [trial.state for trial in ended(sampler)] == [TrialState.COMPLETE, TrialState.PRUNED]
    asked = all_of(sampler, 10)
    assert stopped in asked
    assert complete not in asked


def test_a_row_outside_the_space_is_not_remembered() -> None:
    sampler = Sampler(SMALL, OBJECTIVES, seed=0)
    assert not sampler.remember(row({"method": "filter-l1", "ratio": 0.9, "scope": "layer"}))
    assert not sampler.remember({"method": "dense", "state": "complete"})
    assert seen(sampler) == []


@pytest.mark.parametrize(
    "changed",
    [{"state": "failed", "val_accuracy": None}, {"val_accuracy": math.nan}, {"macs": math.inf}, {"macs": None}, None],
)
@pytest.mark.parametrize("name", KINDS)
def test_a_failure_a_lost_worker_and_no_number_leave_nothing_behind(name: str, changed: dict[str, Any] | None) -> None:
    """Optuna's samplers learn nothing from failures, so that none is shown, and none is under way for ever."""
    sampler = Sampler(SMALL, OBJECTIVES, seed=0, sampler=name)
    proposal = sampler.ask()
    assert proposal is not None
    sampler.tell(proposal[0], None if changed is None else row(proposal[1], **changed))
    assert seen(sampler) == []
    if changed is not None:
        assert Aims(OBJECTIVES).told(row(proposal[1], **changed)).state is TrialState.FAIL
        other = Sampler(SMALL, OBJECTIVES, seed=0, sampler=name)
        assert other.remember(row(proposal[1], **changed))
        assert seen(other) == []
    assert all(each is None or each[1] != proposal[1] for each in (sampler.ask() for _ in range(7)))


def test_a_stopped_trial_is_pruned_without_values_behind_all_that_finished() -> None:
    aims = Aims(OBJECTIVES, parse_constraints({"val_accuracy": ">= .9"}, where=""))
    rows = [
        {"state": "complete", "val_accuracy": 0.95, "macs": 5.0},
        {"state": "stopped", "val_accuracy": 0.99, "macs": 1.0, "epochs": 1},
        {"state": "complete", "val_accuracy": 0.5, "macs": 1.0},
        {"state": "stopped", "val_accuracy": 0.2, "macs": 9.0, "epochs": 4},
        {"state": "complete", "val_accuracy": 0.92, "macs": 9.0},
    ]
    told = [aims.told(each) for each in rows]
    assert [each.state.name for each in told] == ["COMPLETE", "PRUNED", "COMPLETE", "PRUNED", "COMPLETE"]
    assert told[1].values is None
    order = [0, 4, 2, 3, 1]  # meets both; meets the bound; misses it; came further; came least far
    for count in range(6):
        assert best(told, count, directions=["higher", "lower"]) == set(order[:count])


def test_the_best_of_many_are_the_first_fronts() -> None:
    """A literal twin: peel the non-dominated points off, one front after another."""
    chance = random.Random(3)
    rows = [{"state": "complete", "val_accuracy": chance.random(), "macs": chance.random()} for _ in range(60)]
    told = [Aims(OBJECTIVES).told(each) for each in rows]
    left, fronts = set(range(60)), []
    while left:
        front = {
            i
            for i in left
            if not any(
                rows[j]["val_accuracy"] > rows[i]["val_accuracy"] and rows[j]["macs"] < rows[i]["macs"] for j in left
            )
        }
        fronts.append(front)
        left -= front
    whole: set[int] = set()
    for front in fronts:
        for count in range(len(whole), len(whole) + len(front)):
            assert whole <= best(told, count, directions=["higher", "lower"]) <= whole | front
        whole |= front


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_what_a_sampler_sees_is_bounded_and_holds_the_best(name: str) -> None:
    sampler = Sampler(LARGE, OBJECTIVES, seed=0, sampler=name)
    asked = all_of(sampler, 130)
    kind = KINDS[name]
    assert len(seen(sampler)) <= kind.kept + kind.fresh
    values = [(row(recipe)["val_accuracy"], -row(recipe)["macs"]) for recipe in asked]
    most_accurate = max(values)[0]
    assert sampler._model is not None
    assert most_accurate in {(each.told.values or (0,))[0] for each in sampler._model._known}


def test_what_tpe_takes_for_good_is_what_is_best() -> None:
    sampler = Sampler(LARGE, OBJECTIVES, seed=0)
    all_of(sampler, 60)
    shown = ended(sampler)
    assert sampler._model is not None
    told = [each.told for each in sampler._model._known]
    good = {place for place, trial in enumerate(shown) if trial.values == [0.0]}
    assert good == best(told, 6, directions=["higher", "lower"])


def test_nsga2_breeds_from_the_best() -> None:
    """Optuna must know our parents for its first generation: the attribute that says so is its own."""
    sampler = Sampler(LARGE, OBJECTIVES, seed=0, sampler="nsga2")
    all_of(sampler, 45)
    assert len(seen(sampler)) == 20
    model = sampler._model
    assert model is not None
    parents = {tuple(trial.params.items()) for trial in seen(sampler)}
    assert {trial.system_attrs[GENERATION] for trial in seen(sampler)} == {0}
    children = [model._running[model.ask()[0]].params for _ in range(10)]
    shares = [
        max(sum(child[name] == value for name, value in parent) for parent in parents) / len(child)
        for child in children
    ]
    assert min(shares) > 0.4  # children of chance would share the knobs of few values alone


def test_repeats_in_a_space_that_cannot_be_counted_come_to_an_end() -> None:
    mostly_fixed = Space.parse(
        {"random-channels": {"ratio": 0.5}, "filter-l1": {"ratio": {"log": [0.1, 0.9]}}}, where=""
    )
    assert len(all_of(Sampler(mostly_fixed, OBJECTIVES, seed=0), 30)) == 30


def test_the_model_does_better_than_chance() -> None:
    """Of the recipes after the start, more lie near the one that is best in both objectives than chance would have."""
    knobs = {"ratio": {"uniform": [0, 0.95]}, "scope": "any", "keep_min": {"uniform": [1, 50]}}
    space = Space.parse({"filter-l1": knobs}, where="")

    def good(name: str, seed: int) -> int:
        sampler, count = Sampler(space, OBJECTIVES, seed=seed, sampler=name), 0
        for _ in range(60):
            proposal = sampler.ask()
            assert proposal is not None
            distance = abs(proposal[1]["ratio"] - 0.7) + abs(float(proposal[1]["keep_min"]) - 25) / 50
            count += distance < 0.15
            sampler.tell(proposal[0], row(proposal[1], val_accuracy=1 - distance, macs=distance))
        return count

    assert sum(good("tpe", seed) for seed in range(3)) > 2 * sum(good("random", seed) for seed in range(3))


def test_a_seed_that_optuna_does_not_take_is_taken() -> None:
    """A seed of 2³² or more passed the check of a spec and ended its run in a traceback."""
    assert len(all_of(Sampler(LARGE, OBJECTIVES, seed=2**40), 3)) == 3


@pytest.mark.parametrize("name", KINDS)
def test_one_objective_is_enough(name: str) -> None:
    assert len(all_of(Sampler(LARGE, ("val_accuracy",), seed=0, sampler=name), 30)) == 30


def test_constraints_lead_the_sampler_to_networks_that_meet_them() -> None:
    space = Space.parse({"filter-l1": {"ratio": {"uniform": [0, 0.95]}, "keep_min": {"uniform": [1, 50]}}}, where="")

    def meeting(bounds: dict[str, str], seed: int) -> int:
        """How many recipes, after the random start, are of accuracy 1 − ratio³ ≥ .5781 and at most 350,000 MACs."""
        constraints = parse_constraints(bounds, where="")
        asked = all_of(Sampler(space, OBJECTIVES, seed=seed, constraints=constraints), 50)
        return sum(0.65 <= recipe["ratio"] <= 0.75 for recipe in asked[12:])

    # Without bounds every recipe is on the front.
    with_bounds, without = (
        sum(meeting(bounds, seed) for seed in range(2))
        for bounds in ({"val_accuracy": ">= .5781", "macs": "<= 350 k"}, {})
    )
    assert with_bounds > 2 * without


@pytest.mark.parametrize("name", [*KINDS, "grid"])
def test_a_recipe_that_an_earlier_search_had_begun_is_taken_up_once(name: str) -> None:
    before = Sampler(SMALL, OBJECTIVES, seed=0, sampler=name)
    _, recipe = before.ask() or (0, {})
    sampler = Sampler(SMALL, OBJECTIVES, seed=1, sampler=name)
    number, known = sampler.take_up(recipe | {"knob_of_another_version": [1]}) or (0, {})
    assert known == recipe
    assert number > 0
    assert sampler.take_up(recipe) is None
    assert sampler.take_up({"method": "filter-l1", "ratio": 0.7, "scope": "layer"}) is None
    assert sampler.take_up({"method": "no-such-method"}) is None
    asked = all_of(sampler, 100)
    assert recipe not in asked
    assert len(asked) == 6
    sampler.tell(number, row(recipe))
    assert sampler.is_used_up
