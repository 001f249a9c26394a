"""The order of work: parents before children, those with many first, nobody waits while something is ready."""

import random

from search.order import Order, Proposal


def simulated(parents: list[str | None], *, workers: int, parent_takes: int = 3, trial_takes: int = 1) -> list[int]:
    """The workers that were busy at each tick, all proposals known from the start; a slow literal simulation."""
    order = Order()
    for number, parent in enumerate(parents):
        order.add(Proposal(number, {}, parent))
    there: set[str] = set()
    running: list[list] = []  # [proposal, ticks of its parent left, ticks of itself left]
    busy = []
    while len(order) or running:
        while len(running) < workers and (taken := order.take()) is not None:
            assert all(taken.parent != other.parent or taken.parent in there for other, _, _ in running if taken.parent)
            running.append([taken, 0 if taken.parent is None or taken.parent in there else parent_takes, trial_takes])
        busy.append(len(running))
        for each in running:
            if each[1]:
                each[1] -= 1
                if not each[1]:
                    there.add(each[0].parent)
                    order.made(each[0].parent)
            else:
                each[2] -= 1
        for each in [each for each in running if not each[2]]:
            running.remove(each)
            order.ended(each[0])
    return busy


def test_no_two_workers_make_one_parent_and_none_is_idle_while_something_is_ready() -> None:
    for seed in range(30):
        draw = random.Random(seed)
        parents = [draw.choice(["a", "b", "c", None]) for _ in range(24)]
        busy = simulated(parents, workers=3)
        # Each proposal is run once, each parent made once: the ticks say so.
        assert sum(busy) == 24 + 3 * len(set(parents) - {None})


def test_a_worker_is_idle_only_where_everybody_waits_for_one_parent() -> None:
    assert simulated(["a"] * 5, workers=2) == [1, 1, 1, 2, 2, 1]
    assert simulated(["a"] * 5 + [None] * 3, workers=2)[:3] == [2, 2, 2]


def test_the_parent_with_the_most_children_comes_first_and_single_ones_in_their_turn() -> None:
    order = Order(made=["there"])
    for number, parent in enumerate([None, "few", "few", "many", "many", "many", "there", "one"]):
        order.add(Proposal(number, {}, parent))
    taken = [order.take() for _ in range(5)]
    assert [each.number for each in taken if each] == [3, 1, 0, 6, 7]
    assert order.take() is None
    assert len(order) == 3
    order.made("many")
    assert [each.number for each in (order.take(), order.take()) if each] == [4, 5]
    assert order.take() is None


def test_a_parent_whose_maker_was_lost_is_made_by_the_next() -> None:
    order = Order()
    first, second = Proposal(0, {}, "l1"), Proposal(1, {}, "l1")
    order.add(first)
    order.add(second)
    assert order.take() is first
    assert order.take() is None
    order.ended(first)
    assert order.take() is second
