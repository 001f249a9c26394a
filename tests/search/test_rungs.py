import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import WrongInput
from analysis.schema import MEASURES, measure
from search.rungs import LEARNED, Rungs, Standing, beaters, epsilon_net

OBJECTIVES = ("val_accuracy", "macs")
NAMES = ("val_accuracy", "macs", "val_loss", "sparsity", "bytes")
RUNG = 4

quick = settings(max_examples=60, deadline=None)


def better(name, a, b):
    """Whether a is better than b."""
    return a > b if measure(name).better == "higher" else a < b


def dominates(a, b):
    """The definition: as good in every objective and better in one."""
    return not any(better(name, b[name], a[name]) for name in a) and any(better(name, a[name], b[name]) for name in a)


def beats(a, b):
    """Dominates, and is better in something that recovery changes."""
    return dominates(a, b) and any(better(name, a[name], b[name]) for name in a if name in LEARNED)


def literal_net(points):
    """Farthest first, from the best in the first column; equally far: the largest values first."""
    left = sorted({tuple(point) for point in points}, reverse=True)
    taken = left[:1]
    left = left[1:]
    while left:
        far = [min(math.dist(point, other) for other in taken) for point in left]
        taken.append(left.pop(far.index(max(far))))
    return taken


def literal_standing(trial, seen, factor):
    """The rules of the module, pair by pair; ``seen`` are all reports of the rung, trial → values."""
    mine = seen[trial]
    is_beaten = any(beats(other, mine) for other in seen.values())
    others = Standing.BEHIND if is_beaten else Standing.UNBEATEN
    names = sorted(mine, key=lambda name: (name not in LEARNED, name))
    ends = {name: (min(v[name] for v in seen.values()), max(v[name] for v in seen.values())) for name in names}

    def scaled(values):
        low_high = [(values[name], *ends[name], 1 if measure(name).better == "higher" else -1) for name in names]
        return tuple(
            0.0 if low == high else ((value - low) if sign > 0 else (high - value)) / (high - low)
            for value, low, high, sign in low_high
        )

    best, left, before = math.floor(len(seen) / factor), dict(seen), 0
    while True:
        layer = {t: v for t, v in left.items() if not any(beats(other, v) for other in left.values())}
        if trial in layer:
            break
        before += len(layer)
        left = {t: v for t, v in left.items() if t not in layer}
    if before + len(layer) <= best:
        return Standing.BEST
    for point in literal_net([scaled(values) for values in layer.values()]):
        if before >= best:
            return others
        if point == scaled(mine):
            return Standing.BEST
        before += sum(scaled(values) == point for values in layer.values())
    raise AssertionError("the net names every point")


# Few distinct values: ties in one and in all objectives are common, and so are equal distances. Evenly spread ones are
# scaled exactly, whichever of them are the ends, so that equally far is equally far on both sides.
few = st.sampled_from([0.0, 0.5, 1.0])
streams = st.sampled_from([names for m in (1, 2, 3, 4) for names in itertools.combinations(NAMES, m)]).flatmap(
    lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, few)), min_size=1, max_size=30)
)


def survives(rungs, trial, epoch, values):
    """Report, and see whether the trial is stopped."""
    rungs.report(trial, epoch, values)
    return rungs.standing(trial, epoch) is not Standing.BEHIND


def reported(stream, *, factor=4):
    """Whether each trial of a stream survives, with all that had been seen by then."""
    rungs = Rungs(tuple(stream[0]), epochs=(RUNG, 16), factor=factor)
    seen = {}
    for number, values in enumerate(stream):
        seen[str(number)] = values
        yield survives(rungs, str(number), RUNG, values), str(number), dict(seen)


