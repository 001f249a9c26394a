"""What docs/scale.md is made of: a simulation, against closed forms of queues, and how measurements are read."""

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.scale import Searched, split, steady
from benchmarks.scale.page import PAGE, RESULTS, filled, moves, scales
from benchmarks.scale.simulation import Costs, Pauses, carried, ring

FREE = Costs(**dict.fromkeys(Costs.__dataclass_fields__, 0.0))


def test_workers_that_wait_for_nobody_work_in_full_batches() -> None:
    ran = ring(4, 10, work=lambda _: 3.0, stations=[lambda _: 0.0])
    assert ran.seconds == 9.0  # 4 + 4 + 2
    assert ran.busy == (0.0,)


@pytest.mark.parametrize("workers", [1, 3, 11, 12, 40])
def test_fixed_times_give_the_smaller_of_what_workers_and_station_do(workers: int) -> None:
    # A round takes 10 + 1: up to 11 workers nobody waits, then the station is never idle.
    trials = 200 * workers
    ran = ring(workers, trials, work=lambda _: 10.0, stations=[lambda _: 1.0])
    assert trials / ran.seconds == pytest.approx(min(workers / 11, 1.0), rel=0.02)
    assert ran.busy[0] == pytest.approx(min(workers / 11, 1.0), rel=0.02)


@pytest.mark.parametrize("workers", [2, 10, 25])
def test_exponential_times_give_the_machine_repair_model(workers: int) -> None:
    # Palm 1958: with N machines and one repairer, p_0 = 1 / sum_k N!/(N-k)! (s/w)^k, and it is busy 1 - p_0.
    drawn, work, service = random.Random(1), 10.0, 1.0
    ran = ring(
        workers,
        60_000,
        work=lambda _: drawn.expovariate(1 / work),
        stations=[lambda _: drawn.expovariate(1 / service)],
    )
    idle = 1 / sum(math.perm(workers, k) * (service / work) ** k for k in range(workers + 1))
    assert ran.busy[0] == pytest.approx(1 - idle, rel=0.02)
    assert 60_000 / ran.seconds == pytest.approx((1 - idle) / service, rel=0.02)


def test_the_slowest_of_several_stations_sets_the_pace() -> None:
    ran = ring(50, 5_000, work=lambda _: 1.0, stations=[lambda _: 0.1, lambda _: 0.4, lambda _: 0.2])
    assert 5_000 / ran.seconds == pytest.approx(1 / 0.4, rel=0.02)
    assert ran.busy == pytest.approx((0.25, 1.0, 0.5), rel=0.02)


def test_a_station_that_slows_down_takes_the_sum_of_its_times() -> None:
    # One worker, no work: 0 + 1 + ... + 9 tenths of a second; what is not counted was served before: 5 + ... + 14.
    assert ring(1, 10, work=lambda _: 0.0, stations=[lambda n: n / 10]).seconds == pytest.approx(4.5)
    assert ring(1, 10, work=lambda _: 0.0, stations=[lambda n: n / 10], unseen=5).seconds == pytest.approx(9.5)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 2 / 12), (0.05, 0.05)])
def test_pauses_take_their_part_of_a_busy_station_and_no_more_than_their_share(share: float, expected: float) -> None:
    pauses = Pauses(lambda _: 2.0, every=10.0, share=share)
    ran = ring(100, 20_000, work=lambda _: 1.0, stations=[lambda _: 0.1], pauses=pauses)
    assert ran.paused == pytest.approx(expected, rel=0.06)
    assert 20_000 / ran.seconds == pytest.approx(10 * (1 - expected), rel=0.02)


def test_workers_that_begin_spread_do_not_meet() -> None:
    assert ring(10, 10, work=lambda _: 10.0, stations=[lambda _: 0.5], is_spread=True).seconds == 19.5
    assert ring(10, 10, work=lambda _: 10.0, stations=[lambda _: 0.5]).seconds == 15.0


def test_what_costs_nothing_is_perfect_at_any_scale() -> None:
    found = carried(FREE, workers=1_000, trials=1_000_000, seconds=30)
    assert found.efficiency == pytest.approx(1.0, rel=0.01)
    assert found.hours == pytest.approx(1e6 * 30 / 1_000 / 3600, rel=0.01)
    assert (found.driver, found.head, found.store, found.network, found.memory) == (0, 0, 0, 0, 0)


