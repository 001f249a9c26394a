import itertools
from fractions import Fraction

import pytest
import torch

from methods.core.rankings import interleaved, mixed, order, places
from search.ranges import Steps

DELTAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
FORWARDS, BACKWARDS = list(range(40)), list(range(39, -1, -1))
"""Two orders that have no entry in common among their first twenty."""


def shuffled(count: int, *, seed: int) -> list[int]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()


def walk(parameter: list[int], relevance: list[int], *, tenths: int) -> list[int]:
    """The accounts one turn after the other, in Fractions, with a list of what is left of each order."""
    left_p, left_r, made, a, b = list(parameter), list(relevance), [], Fraction(0), Fraction(0)
    while left_p or left_r:
        a += 1 - Fraction(tenths, 10)
        if a >= 1 and left_p:
            made.append(left_p.pop(0))
            a -= 1
        b += Fraction(tenths, 10)
        if b >= 1 and left_r:
            made.append(left_r.pop(0))
            b -= 1
        if tenths in (0, 10) and not (left_r if tenths else left_p):
            break
    return [entry for place, entry in enumerate(made) if entry not in made[:place]]


def counted(parameter: list[int], relevance: list[int], *, tenths: int) -> list[int]:
    """The same in whole numbers: after t turns ⌊t·(1−δ)⌋ are taken of the one and ⌊t·δ⌋ of the other."""
    made: list[int] = []
    for turn in range(1, 10 * len(parameter) + 1):
        for entries, share in ((parameter, 10 - tenths), (relevance, tenths)):
            if turn * share // 10 > (turn - 1) * share // 10:
                made += entries[turn * share // 10 - 1 : turn * share // 10]
    return [entry for place, entry in enumerate(made) if entry not in made[:place]]


def in_floats(parameter: list[int], relevance: list[int], *, delta: float, count: int) -> list[int]:
    made: list[int] = []
    a = b = 0.0
    left_p, left_r = iter(parameter), iter(relevance)
    while len(made) < count:
        a += 1 - delta
        if a >= 1:
            made.append(next(left_p))
            a -= 1
        b += delta
        if b >= 1:
            made.append(next(left_r))
            b -= 1
    return made[:count]


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("seed", range(5))
def test_mixed_is_the_walk_and_a_permutation(delta: float, seed: int) -> None:
    parameter, relevance = shuffled(30, seed=seed), shuffled(30, seed=seed + 100)
    before = list(parameter), list(relevance)
    made = mixed(parameter, relevance, delta=delta)
    assert made == walk(parameter, relevance, tenths=round(10 * delta))
    assert made == counted(parameter, relevance, tenths=round(10 * delta))
    assert sorted(made) == list(range(30))
    assert (parameter, relevance) == before


def test_both_ends_are_one_order_exactly() -> None:
    for count in (0, 1, 2, 31):
        parameter, relevance = shuffled(count, seed=1), shuffled(count, seed=2)
        assert mixed(parameter, relevance, delta=0.0) == parameter
        assert mixed(parameter, relevance, delta=1.0) == relevance


def test_first_entries_by_hand() -> None:
    assert mixed(FORWARDS, BACKWARDS, delta=0.5)[:6] == [0, 39, 1, 38, 2, 37]
    assert mixed(FORWARDS, BACKWARDS, delta=0.4)[:6] == [0, 39, 1, 2, 38, 3]
    assert mixed(FORWARDS, BACKWARDS, delta=0.8)[:6] == [39, 38, 37, 0, 36, 35]
    # 0 is named by both: its second naming is skipped, and paid for.
    assert mixed([0, 1, 2, 3], [0, 3, 2, 1], delta=0.5) == [0, 1, 3, 2]


@pytest.mark.parametrize("tenths", [4, 8])
def test_accounts_in_floating_point_give_other_lists_from_the_fourth_entry_on(tenths: int) -> None:
    exact = mixed(FORWARDS, BACKWARDS, delta=tenths / 10)[:20]
    drifted = in_floats(FORWARDS, BACKWARDS, delta=tenths * 0.1, count=20)
    assert exact[:3] == drifted[:3]
    assert exact[3] != drifted[3]


def test_steps_of_a_tenth_are_tenths() -> None:
    steps = Steps(0.0, 1.0, 0.1)
    values = [steps.at(index) for index in range(11)]
    assert values == DELTAS
    lists = [mixed(FORWARDS, BACKWARDS, delta=value) for value in values]
    assert lists == [mixed(FORWARDS, BACKWARDS, delta=Fraction(tenths, 10)) for tenths in range(11)]
    assert len({tuple(made) for made in lists}) == 11


def test_a_share_is_kept_at_every_length() -> None:
    for tenths, delta in enumerate(DELTAS):
        made = mixed(FORWARDS, BACKWARDS, delta=delta)[:20]
        for length in range(1, 21):
            of_relevance = sum(entry >= 20 for entry in made[:length])
            assert abs(of_relevance - length * Fraction(tenths, 10)) <= 1


def test_interleaved_begins_with_the_first_and_mixed_halves_with_the_second() -> None:
    assert interleaved(BACKWARDS, FORWARDS)[:4] == [39, 0, 38, 1]
    assert mixed(FORWARDS, BACKWARDS, delta=0.5)[:4] == [0, 39, 1, 38]


@pytest.mark.parametrize("seed", range(5))
def test_interleaved_is_a_permutation_by_best_place(seed: int) -> None:
    first, second = shuffled(31, seed=seed), shuffled(31, seed=seed + 100)
    made = interleaved(first, second)
    # Entry e stands at 2·place in the first and at 2·place + 1 in the second: the smaller decides.
    assert made == sorted(range(31), key=lambda entry: min(2 * first.index(entry), 2 * second.index(entry) + 1))
    assert interleaved(first, first) == first
    assert interleaved([], []) == []


def test_order_is_by_score_and_then_by_position_and_places_invert_it() -> None:
    scores = {"b": torch.tensor([2.0, 1.0, 3.0]), "a": torch.tensor([1.0, -5.0]), "c": torch.zeros(0)}
    assert order(scores) == [4, 1, 3, 0, 2]
    made = places([4, 1, 3, 0, 2], {"b": 3, "a": 2, "c": 0})
    assert {group: each.tolist() for group, each in made.items()} == {"b": [3, 1, 4], "a": [2, 0], "c": []}
    assert all(each.dtype == torch.float64 for each in made.values())
    for permutation in itertools.permutations(range(4)):
        assert order(places(permutation, {"a": 1, "b": 3})) == list(permutation)
    assert order({}) == []
    assert places([], {}) == {}


def test_nan_is_refused_by_the_groups_name() -> None:
    with pytest.raises(ValueError, match="scores of layer b hold NaN"):
        order({"a": torch.ones(2), "b": torch.tensor([1.0, torch.nan])})
