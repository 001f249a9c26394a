"""Indicators beside the hypervolume, of arrays and of tables."""

import itertools
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import costs, indicators, pareto, quality
from analysis.errors import WrongInput
from analysis.indicators import Scale
from analysis.quality import Reference

UNIT = Scale(worst=0.0, best=1.0)

shares = st.integers(0, 8).map(lambda eighths: eighths / 8)  # exact in binary, with many ties


def sets(*, least: int = 1) -> st.SearchStrategy[tuple[list[tuple[float, ...]], list[tuple[float, ...]]]]:
    """Two sets of points of one dimension from 1 to 4, the second never empty."""
    return st.integers(1, 4).flatmap(
        lambda m: st.tuples(
            st.lists(st.tuples(*[shares] * m), min_size=least, max_size=6),
            st.lists(st.tuples(*[shares] * m), min_size=1, max_size=6),
        )
    )


def literal_epsilon(points, reference):
    """The smallest step that lets some point be as good as each of the reference, everywhere."""
    return max(min(max(r - a for r, a in zip(ref, point, strict=True)) for point in points) for ref in reference)


def literal_igd_plus(points, reference):
    distances = [
        min(math.sqrt(sum(max(r - a, 0.0) ** 2 for r, a in zip(ref, p, strict=True))) for p in points)
        for ref in reference
    ]
    return sum(distances) / len(distances)


def literal_r2(points, weights):
    return sum(
        min(max(w * (1 - a) for w, a in zip(weight, p, strict=True)) for p in points) for weight in weights
    ) / len(weights)


def literal_lattice(objectives, steps):
    """Every way to hand out ``steps`` equal parts, by trying all."""
    every = itertools.product(range(steps + 1), repeat=objectives)
    return [tuple(part / steps for part in parts) for parts in every if sum(parts) == steps]


@given(sets())
def test_epsilon_and_igd_plus_agree_with_their_formulas(both):
    points, reference = both
    unit = [UNIT] * len(points[0])
    a, r = np.array(points), np.array(reference)
    assert indicators.epsilon_additive(a, r, unit) == pytest.approx(literal_epsilon(points, reference), abs=1e-12)
    assert indicators.igd_plus(a, r, unit) == pytest.approx(literal_igd_plus(points, reference), abs=1e-12)


@given(sets(), st.randoms(use_true_random=False))
def test_a_better_set_is_nowhere_called_worse(both, chance):
    """All four agree with dominance: a set with more points is as good or better, in whatever order."""
    points, reference = both
    unit = [UNIT] * len(points[0])
    more = [*points, *reference]
    chance.shuffle(more)
    few, many, r = np.array(points), np.array(more), np.array(reference)
    assert indicators.hypervolume(many, unit) >= indicators.hypervolume(few, unit) - 1e-12
    assert indicators.epsilon_additive(many, r, unit) <= indicators.epsilon_additive(few, r, unit)
    assert indicators.igd_plus(many, r, unit) == 0.0 <= indicators.igd_plus(few, r, unit)
    assert indicators.r2(many, unit) <= indicators.r2(few, unit) + 1e-12


@pytest.mark.parametrize(("objectives", "steps"), [(1, None), (3, 30), (4, 12), (5, 8)])
def test_weights_are_the_finest_lattice_of_at_most_500(objectives, steps):
    found = {tuple(weight) for weight in indicators._lattice(objectives)}
    if steps is None:
        assert found == {(1.0,)}
    else:
        assert found == set(literal_lattice(objectives, steps))
        assert len(found) <= 500 < math.comb(steps + objectives, objectives - 1)


@given(st.lists(st.tuples(*[shares] * 3), min_size=1, max_size=5))
def test_r2_of_three_objectives_agrees_with_its_formula(points):
    expected = literal_r2(points, literal_lattice(3, 30))
    assert indicators.r2(np.array(points), [UNIT] * 3) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=5))
def test_r2_of_two_objectives_is_the_limit_of_ever_finer_weights(points):
    weights = [((i + 0.5) / 400, 1 - (i + 0.5) / 400) for i in range(400)]
    assert indicators.r2(np.array(points), [UNIT] * 2) == pytest.approx(literal_r2(points, weights), abs=1e-4)


def test_closed_forms():
    """One point (a, b) of two: R2 is the mean over w of max(w(1-a), (1-w)(1-b)); at the corners 0, 3/4 and 1/2."""
    best, worst, half = (np.array([point]) for point in [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0)])
    unit = [UNIT] * 2
    assert [indicators.r2(point, unit) for point in (best, worst, half)] == pytest.approx([0.0, 0.75, 0.5])
    assert indicators.epsilon_additive(half, best, unit) == 1.0
    assert indicators.epsilon_additive(best, worst, unit) == -1.0
    assert indicators.igd_plus(worst, best, unit) == pytest.approx(math.sqrt(2))
    assert indicators.igd_plus(best, worst, unit) == 0.0