@quick
@given(streams, st.sampled_from([1.5, 2, 3, 4]))
def test_agrees_with_the_rules_pair_by_pair(stream, factor):
    rungs, seen = Rungs(tuple(stream[0]), epochs=(RUNG, 16), factor=factor), {}
    for number, values in enumerate(stream):
        seen[str(number)] = values
        rungs.report(str(number), RUNG, values)
        assert rungs.standing(str(number), RUNG) is literal_standing(str(number), seen, factor)


def test_of_costs_alone_the_spread_of_the_net_goes_on_first():
    # One of two goes on, and nobody beats the other: the cheapest, which the net takes first.
    rungs = Rungs(("macs",), epochs=(RUNG, 16), factor=1.5)
    for trial, macs in (("cheap", 0.0), ("dear", 0.25)):
        rungs.report(trial, RUNG, {"macs": macs})
    assert rungs.standing("cheap", RUNG) is Standing.BEST
    assert rungs.standing("dear", RUNG) is Standing.UNBEATEN


@pytest.mark.parametrize("seed", range(60))
def test_ties_in_every_layer_agree_with_the_rules(seed):
    chance = random.Random(seed)
    names = (OBJECTIVES, ("val_loss", "macs", "bytes"), ("val_accuracy", "val_loss", "macs"))[seed % 3]
    seen = {str(i): {name: chance.choice([0.0, 0.25, 0.5, 1.0]) for name in names} for i in range(24)}
    factor = chance.choice([1.25, 1.5, 2])
    rungs = Rungs(names, epochs=(RUNG, 16), factor=factor)
    for trial, values in seen.items():
        rungs.report(trial, RUNG, values)
    for trial in chance.sample(sorted(seen), 6):
        assert rungs.standing(trial, RUNG) is literal_standing(trial, seen, factor), (seed, trial)


@quick
@given(streams)
def test_a_nondominated_trial_is_never_stopped(stream):
    for told, trial, seen in reported(stream):
        assert told or any(dominates(other, seen[trial]) for other in seen.values())


@quick
@given(streams)
def test_whoever_is_stopped_was_beaten_in_something_learned_at_no_greater_cost(stream):
    for told, trial, seen in reported(stream):
        assert told or any(beats(other, seen[trial]) for other in seen.values())


@quick
@given(streams, st.sampled_from([2, 4]))
def test_no_more_are_ahead_of_those_that_go_on_than_the_factor_allows(stream, factor):
    for told, trial, seen in reported(stream, factor=factor):
        ahead = sum(beats(other, seen[trial]) for other in seen.values())
        assert not told or ahead == 0 or ahead < len(seen) / factor


@quick
@given(streams, st.randoms(use_true_random=False))
def test_the_order_in_which_objectives_are_named_does_not_matter(stream, chance):
    names = list(stream[0])
    chance.shuffle(names)
    rungs = Rungs(names, epochs=(RUNG, 16), factor=4)
    assert [survives(rungs, trial, RUNG, seen[trial]) for _, trial, seen in reported(stream)] == [
        told for told, _, _ in reported(stream)
    ]


@quick
@given(streams, st.randoms(use_true_random=False))
def test_the_same_reports_in_another_order_are_the_same_state(stream, chance):
    *before, last = stream
    order = list(range(len(before)))
    first, other = (Rungs(tuple(last), epochs=(RUNG, 16), factor=4) for _ in range(2))
    for number in order:
        survives(first, str(number), RUNG, before[number])
    chance.shuffle(order)
    for number in order:
        other.report(str(number), RUNG, before[number])
    assert survives(first, "last", RUNG, last) == survives(other, "last", RUNG, last)


@quick
@given(streams, st.randoms(use_true_random=False))
def test_a_trial_tried_again_replaces_its_report(stream, chance):
    *before, last = stream
    plain, retried = (Rungs(tuple(last), epochs=(RUNG, 16), factor=4) for _ in range(2))
    for number, values in enumerate(before):
        plain.report(str(number), RUNG, values)
        retried.report(str(number), RUNG, chance.choice(stream))
        retried.report("last", RUNG, chance.choice(stream))
    for number, values in enumerate(before):
        retried.report(str(number), RUNG, values)
    told = survives(plain, "last", RUNG, last)
    assert survives(retried, "last", RUNG, last) == told
    assert survives(plain, "last", RUNG, last) == told


