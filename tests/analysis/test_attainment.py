"""Attainment surfaces, held to the definition: what so many repeats attain, and nothing more."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.attainment import attainment

eighths = st.integers(0, 4).map(float)
repeats = st.integers(2, 3).flatmap(
    lambda m: st.lists(st.lists(st.tuples(*[eighths] * m), min_size=1, max_size=4), min_size=1, max_size=5)
)


def literal(sets, percent):
    """Every meeting of coordinates, higher better in all: kept where enough sets attain it and none such beats it."""
    needed = math.ceil(percent * len(sets) / 100)
    grid = itertools.product(*[sorted({point[j] for one in sets for point in one}) for j in range(len(sets[0][0]))])

    def attains(one, goal):
        return any(all(a >= b for a, b in zip(point, goal, strict=True)) for point in one)

    kept = [goal for goal in grid if sum(attains(one, goal) for one in sets) >= needed]
    return {
        goal
        for goal in kept
        if not any(other != goal and all(a >= b for a, b in zip(other, goal, strict=True)) for other in kept)
    }


@settings(max_examples=60)
@given(repeats, st.sampled_from([1, 25, 50, 75, 100]))
def test_agrees_with_the_definition(sets, percent):
    found = attainment([np.array(one) for one in sets], ["higher"] * len(sets[0][0]), percents=[percent])
    assert {tuple(point) for point in found[percent]} == literal(sets, percent)


@settings(max_examples=40)
@given(repeats, st.randoms(use_true_random=False))
def test_order_equal_points_and_a_flipped_objective_change_nothing(sets, chance):
    directions = ["higher"] * len(sets[0][0])
    before = attainment([np.array(one) for one in sets], directions)
    shuffled = [chance.sample([*one, one[0]], len(one) + 1) for one in chance.sample(sets, len(sets))]
    after = attainment([np.array(one) for one in shuffled], directions)
    flipped = attainment(
        [np.array(one) * ([-1.0] + [1.0] * (len(directions) - 1)) for one in sets], ["lower", *directions[1:]]
    )
    for percent, points in before.items():
        assert {tuple(each) for each in points} == {tuple(each) for each in after[percent]}
        assert {tuple(each) for each in points} == {(-each[0] + 0.0, *each[1:]) for each in flipped[percent]}


def test_nested_repeats_have_their_quantiles():
    """Repeats of one point each, (i, i): the surface of a share p is the ⌈p·n⌉th best."""
    for n in (1, 2, 3, 4, 7, 20):
        found = attainment([np.full((1, 2), float(i)) for i in range(n)], ["higher", "higher"])
        for percent, points in found.items():
            assert points.tolist() == [[float(n - math.ceil(percent * n / 100))] * 2]


def test_all_repeats_attain_only_the_corner_that_two_crossing_ones_share():
    crossing = [np.array([[0.9, 100.0]]), np.array([[0.8, 50.0]])]
    found = attainment(crossing, ["higher", "lower"], percents=[50, 100])
    assert sorted(found[50].tolist()) == [[0.8, 50.0], [0.9, 100.0]]
    assert found[100].tolist() == [[0.8, 100.0]]


def test_input_is_unchanged():
    given_points = np.array([[0.5, 2.0], [0.25, 1.0]])
    before = given_points.copy()
    attainment([given_points], ["higher", "lower"])
    assert (given_points == before).all()


@pytest.mark.parametrize(
    ("sets", "directions", "said"),
    [
        ([np.zeros((1, 4))], ["higher"] * 4, "2 and 3 objectives, got 4"),
        ([np.zeros((1, 1))], ["higher"], "2 and 3 objectives, got 1"),
        ([np.zeros((0, 2))], ["higher"] * 2, "at least one row"),
        ([], ["higher"] * 2, "at least one row"),
        ([np.zeros((1, 3))], ["higher"] * 2, "a column for each"),
        ([np.array([[math.nan, 0.0]])], ["higher"] * 2, "finite"),
        ([np.array([[math.inf, 0.0]])], ["higher"] * 2, "finite"),
    ],
)
def test_what_moocore_would_let_through_is_refused(sets, directions, said):
    with pytest.raises(ValueError, match=said):
        attainment(sets, directions)


def test_percents_lie_above_nothing():
    with pytest.raises(ValueError, match="percents"):
        attainment([np.zeros((1, 2))], ["higher"] * 2, percents=[0])
