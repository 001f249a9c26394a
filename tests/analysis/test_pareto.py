import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import pareto
from analysis.errors import WrongInput

BETTER = ("higher", "lower", "higher", "lower")


def literal_nondominated(points, directions):
    """The definition, pair by pair: as good everywhere and better somewhere."""
    signs = [1 if direction == "higher" else -1 for direction in directions]
    good = [[sign * value for sign, value in zip(signs, point, strict=True)] for point in points]

    def dominates(a, b):
        return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))

    return [not any(dominates(other, point) for other in good) for point in good]


# Few distinct values, so that ties in one and in all objectives are common.
points = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(-2, 3).map(float)] * m), min_size=1, max_size=40)
)


@given(points)
def test_agrees_with_the_definition(rows):
    directions = BETTER[: len(rows[0])]
    found = pareto.is_nondominated(np.array(rows), directions)
    assert found.tolist() == literal_nondominated(rows, directions)


@given(points, st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(rows, chance):
    directions = BETTER[: len(rows[0])]
    order = list(range(len(rows)))
    chance.shuffle(order)
    values = np.array(rows)
    assert (
        pareto.is_nondominated(values[order], directions) == pareto.is_nondominated(values, directions)[order]
    ).all()


@given(points)
def test_negated_values_with_flipped_directions_give_the_same_front(rows):
    directions = BETTER[: len(rows[0])]
    flipped = ["lower" if direction == "higher" else "higher" for direction in directions]
    values = np.array(rows)
    assert (pareto.is_nondominated(-values, flipped) == pareto.is_nondominated(values, directions)).all()


@given(points)
def test_input_is_unchanged(rows):
    values = np.array(rows)
    before = values.copy()
    pareto.is_nondominated(values, BETTER[: values.shape[1]])
    assert (values == before).all()


@given(points, st.integers(1, 5))
def test_what_a_few_good_points_dominate_is_taken_out_and_nothing_of_the_front(rows, sample):
    directions = BETTER[: len(rows[0])]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pareto, "MANY", 0)
        patched.setattr(pareto, "SAMPLE", min(sample, len(rows)))
        found = pareto.is_nondominated(np.array(rows), directions)
    assert found.tolist() == literal_nondominated(rows, directions)


def test_many_points_have_the_same_front_in_any_order():
    chance = np.random.default_rng(0)
    values = chance.random((pareto.MANY + 1, 3)).round(2)
    left = pareto._sieved(values, BETTER[:3])
    assert len(left) < len(values) / 4
    found = pareto.is_nondominated(values, BETTER[:3])
    order = chance.permutation(len(values))
    assert (pareto.is_nondominated(values[order], BETTER[:3]) == found[order]).all()
    few = values[found]
    signs = np.array([1.0, -1.0, 1.0])
    gains = values * signs
    for point, on_front in zip(gains[::97], found[::97], strict=True):
        beaten = (few * signs >= point).all(axis=1) & (few * signs > point).any(axis=1)
        assert beaten.any() != on_front


def test_many_equal_points_are_all_kept():
    assert pareto.is_nondominated(np.ones((pareto.MANY + 1, 2)), ["higher", "lower"]).all()


def test_equal_points_are_all_kept_and_weakly_dominated_ones_are_not():
    values = np.array([[1.0, 2.0], [1.0, 1.0], [1.0, 1.0]])
    assert pareto.is_nondominated(values, ["lower", "lower"]).tolist() == [False, True, True]


def test_a_cycle_of_three_is_all_front():
    """Each is best where the next is worst: in no order are they sorted in every objective."""
    cycle = [(1.0, 2.0, 3.0), (2.0, 3.0, 1.0), (3.0, 1.0, 2.0)]
    for rows in itertools.permutations(cycle):
        assert pareto.is_nondominated(np.array(rows), ["higher"] * 3).all()
        beaten = np.array([*rows, (1.0, 2.0, 2.0)])
        assert pareto.is_nondominated(beaten, ["higher"] * 3).tolist() == [True, True, True, False]


def test_no_points_one_point_and_infinite_points():
    assert pareto.is_nondominated(np.empty((0, 2)), ["higher", "lower"]).tolist() == []
    assert pareto.is_nondominated(np.array([[1.0, 2.0]]), ["higher", "lower"]).tolist() == [True]
    values = np.array([[1.0, math.inf], [1.0, 5.0]])
    assert pareto.is_nondominated(values, ["higher", "lower"]).tolist() == [False, True]