def test_a_scale_at_which_nobody_waits_is_the_sum_of_its_costs() -> None:
    costs = replace(FREE, driver=0.02, gap=0.08, reads=10, writes=10, head_bytes=5e6, memory=1e9, memory_row=1e4)
    found = carried(costs, workers=4, trials=1_000, seconds=30)
    rate = 4 / (30 + 0.02 + 0.08 + 20 * 0.03)
    assert found.efficiency == pytest.approx(30 * rate / 4, rel=0.01)
    assert found.driver == pytest.approx(0.02 * rate, rel=0.01)
    assert found.store == pytest.approx(10 / 3_500 * rate, rel=0.01)
    assert found.network == pytest.approx(5e6 * rate / 1.25e9, rel=0.01)
    assert found.memory == pytest.approx(1.01e9)


def test_a_driver_that_slows_down_with_what_is_behind_it_costs_the_mean_of_its_times() -> None:
    costs = replace(FREE, driver=0.1, driver_behind=1e-5)
    found = carried(costs, workers=1_000, trials=100_000, seconds=1)
    assert found.driver == pytest.approx(1.0, rel=0.01)
    assert found.hours * 3600 == pytest.approx(100_000 * (0.1 + 1e-5 * 50_000), rel=0.02)


def test_more_of_any_cost_never_helps() -> None:
    some = replace(FREE, driver=0.02, head=0.01, gap=0.05, reads=5, writes=5, compact=0.1, head_worker=1e-3)
    for name in ("driver", "head", "gap", "writes", "compact", "head_worker"):
        found = [
            carried(replace(some, **{name: getattr(some, name) * factor}), workers=400, trials=20_000, seconds=10)
            for factor in (1, 2, 4)
        ]
        assert all(more.efficiency <= less.efficiency + 1e-3 for less, more in pairwise(found)), name


def test_steady_efficiency_is_what_trials_are_worth_of_the_time_in_which_all_work() -> None:
    # Two workers, trials of one second a quarter of a second apart; the second begins two seconds later.
    first = [(1.25 * k, 1.25 * k + 1) for k in range(8)]
    second = [(2 + 1.25 * k, 3 + 1.25 * k) for k in range(8)]
    assert steady([first, first], seconds=1.0) == pytest.approx(8 / (8 + 7 * 0.25))
    assert steady([first, second], seconds=1.0) == pytest.approx(0.8, abs=0.03)
    # What a trial takes beyond its sleep is lost like what is between two.
    longer = [(1.25 * k, 1.25 * k + 1.25) for k in range(8)]
    assert steady([longer], seconds=1.0) == pytest.approx(0.8)
    assert steady([[(0.0, 1.0)]], seconds=1.0) == 1.0


def test_a_line_through_two_rates_tells_a_trials_cost_from_a_seconds() -> None:
    def seen(rate: float) -> Searched:
        return Searched(0, 0, 0, 0, 0, rate, {"head": 7_000 + 300 * rate}, {"driver": 0.05 + 0.02 * rate}, Counter())

    trial, second = split(seen(2.0), seen(0.5))
    assert trial.network == pytest.approx({"head": 300})
    assert second.network == pytest.approx({"head": 7_000})
    assert trial.cpu == pytest.approx({"driver": 0.02})
    assert second.cpu == pytest.approx({"driver": 0.05})


def test_the_page_says_what_the_results_say() -> None:
    assert PAGE.read_text() == filled(PAGE.read_text(), RESULTS.read_text())


def test_what_fills_up_first_is_named() -> None:
    title, *rows = scales(replace(FREE, driver=0.05))
    of = {(row[0], row[1]): dict(zip(title, row, strict=True)) for row in rows}
    assert of["1,000", "30 s"]["first to fill up"] == "**driver**"
    assert of["1,000", "30 s"]["efficiency"] == "0.600"  # 1 / .05 of 1000 / 30 a second
    assert of["4", "300 s"]["first to fill up"] == "driver, far off"
    moved = {row[0]: row[2] for row in moves(replace(FREE, driver=0.05))[1:]}
    assert moved["as it is"] == "0.600"
    assert all(float(efficiency) >= 0.6 for efficiency in moved.values())