@quick
@given(streams)
def test_units_do_not_matter(stream):
    names = list(stream[0])
    scaled = [{name: values[name] * 2.0**place for place, name in enumerate(names)} for values in stream]
    assert [told for told, _, _ in reported(scaled)] == [told for told, _, _ in reported(stream)]


def test_learned_are_accuracies_and_losses():
    assert {"val_accuracy", "val_loss", "train_accuracy"} == LEARNED
    assert {column.name for column in MEASURES} >= LEARNED


@pytest.mark.parametrize("epoch", [1, 4])
def test_with_equal_accuracies_costs_stop_nobody(epoch):
    rungs, chance = Rungs((*OBJECTIVES, "bytes"), factor=4), random.Random(0)
    costs = [{"macs": chance.random(), "bytes": chance.random()} for _ in range(50)]
    assert all(survives(rungs, str(i), epoch, {"val_accuracy": 0.1, **cost}) for i, cost in enumerate(costs))


def test_without_an_accuracy_nobody_is_stopped():
    rungs, chance = Rungs(("macs", "sparsity"), factor=4), random.Random(0)
    assert all(survives(rungs, str(i), 1, {"macs": chance.random(), "sparsity": chance.random()}) for i in range(50))


def test_networks_at_chance_do_not_go_on_for_being_cheap_once_a_cheaper_one_can_do_something():
    rungs = Rungs(OBJECTIVES, factor=4)
    for number in range(20):
        survives(rungs, f"able-{number}", 1, {"val_accuracy": 0.3 + number / 100, "macs": 100.0 + number})
    assert not any(survives(rungs, f"dead-{i}", 1, {"val_accuracy": 0.1, "macs": 101.0 + i}) for i in range(20))