def test_no_points_are_as_bad_as_the_worst_corner():
    none, worst, r = np.empty((0, 3)), np.zeros((1, 3)), np.array([[0.5, 0.75, 1.0]])
    unit = [UNIT] * 3
    for found in (indicators.epsilon_additive, indicators.igd_plus):
        assert found(none, r, unit) == found(worst, r, unit)
        with pytest.raises(ValueError, match="at least one point"):
            found(worst, none, unit)
    assert indicators.r2(none, unit) == indicators.r2(worst, unit)


@pytest.mark.parametrize("place", [0, 1])
def test_nan_is_refused_wherever_it_is(place):
    sets = [np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])]
    sets[place] = np.array([[0.5, math.nan]])
    for found in (indicators.epsilon_additive, indicators.igd_plus):
        with pytest.raises(ValueError, match="NaN"):
            found(*sets, [UNIT] * 2)
    with pytest.raises(ValueError, match="NaN"):
        indicators.r2(np.array([[math.nan, 0.5]]), [UNIT] * 2)


# A reference as given: nothing is scaled, and what lies beyond it adds nothing.

raw = st.integers(1, 3).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(-4, 4).map(float)] * m), min_size=0, max_size=6)
)


@given(raw, st.integers(-4, 4))
def test_hypervolume_to_a_reference_counts_unit_cells(points, corner):
    """With whole numbers the volume is the number of unit cells that some point covers."""
    m = len(points[0]) if points else 2
    directions = ["higher", "lower", "higher"][:m]
    signs = [1 if direction == "higher" else -1 for direction in directions]
    gains = [[sign * (value - corner) for sign, value in zip(signs, point, strict=True)] for point in points]
    cells = itertools.product(range(9), repeat=m)
    covered = sum(
        any(all(cell < gain for cell, gain in zip(each, point, strict=True)) for point in gains) for each in cells
    )
    found = indicators.hypervolume_to(np.array(points).reshape(-1, m), directions, reference=[corner] * m)
    assert found == covered


def test_what_is_not_finite_is_refused_before_moocore_sees_it():
    for values, corner in [([[math.nan, 1.0]], [0, 0]), ([[math.inf, 1.0]], [0, 0]), ([[1.0, 1.0]], [0, math.nan])]:
        with pytest.raises(ValueError, match="finite"):
            indicators.hypervolume_to(np.array(values), ["higher", "higher"], reference=corner)


# Tables.

DENSE = {"method": "dense", "val_accuracy": 0.5, "macs": 100}
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def rows(*given):
    """Complete rows of two classes, a second apart, ten seconds and two epochs each, one of them another trial's."""
    made = [
        {
            "trial": f"{i:03}",
            "state": "complete",
            "classes": 2,
            "started": (BEGAN + timedelta(seconds=i)).isoformat(),
            "seconds": 10.0,
            "epochs": 2,
            "epochs_reused": 1,
            **row,
        }
        for i, row in enumerate(given)
    ]
    return pa.Table.from_pylist([dict.fromkeys(made[0]) | row for row in made])


def net(method, accuracy, macs, **more):
    return {"method": method, "val_accuracy": accuracy, "macs": macs, **more}


OBJECTIVES = ("val_accuracy", "macs")


def test_the_hypervolume_of_a_table_is_scaled_or_to_a_reference_as_given():
    table = rows(DENSE, net("lamp", 0.75, 50), net("snip", 0.6, 90), net("lamp", 0.9, 10, state="failed"))
    assert quality.hypervolume(table, OBJECTIVES) == pytest.approx(0.5 * 0.5)
    given_ = {"macs": 200.0, "val_accuracy": 0.55}
    assert quality.hypervolume(table, OBJECTIVES, reference=given_) == pytest.approx(0.2 * 150)
    pruned = table.slice(1)
    with pytest.raises(WrongInput, match="dense network"):
        quality.hypervolume(pruned, OBJECTIVES)
    assert quality.hypervolume(pruned, OBJECTIVES, scale_of=table) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("reference", "said"),
    [({"macs": 1.0}, "one number for each"), ({"macs": 1.0, "val_accuracy": math.nan}, "finite"), ({}, "got none")],
)
def test_a_reference_that_does_not_fit_is_said(reference, said):
    with pytest.raises(WrongInput, match=said):
        quality.hypervolume(rows(DENSE), OBJECTIVES, reference=reference)


