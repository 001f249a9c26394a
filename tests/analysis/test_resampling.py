"""Bootstrap and permutation, held to complete enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import resampling
from analysis.resampling import interval, smallest_p, superiority

few = st.lists(st.integers(0, 4).map(float), min_size=2, max_size=4)


def share(a, b):
    return sum((x > y) + 0.5 * (x == y) for x in a for y in b) / (len(a) * len(b))


def quantile(values, at):
    return float(np.percentile(values, at, method="inverted_cdf"))


def test_one_repeat_has_a_mean_and_nothing_else():
    found = interval([0.7])
    assert (found.mean, found.low, found.high) == (0.7, None, None)
    alone = superiority([0.7], [0.1, 0.2])
    assert (alone.probability, alone.low, alone.high, alone.verdict()) == (1.0, None, None, 0)


def test_the_mean_of_two_has_its_three_resamples():
    """{0, 1}: 0 in a quarter of resamples, ½ in half, 1 in a quarter; so 2.5 % lie at 0."""
    found = interval([0.0, 1.0])
    assert (found.low, found.mean, found.high) == (0.0, 0.5, 1.0)


@settings(max_examples=25, deadline=None)
@given(few)
def test_the_interval_agrees_with_every_resample(values):
    every = [sum(drawn) / len(values) for drawn in itertools.product(values, repeat=len(values))]
    found = interval(values)
    # A quantile may fall on either side of a step of so few values: it lies between those of 1.5 and 3.5 %.
    assert quantile(every, 1.0) - 1e-12 <= found.low <= quantile(every, 4.0) + 1e-12
    assert quantile(every, 96.0) - 1e-12 <= found.high <= quantile(every, 99.0) + 1e-12


@settings(max_examples=25, deadline=None)
@given(few, few)
def test_superiority_agrees_with_pairs_resamples_and_labels_written_out(a, b):
    found = superiority(a, b)
    assert found.probability == pytest.approx(share(a, b))
    every = [
        share(first, second)
        for first in itertools.product(a, repeat=len(a))
        for second in itertools.product(b, repeat=len(b))
    ]
    assert quantile(every, 1.0) - 1e-12 <= found.low <= quantile(every, 4.0) + 1e-12
    together = [*a, *b]
    far = total = 0
    for chosen in itertools.combinations(range(len(together)), len(a)):
        first = [together[i] for i in chosen]
        second = [together[i] for i in range(len(together)) if i not in chosen]
        far += abs(share(first, second) - 0.5) >= abs(share(a, b) - 0.5) - 1e-9
        total += 1
    assert found.p == pytest.approx(far / total)


@settings(max_examples=25, deadline=None)
@given(few, few)
def test_exchanging_the_groups_mirrors_everything(a, b):
    one, other = superiority(a, b), superiority(b, a)
    assert one.probability == pytest.approx(1 - other.probability)
    assert one.p == pytest.approx(other.p)
    assert one.verdict() == -other.verdict()


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 3), (3, 5), (4, 4), (5, 5)])
def test_groups_without_overlap_have_the_smallest_p_and_need_four_repeats_each_to_be_told_apart(n, m):
    high, low = [1 + i / 10 for i in range(n)], [i / 10 for i in range(m)]
    found = superiority(high, low)
    assert (found.probability, found.low, found.high) == (1.0, 1.0, 1.0)
    assert found.p == pytest.approx(smallest_p(n, m)) == pytest.approx(2 / math.comb(n + m, n))
    assert found.verdict() == (1 if found.p <= 0.05 else 0)
    assert superiority(low, high).verdict() == -found.verdict()


def test_more_pairs_ask_for_a_smaller_p():
    found = superiority([5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 3.0, 4.0])  # p = 2/70
    assert found.verdict() == 1
    assert found.verdict(pairs=3) == 0


def test_too_many_labels_are_drawn_and_never_give_zero(monkeypatch):
    a, b = [1.0 + i for i in range(8)], [-1.0 - i for i in range(8)]
    exact = superiority(a, b).p
    assert superiority(a, b).is_exact
    monkeypatch.setattr(resampling, "LABELS", 200)
    assert exact == pytest.approx(2 / math.comb(16, 8))
    assert superiority(a, b).p == pytest.approx(1 / 201)
    assert (superiority(a, b).is_exact, superiority(a, b).labels_drawn) == (False, 200)
    equal = superiority([1.0] * 8, [1.0] * 8)
    assert (equal.probability, equal.p, equal.verdict()) == (0.5, 1.0, 0)