def test_one_objective_is_halving_by_rank():
    chance = random.Random(0)
    rungs, seen = Rungs(("val_loss",), factor=4), []
    for number in range(300):
        seen.append(chance.random())
        place = sorted(seen).index(seen[-1])
        assert survives(rungs, str(number), 1, {"val_loss": seen[-1]}) == (place < max(1, len(seen) // 4))


def test_equal_trials_share_their_fate():
    rungs = Rungs(("val_accuracy",), factor=4)
    assert [survives(rungs, str(number), 1, {"val_accuracy": 0.5}) for number in range(9)] == [True] * 9
    rungs.report("better", 1, {"val_accuracy": 0.6})
    # Of ten, the best two go on: one is better, and nine share the second place.
    assert {survives(rungs, str(number), 1, {"val_accuracy": 0.5}) for number in range(9)} == {True}
    rungs.report("better still", 1, {"val_accuracy": 0.7})
    assert {survives(rungs, str(number), 1, {"val_accuracy": 0.5}) for number in range(9)} == {False}


def test_rungs_are_apart():
    rungs = Rungs(OBJECTIVES, factor=4)
    for number in range(20):
        rungs.report(str(number), 1, {"val_accuracy": 0.9, "macs": 1.0})
    assert survives(rungs, "late", 4, {"val_accuracy": 0.2, "macs": 5.0})
    assert not survives(rungs, "late", 1, {"val_accuracy": 0.2, "macs": 5.0})


@pytest.mark.parametrize("epoch", [16, 3, 40])
def test_the_end_and_other_epochs_stop_nobody(epoch):
    rungs = Rungs(OBJECTIVES, factor=4)
    assert all(survives(rungs, str(i), epoch, {"val_accuracy": 1 - i / 100, "macs": 1.0 + i}) for i in range(50))


def test_without_rungs_nobody_is_stopped():
    rungs = Rungs(OBJECTIVES, epochs=())
    assert all(survives(rungs, str(i), 1, {"val_accuracy": 1 - i / 100, "macs": 1.0 + i}) for i in range(50))


@pytest.mark.parametrize(
    "lacking",
    [
        {"val_accuracy": 0.5},
        {"macs": 1.0},
        {},
        {"val_accuracy": None, "macs": 9.0},
        {"val_accuracy": 0, "macs": math.nan},
    ],
)
def test_a_report_that_lacks_an_objective_is_compared_with_nobody(lacking):
    rungs = Rungs(OBJECTIVES, factor=4)
    for number in range(20):
        rungs.report(str(number), 1, {"val_accuracy": 0.9, "macs": 1.0 + number})
    weak = {"val_accuracy": 0.2, "macs": 30.0}
    assert not survives(rungs, "19", 1, weak)
    assert survives(rungs, "19", 1, lacking)  # and what it reported before is forgotten
    assert survives(rungs, "new", 1, lacking)
    assert len(rungs._reports[1].points) == 19
    assert not survives(rungs, "weak", 1, weak)


def test_an_accuracy_that_is_not_a_number_is_the_worst():
    rungs = Rungs(("val_accuracy", "val_loss", "macs"), factor=4)
    broken = {"val_accuracy": 0.1, "val_loss": math.nan, "macs": 9.0}
    assert survives(rungs, "first", 1, broken)
    rungs.report("able", 1, {"val_accuracy": 0.2, "val_loss": 1e9, "macs": 8.0})
    assert not survives(rungs, "first", 1, broken)


def test_of_a_layer_that_does_not_fit_a_spread_of_networks_goes_on():
    # Five beat one each of five; of ten the best seven go on, so two of the second layer: its ends.
    first = [{"val_accuracy": 0.5 + i / 10, "macs": 10.0 + i} for i in range(5)]
    second = [{"val_accuracy": 0.45 + i / 10, "macs": 10.25 + i} for i in range(5)]
    rungs = Rungs(OBJECTIVES, epochs=(1, 4), factor=10 / 7)
    for number, values in enumerate(first + second):
        rungs.report(str(number), 1, values)
    told = [survives(rungs, str(number + 5), 1, values) for number, values in enumerate(second)]
    assert told == [True, False, False, False, True]


@quick
@given(st.lists(st.tuples(few, few), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_epsilon_net_is_farthest_first_whatever_the_order_of_rows(points, chance):
    chance.shuffle(points)
    found = epsilon_net(np.array(points), at_most=len(points))
    assert [points[place] for place in found] == literal_net(points)


@quick
@given(streams)
def test_beaters_agree_with_the_definition_and_change_nothing(stream):
    names = sorted(stream[0], key=lambda name: (name not in LEARNED, name))
    signs = [1 if measure(name).better == "higher" else -1 for name in names]
    points = np.array([[values[name] * sign for name, sign in zip(names, signs, strict=True)] for values in stream])
    kept = points.copy()
    found = beaters(points, points[0], learned=sum(name in LEARNED for name in names))
    assert found.tolist() == [beats(other, stream[0]) for other in stream]
    assert (points == kept).all()


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"objectives": ()}, "at least one objective"),
        ({"objectives": ("val_acuracy",)}, "val_accuracy"),
        ({"objectives": ("macs", "macs")}, "twice"),
        ({"epochs": (4, 1)}, r"rise from 0 or more, got \[4, 1\]"),
        ({"epochs": (1, 1)}, "rise"),
        ({"epochs": (-1, 1)}, "rise"),
        ({"factor": 1}, "above 1, got 1"),
        ({"factor": math.nan}, "above 1, got nan"),
        ({"factor": math.inf}, "above 1, got inf"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(given_, said):
    with pytest.raises(WrongInput, match=said):
        Rungs(**({"objectives": OBJECTIVES} | given_))
