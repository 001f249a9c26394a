"""The chance of being on the front: closed forms for two, certainty without spread, and what confirmed lines give."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.chance import chances, results
from tests.analysis.test_confirmed import line

BOTH = ["higher", "lower"]


@pytest.mark.parametrize(("gain", "first", "second"), [(0.0, 0.01, 0.01), (0.01, 0.01, 0.02), (-0.03, 0.02, 0.0)])
def test_of_two_the_dearer_one_has_its_closed_form(gain, first, second):
    """It is on the front where it is more accurate: Φ((μ₂ − μ₁)/√(σ₁² + σ₂²)); the cheaper one always is."""
    found = chances(np.array([[0.9, 100.0], [0.9 + gain, 200.0]]), np.array([[first, 0.0], [second, 0.0]]), BOTH)
    assert found[0] == 1.0
    assert found[1] == pytest.approx(NormalDist().cdf(gain / math.hypot(first, second)), abs=0.015)


def test_of_three_equals_at_one_cost_each_is_best_in_a_third_of_draws():
    found = chances(np.tile([0.9, 100.0], (3, 1)), np.tile([0.01, 0.0], (3, 1)), BOTH)
    assert found == pytest.approx([1 / 3] * 3, abs=0.015)
    assert found.sum() == pytest.approx(1.0)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7))
def test_without_spread_it_is_the_front_itself_equal_networks_included(points):
    values = np.array(points, dtype=float)
    found = chances(values, np.zeros_like(values), BOTH, draws=3)

    def beats(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    assert found.tolist() == [float(not any(beats(other, own) for other in points)) for own in points]


def test_draws_in_blocks_are_as_many_as_asked_and_repeatable(monkeypatch):
    monkeypatch.setattr("analysis.chance.AT_ONCE", 400)
    means, stds = np.array([[0.9, 1.0], [0.91, 2.0]]), np.full((2, 2), 0.02)
    found = chances(means, stds, BOTH, draws=250)
    assert (found == chances(means, stds, BOTH, draws=250)).all()
    assert (found * 250 == np.round(found * 250)).all()
    assert (found <= 1).all()


def confirmed(trial, accuracies, macs, **changes):
    return [line(trial, seed, accuracy, macs=macs, **changes) for seed, accuracy in enumerate(accuracies)]


def test_confirmed_lines_give_means_deviations_and_chances():
    lines = [
        *confirmed("a", [0.90, 0.92], 100),
        *confirmed("b", [0.95, 0.97, 0.96], 200),
        *confirmed("c", [0.5], 300),
        line("a", 7, None),
        line("b", 8, 0.1, as_trained=True, macs=200),
        line("b", 9, 0.2, test_data="0" * 16, macs=200),
    ]
    a, b, c = results(lines, ["val_accuracy", "macs", "torch_latency_ms"])
    assert a.measures == ("test_accuracy", "macs")
    assert (a.trial, a.seeds, b.seeds, c.seeds) == ("a", 2, 3, 1)
    assert a.means == pytest.approx((0.91, 100))
    assert a.stds == pytest.approx((math.sqrt(2) * 0.01, 0.0))
    assert b.means == pytest.approx((0.96, 200))
    assert b.stds == pytest.approx((0.01, 0.0))
    assert a.chance == 1.0
    assert b.chance == pytest.approx(NormalDist().cdf(0.05 / math.hypot(math.sqrt(2) * 0.01, 0.01)), abs=0.01)
    assert (c.stds, c.chance) == (None, None)


def test_one_deviation_alone_and_nothing_usable_give_no_chance():
    (alone,) = results(confirmed("a", [0.9, 0.92], 100), ["val_accuracy"])
    assert alone.chance is None
    assert results([line("a", 0, None)], ["val_accuracy"]) == []
    assert results([], ["val_accuracy"]) == []
    assert results(confirmed("a", [0.9], 1), ["torch_latency_ms"]) == []