def test_dense_networks_of_several_kinds_give_no_scale():
    table = rows(DENSE | {"network": "vgg16", "data": "digits"}, DENSE | {"network": "resnet20", "data": "digits"})
    with pytest.raises(WrongInput, match="resnet20 digits, vgg16 digits: no scale fits"):
        indicators.scales(table, OBJECTIVES)


def test_what_each_method_adds():
    """lamp: .5 of accuracy at half the cost; snip less at the same, and a cheap one; slim the same network as lamp."""
    table = rows(
        DENSE,
        net("lamp", 0.75, 50),
        net("snip", 0.7, 50),
        net("snip", 0.6, 25),
        net("slim", 0.75, 50),
        net("none of it", 0.9, 10, state="failed"),
    )
    reference = Reference.of(table, OBJECTIVES)
    found = {each.group: each for each in quality.contributions(table, reference)}
    # Scaled: lamp (.5, .5), snip (.4, .5) and (.2, .75). Together .25 + .2 * .25.
    assert quality.assess(table, reference).hypervolume == pytest.approx(0.3)
    assert found["snip"].alone == pytest.approx(0.4 * 0.5 + 0.2 * 0.25)
    assert found["snip"].own == pytest.approx(0.05)
    assert (found["snip"].networks, found["snip"].on_front) == (2, 1)
    assert (found["lamp"].own, found["lamp"].alone, found["lamp"].on_front) == (0.0, pytest.approx(0.25), 1)
    assert found["none of it"] == quality.Contribution("none of it", 0, 0, 0.0, 0.0)
    assert quality.contributions(table, reference)[0].group == "snip"
    assert reference.front.tolist() == [[0.75, 50], [0.75, 50], [0.6, 25]]
    assert "val_accuracy 0.5 to 1, macs 100 to 0" in str(reference)
    assert "of all 6 rows (3 networks)" in str(reference)


def literal_over_cost(table, reference, cost):
    """After each trial that ended, in order: all that was paid, and the indicators of all that is there."""
    entries = sorted(
        table.to_pylist(),
        key=lambda row: (datetime.fromisoformat(row["started"]) + timedelta(seconds=row["seconds"]), row["trial"]),
    )
    paid, found = 0.0, {0.0: quality.assessed(np.empty((0, 2)), reference)}
    for count in range(1, len(entries) + 1):
        row = entries[count - 1]
        paid += {
            "trials": float(row["method"] != "dense"),
            "seconds": row["seconds"],
            "epochs": row["epochs"] - row["epochs_reused"],
        }[cost]
        here = pa.Table.from_pylist(entries[:count], schema=table.schema)
        values = pareto.values(pareto.candidates(here, OBJECTIVES), OBJECTIVES)
        found[paid] = quality.assessed(values, reference)
    return found


trials = st.lists(
    st.builds(
        lambda state, accuracy, macs, seconds, epochs: net(
            "lamp",
            accuracy / 8,
            macs * 25,
            state=state,
            seconds=float(seconds),
            epochs=epochs,
            epochs_reused=epochs // 2,
        ),
        st.sampled_from(["complete", "complete", "failed"]),
        st.integers(3, 8),
        st.integers(0, 5),
        st.integers(0, 5),
        st.integers(0, 4),
    ),
    max_size=8,
)


@given(trials, st.sampled_from(costs.COSTS))
def test_what_a_front_costs_agrees_with_counting_anew_after_each_trial(made, cost):
    table = rows(DENSE, *made)
    reference = Reference.of(table, OBJECTIVES)
    expected = literal_over_cost(table, reference, cost)
    found = costs.over_cost(table, reference, cost=cost)
    assert found[0].cost == 0.0 or cost == "trials" or len(found) == 1
    assert [each.cost for each in found] == sorted({each.cost for each in found})
    assert found[-1].cost == max(expected)
    for paid, known in expected.items():
        latest = [each for each in found if each.cost <= paid][-1].indicators
        for name in ("hypervolume", "epsilon", "igd_plus", "r2"):
            assert getattr(latest, name) == pytest.approx(getattr(known, name), abs=1e-12), (name, paid)


def test_costs_that_are_not_known_are_said():
    table = rows(DENSE, net("lamp", 0.75, 50))
    reference = Reference.of(table, OBJECTIVES)
    with pytest.raises(WrongInput, match="did you mean seconds"):
        costs.over_cost(table, reference, cost="second")
    silent = table.set_column(table.column_names.index("started"), "started", pa.nulls(2, pa.string()))
    with pytest.raises(WrongInput, match="says when it started"):
        costs.over_cost(silent, reference)
