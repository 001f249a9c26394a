import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import WrongInput
from analysis.indicators import Scale, hypervolume, scales

UNIT = Scale(worst=0.0, best=1.0)


def literal_hypervolume(points):
    """Inclusion and exclusion over the boxes between 0 and each point: exact for any dimension, 2^n terms."""
    volume = 0.0
    for size in range(1, len(points) + 1):
        for chosen in itertools.combinations(points, size):
            shared = math.prod(min(point[axis] for point in chosen) for axis in range(len(points[0])))
            volume += (-1) ** (size + 1) * shared
    return volume


def sliced_hypervolume(points):
    """The same by slices: between two successive values of the last axis the cut is one dimension lower."""
    if len(points[0]) == 1:
        return max(point[0] for point in points)
    heights = sorted({point[-1] for point in points} | {0.0})
    return sum(
        (top - bottom) * sliced_hypervolume([point[:-1] for point in points if point[-1] >= top])
        for bottom, top in itertools.pairwise(heights)
    )


shares = st.integers(0, 8).map(lambda eighths: eighths / 8)  # exact in binary, with many ties
fronts = st.integers(1, 4).flatmap(lambda m: st.lists(st.tuples(*[shares] * m), min_size=1, max_size=8))


@given(fronts)
def test_agrees_with_inclusion_exclusion_and_with_slices(points):
    found = hypervolume(np.array(points), [UNIT] * len(points[0]))
    assert found == pytest.approx(literal_hypervolume(points), abs=1e-12)
    assert found == pytest.approx(sliced_hypervolume(points), abs=1e-12)


@given(fronts, st.randoms(use_true_random=False))
def test_order_equal_and_dominated_points_change_nothing(points, chance):
    unit = [UNIT] * len(points[0])
    before = hypervolume(np.array(points), unit)
    more = [*points, points[0], tuple(value / 2 for value in points[-1])]
    chance.shuffle(more)
    assert hypervolume(np.array(more), unit) == pytest.approx(before, abs=1e-12)


@given(fronts)
def test_a_flipped_objective_with_a_flipped_scale_gives_the_same(points):
    values = np.array(points)
    flipped = [Scale(worst=0.0, best=-1.0)] * values.shape[1]
    assert hypervolume(-values, flipped) == hypervolume(values, [UNIT] * values.shape[1])


@given(fronts)
def test_input_is_unchanged(points):
    values = np.array(points)
    before = values.copy()
    hypervolume(values, [UNIT] * values.shape[1])
    assert (values == before).all()


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_a_staircase_has_its_closed_form(steps):
    """Points (i/n, 1 - i/n), i = 0 … n, dominate (1 - 1/n)/2 of the square."""
    points = np.array([(i / steps, 1 - i / steps) for i in range(steps + 1)])
    assert hypervolume(points, [UNIT, UNIT]) == pytest.approx((1 - 1 / steps) / 2)


def test_a_cycle_of_three_has_its_closed_form():
    cycle = np.array([(1, 2, 3), (2, 3, 1), (3, 1, 2)]) / 3  # 3·6 - 3·2 + 1 unit cells of 27
    assert hypervolume(cycle, [UNIT] * 3) == pytest.approx((3 * 6 - (2 + 2 + 2) + 1) / 27)


def test_points_beyond_the_scale_are_clipped():
    halves = [Scale(worst=100.0, best=0.0), Scale(worst=0.1, best=1.0)]
    assert hypervolume(np.array([[50.0, 0.55]]), halves) == pytest.approx(0.25)
    assert hypervolume(np.array([[150.0, 1.0], [0.0, 0.05], [math.inf, 1.0]]), halves) == 0.0
    assert hypervolume(np.array([[-5.0, 2.0]]), halves) == 1.0
    assert hypervolume(np.array([[-50.0, 0.55]]), halves) == pytest.approx(0.5)  # better than best counts as best


def test_no_points_give_nothing_and_nan_is_refused():
    assert hypervolume(np.empty((0, 2)), [UNIT, UNIT]) == 0.0
    with pytest.raises(ValueError, match="NaN"):
        hypervolume(np.array([[math.nan, 0.5]]), [UNIT, UNIT])
    with pytest.raises(ValueError, match="column"):
        hypervolume(np.zeros((2, 3)), [UNIT, UNIT])


def dense(**changed):
    row = {
        "method": "dense",
        "state": "complete",
        "classes": 10,
        "macs": 300,
        "val_loss": 0.25,
        "latency_ms": None,
    }
    other = row | {"method": "slimming", "macs": 900, "classes": 2}
    return pa.Table.from_pylist([other, row | changed])


def test_scales_follow_the_dense_network():
    found = scales(dense(), ["val_accuracy", "sparsity", "macs", "val_loss"])
    assert found == [Scale(0.1, 1.0), Scale(0.0, 1.0), Scale(300.0, 0.0), Scale(0.25, 0.0)]


def test_the_dense_network_alone_dominates_nothing_of_what_it_costs():
    assert hypervolume(np.array([[0.93, 300.0]]), scales(dense(), ["val_accuracy", "macs"])) == 0.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "lamp"}, "no complete row of the dense network"),
        ({"state": "failed"}, "no complete row of the dense network"),
        ({"macs": None}, "no macs"),
        ({"macs": 0}, "positive"),
        ({"classes": 1}, "at least 2 classes"),
    ],
)
def test_a_scale_that_cannot_be_known_is_said(changed, said):
    with pytest.raises(WrongInput, match=said):
        scales(dense(**changed), ["val_accuracy", "macs"])