@pytest.mark.parametrize("m", [3, 4])
def test_infinities_of_many_objectives_are_ordered_as_numbers_are(m):
    chance = np.random.default_rng(m)
    for _ in range(50):
        values = chance.choice(np.array([-math.inf, math.inf, -0.0, 0.0, 1.0, 2.0]), size=(30, m))
        directions = BETTER[:m]
        assert pareto.is_nondominated(values, directions).tolist() == literal_nondominated(values.tolist(), directions)
        assert pareto.ranks(values, directions).tolist() == literal_ranks(values.tolist(), directions)


def test_nan_is_refused_before_moocore_sees_it():
    """Were it let through, moocore would call a point with NaN non-dominated, and lets it beat others."""
    with pytest.raises(ValueError, match="NaN"):
        pareto.is_nondominated(np.array([[math.nan, 1.0], [0.0, 2.0]]), ["lower", "lower"])


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 3), (3, 0)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="column"):
        pareto.is_nondominated(np.zeros(shape), ["higher", "lower"] if shape != (3, 0) else [])


def literal_ranks(points, directions):
    """Take the front off, again and again."""
    found, rank = {}, 0
    while len(found) < len(points):
        rank += 1
        left = [i for i in range(len(points)) if i not in found]
        best = literal_nondominated([points[i] for i in left], directions)
        found |= {i: rank for i, is_best in zip(left, best, strict=True) if is_best}
    return [found[i] for i in range(len(points))]


@given(points, st.integers(1, 3))
def test_ranks_are_fronts_taken_off_one_after_the_other(rows, most):
    directions = BETTER[: len(rows[0])]
    values = np.array(rows)
    expected = literal_ranks(rows, directions)
    assert pareto.ranks(values, directions).tolist() == expected
    limited = pareto.ranks(values, directions, most=most).tolist()
    assert limited == [rank if rank <= most else 0 for rank in expected]


def test_ranks_of_nothing_and_of_nan():
    assert pareto.ranks(np.empty((0, 2)), ["higher", "lower"]).tolist() == []
    assert pareto.ranks(np.empty((0, 2)), ["higher", "lower"], most=2).tolist() == []
    for most in (None, 1):
        with pytest.raises(ValueError, match="NaN"):
            pareto.ranks(np.array([[math.nan, 1.0]]), ["lower", "lower"], most=most)


def table(**columns):
    count = len(next(iter(columns.values())))
    given = {"trial": [f"{i:016x}" for i in range(count)], "state": ["complete"] * count, **columns}
    return pa.table(given)


def test_front_is_sorted_best_first_and_ties_by_the_next_objective_then_trial():
    rows = table(val_accuracy=[0.8, 0.9, 0.7, 0.8, 0.9], macs=[20, 30, 10, 20, 40])
    found = pareto.front(rows, ["val_accuracy", "macs"])
    assert found["trial"].to_pylist() == [f"{i:016x}" for i in (1, 0, 3, 2)]
    assert pareto.front(rows, ["macs", "val_accuracy"])["macs"].to_pylist() == [10, 20, 20, 30]


def test_rows_that_are_not_complete_or_lack_an_objective_take_no_part():
    rows = table(
        state=["complete", "failed", "stopped", "complete", "complete", "complete", None],
        val_accuracy=[0.5, 0.9, 0.9, None, math.nan, math.inf, 0.9],
        macs=[10, 1, 1, 1, 1, 1, 1],
    )
    assert pareto.front(rows, ["val_accuracy", "macs"])["trial"].to_pylist() == [f"{0:016x}"]


def test_empty_table_has_an_empty_front():
    rows = table(
        val_accuracy=pa.array([], pa.float64()), macs=pa.array([], pa.int64()), state=pa.array([], pa.string())
    )
    assert len(pareto.front(rows, ["val_accuracy", "macs"])) == 0


def test_objectives_are_checked():
    rows = table(val_accuracy=[0.5])
    with pytest.raises(WrongInput, match="did you mean val_accuracy"):
        pareto.front(rows, ["val_acuracy"])
    with pytest.raises(WrongInput, match="named twice"):
        pareto.front(rows, ["macs", "macs"])
    with pytest.raises(WrongInput, match="at least one"):
        pareto.front(rows, [])


def test_several_fronts_of_a_table_say_which_they_are():
    rows = table(val_accuracy=[0.8, 0.9, 0.7, 0.8, 0.9, None], macs=[20, 30, 10, 20, 40, 1])
    found = pareto.fronts(rows, ["val_accuracy", "macs"], most=2)
    assert found["rank"].to_pylist() == [1, 1, 1, 1, 2]
    assert found["trial"].to_pylist() == [f"{i:016x}" for i in (1, 0, 3, 2, 4)]
    assert pareto.fronts(found, ["val_accuracy", "macs"], most=1).column_names == found.column_names
