"""Times are told by a clock that is handed in: what is said of them has a formula, and the order of runs a law."""

import math
import random
from collections.abc import Callable

import pytest

from trial.timing import in_turn, spread


class Clock:
    """Moves only when a program says how long it took; ``drift`` seconds are added for every run that went before."""

    def __init__(self, *, drift: float = 0.0) -> None:
        self.now, self.runs, self.drift = 0.0, 0, drift
        self.ran: list[str] = []
        self.opened: list[str] = []

    def __call__(self) -> float:
        return self.now

    def program(self, name: str, seconds: float) -> Callable[[], Callable[[], None]]:
        def run() -> None:
            self.ran.append(name)
            self.now += seconds + self.drift * self.runs
            self.runs += 1

        def opening() -> Callable[[], None]:
            self.opened.append(name)
            return run

        return opening


def literal_quantile(times: list[float], share: float) -> float:
    ordered = sorted(times)
    h = share * (len(ordered) - 1)
    low = math.floor(h)
    above = ordered[min(low + 1, len(ordered) - 1)]
    return ordered[low] + (h - low) * (above - ordered[low])


@pytest.mark.parametrize("seed", range(5))
def test_a_spread_is_what_its_formulas_say(seed: int) -> None:
    chance = random.Random(seed)
    times = [chance.expovariate(1.0) for _ in range(chance.randint(2, 150))]
    before, found = list(times), spread(times)
    mean = sum(times) / len(times)
    assert found.median == pytest.approx(literal_quantile(times, 0.5))
    assert found.p10 == pytest.approx(literal_quantile(times, 0.1))
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(math.sqrt(sum((t - mean) ** 2 for t in times) / (len(times) - 1)))
    assert times == before


def test_of_one_to_a_hundred_and_one() -> None:
    """Closed forms of 1 … n: median and mean (n + 1) / 2, 10th percentile 1 + (n − 1) / 10, variance n (n + 1) / 12."""
    found = spread([float(t) for t in (*range(51, 102), *range(1, 51))])
    assert (found.median, found.p10, found.mean) == (51.0, 11.0, 51.0)
    assert found.std == pytest.approx(math.sqrt(101 * 102 / 12))


def test_times_that_are_all_alike_have_no_deviation() -> None:
    found = spread([0.25] * 100)
    assert (found.median, found.p10, found.mean, found.std) == (0.25, 0.25, 0.25, 0.0)


def test_turns_go_forwards_and_backwards_and_each_begins_with_a_warm_up() -> None:
    clock = Clock()
    programs = {name: clock.program(name, 1.0) for name in "abc"}
    found = in_turn(programs, runs=8, rounds=4, warm_up=3, clock=clock)
    assert "".join(clock.opened) == "abc" + "cba" + "abc" + "cba"
    assert "".join(clock.ran) == "".join(5 * name for name in clock.opened)
    assert {name: len(times) for name, times in found.items()} == {"a": 8, "b": 8, "c": 8}


def test_every_run_is_timed_for_itself_and_warming_up_is_not() -> None:
    clock = Clock(drift=1.0)
    found = in_turn({"a": clock.program("a", 0.5)}, runs=4, rounds=2, warm_up=1, clock=clock)
    # Runs 0 and 3 warm up.
    assert found == {"a": [1.5, 2.5, 4.5, 5.5]}


@pytest.mark.parametrize("rounds", [2, 4, 6])
def test_a_steady_drift_adds_the_same_to_every_mean(rounds: int) -> None:
    clock = Clock(drift=0.01)
    seconds = {"fast": 1.0, "slow": 3.0, "middle": 2.0}
    programs = {name: clock.program(name, each) for name, each in seconds.items()}
    found = in_turn(programs, runs=24, rounds=rounds, warm_up=2, clock=clock)
    added = {name: spread(times).mean - seconds[name] for name, times in found.items()}
    assert len({round(drift, 9) for drift in added.values()}) == 1, added
    assert added["fast"] > 0


def test_no_fewer_runs_than_asked_where_rounds_do_not_divide_them() -> None:
    clock = Clock()
    found = in_turn({"a": clock.program("a", 1.0)}, runs=101, rounds=4, warm_up=0, clock=clock)
    assert len(found["a"]) == 104
