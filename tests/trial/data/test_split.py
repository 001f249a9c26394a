"""Held-out images: exact counts, equal shares, one choice for ever."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import WrongInput
from trial.data.split import count_of, held_out, quotas

SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) > 0)


def quotas_twin(sizes, count):
    """Largest remainders with fractions, one seat at a time."""
    exact = [Fraction(count * size, sum(sizes)) for size in sizes]
    taken = [int(share) for share in exact]
    left = [share - whole for share, whole in zip(exact, taken, strict=True)]
    while sum(taken) < count:
        first = left.index(max(left))
        taken[first] += 1
        left[first] = Fraction(-1)
    return taken


@given(SIZES, st.data())
def test_quotas_equal_the_slow_twin(sizes, data):
    count = data.draw(st.integers(0, sum(sizes)))
    taken = quotas(np.array(sizes), count=count).tolist()
    assert taken == quotas_twin(sizes, count)
    assert sum(taken) == count
    assert all(some <= size for some, size in zip(taken, sizes, strict=True))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.data())
def test_held_out_takes_each_class_its_quota(labels, data):
    count = data.draw(st.integers(0, len(labels)))
    array = np.array(labels)
    chosen = held_out(array, count=count, purpose="a test")
    expected = quotas_twin([labels.count(label) for label in range(max(labels) + 1)], count)
    assert np.bincount(array[chosen], minlength=max(labels) + 1).tolist() == expected
    assert array.tolist() == labels


def test_five_thousand_of_fifty_thousand_is_five_hundred_a_class():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
    chosen = held_out(labels, count=5000, purpose="validation")
    assert Counter(labels[chosen].tolist()) == dict.fromkeys(range(10), 500)


def test_the_choice_never_changes():
    """Every stored stage depends on it: a new choice would be another data set under the same name."""
    chosen = held_out(np.arange(30) % 3, count=6, purpose="validation")
    assert np.flatnonzero(chosen).tolist() == [0, 1, 17, 24, 26, 28]


def test_another_purpose_is_another_choice():
    labels = np.arange(100) % 2
    assert not np.array_equal(*(held_out(labels, count=50, purpose=purpose) for purpose in ("a", "b")))


@pytest.mark.parametrize(("validation", "expected"), [(5, 5), (0.29, 29), (0.1, 10), (0.001, 1)])
def test_a_share_is_taken_as_the_decimal_that_was_written(validation, expected):
    assert count_of(validation, images=100, classes=10) == expected


@pytest.mark.parametrize("validation", [91, 0.95])
def test_too_many_validation_images_are_refused_with_the_bound(validation):
    with pytest.raises(WrongInput, match="at most 90 are accepted"):
        count_of(validation, images=100, classes=10)


@pytest.mark.parametrize("images", [1, 10])
def test_too_few_images_for_the_classes_say_how_many_are_needed(images):
    """40 images with one label 99999 once gave: at most -99960 are accepted."""
    with pytest.raises(WrongInput, match="at least 11 are needed") as raised:
        count_of(0.1, images=images, classes=10)
    assert "-" not in str(raised.value)
    assert count_of(0.1, images=11, classes=10) == 1
