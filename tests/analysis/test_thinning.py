import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import indicators, pareto
from analysis.indicators import Scale
from analysis.thinning import thinned

DIRECTIONS = ("higher", "lower", "higher", "lower")
SCALES = [Scale(0.0, 8.0) if direction == "higher" else Scale(8.0, 0.0) for direction in DIRECTIONS]

fronts = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(0, 8).map(float)] * m), min_size=1, max_size=24)
)
epsilons = st.integers(0, 8).map(lambda eighths: eighths / 8)


@given(fronts, epsilons)
def test_each_row_is_at_most_epsilon_better_than_one_that_stays(points, epsilon):
    values, m = np.array(points), len(points[0])
    kept = thinned(values, SCALES[:m], epsilon=epsilon)
    assert kept.tolist() == sorted(set(kept.tolist()))
    for row in points:  # the definition, row by row, in eighths
        signs = [1 if direction == "higher" else -1 for direction in DIRECTIONS[:m]]
        assert any(all(s * (a - b) <= 8 * epsilon for s, a, b in zip(signs, row, points[k], strict=True)) for k in kept)
    assert indicators.epsilon_additive(values[kept], values, SCALES[:m]) <= epsilon


@given(fronts, epsilons)
def test_the_best_in_each_objective_stays_and_what_is_given_is_unchanged(points, epsilon):
    values, m = np.array(points), len(points[0])
    before = values.copy()
    kept = values[thinned(values, SCALES[:m], epsilon=epsilon)]
    assert (values == before).all()
    for column, direction in zip(range(m), DIRECTIONS, strict=False):
        best = max if direction == "higher" else min
        assert best(kept[:, column]) == best(values[:, column])


@given(fronts)
def test_nothing_of_a_front_goes_at_zero_but_equal_rows(points):
    values, m = np.array(points), len(points[0])
    front = values[pareto.is_nondominated(values, DIRECTIONS[:m])]
    kept = front[thinned(front, SCALES[:m], epsilon=0.0)]
    assert sorted(map(tuple, kept)) == sorted({tuple(row) for row in front})


def test_a_staircase_keeps_every_third_step_and_its_ends():
    """Points i/12, 1 - i/12: each stands for those a step of epsilon away, on both sides."""
    stairs = np.array([(i / 12, 1 - i / 12) for i in range(13)])
    unit = [Scale(0.0, 1.0)] * 2
    kept = thinned(stairs, unit, epsilon=1.01 / 12)
    assert {0, 12} <= set(kept.tolist())
    assert len(kept) == 5
    assert thinned(stairs, unit, epsilon=1.0).tolist() == [0, 12]


def test_no_rows_and_wrong_input():
    assert thinned(np.empty((0, 2)), SCALES[:2], epsilon=0.1).tolist() == []
    for epsilon in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="epsilon"):
            thinned(np.zeros((1, 2)), SCALES[:2], epsilon=epsilon)
    with pytest.raises(ValueError, match="NaN"):
        thinned(np.array([[np.nan, 1.0]]), SCALES[:2], epsilon=0.1)
