import itertools
import json
import math
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import WrongInput
from analysis.schema import MEASURES, measure
from benchmarks.rungs import EPOCHS, RECORDED, RIVALS, Curves, at_random, by_accuracy, by_macs, judge, play
from search.rungs import LEARNED, Rungs, beaters, epsilon_net
from tests.search.record_curves import record

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


def literal_goes_on(trial, seen, factor):
    """Rules 1 and 2 of the module, pair by pair; ``seen`` are all reports of the rung, trial → values."""
    mine = seen[trial]
    if not any(beats(other, mine) for other in seen.values()):
        return True
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
        return True
    for point in literal_net([scaled(values) for values in layer.values()]):
        if before >= best:
            return False
        if point == scaled(mine):
            return True
        before += sum(scaled(values) == point for values in layer.values())
    raise AssertionError("the net names every point")


# Few distinct values, exact in binary: ties in one and in all objectives are common, and so are equal distances.
few = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
streams = st.sampled_from([names for m in (1, 2, 3, 4) for names in itertools.combinations(NAMES, m)]).flatmap(
    lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, few)), min_size=1, max_size=30)
)


def reported(stream, *, factor=4):
    """What each trial of a stream is told, with all that had been seen by then."""
    rungs = Rungs(tuple(stream[0]), epochs=(RUNG, 16), factor=factor)
    seen = {}
    for number, values in enumerate(stream):
        seen[str(number)] = values
        yield rungs.report(str(number), RUNG, values), str(number), dict(seen)


@quick
@given(streams, st.sampled_from([1.5, 2, 3, 4]))
def test_agrees_with_the_rules_pair_by_pair(stream, factor):
    for told, trial, seen in reported(stream, factor=factor):
        assert told == literal_goes_on(trial, seen, factor)


@pytest.mark.parametrize("seed", range(60))
def test_ties_in_every_layer_agree_with_the_rules(seed):
    chance = random.Random(seed)
    names = (OBJECTIVES, ("val_loss", "macs", "bytes"), ("val_accuracy", "val_loss", "macs"))[seed % 3]
    seen = {str(i): {name: chance.choice([0.0, 0.25, 0.5, 1.0]) for name in names} for i in range(24)}
    factor = chance.choice([1.25, 1.5, 2])
    rungs = Rungs(names, epochs=(RUNG, 16), factor=factor)
    for trial, values in seen.items():
        rungs.record(trial, RUNG, values)
    for trial in chance.sample(sorted(seen), 6):
        assert rungs.report(trial, RUNG, seen[trial]) == literal_goes_on(trial, seen, factor), (seed, trial)


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
    rungs = Rungs(names, epochs=(RUNG, 16))
    assert [rungs.report(trial, RUNG, seen[trial]) for _, trial, seen in reported(stream)] == [
        told for told, _, _ in reported(stream)
    ]


@quick
@given(streams, st.randoms(use_true_random=False))
def test_the_same_reports_in_another_order_are_the_same_state(stream, chance):
    *before, last = stream
    order = list(range(len(before)))
    first, other = (Rungs(tuple(last), epochs=(RUNG, 16)) for _ in range(2))
    for number in order:
        first.report(str(number), RUNG, before[number])
    chance.shuffle(order)
    for number in order:
        other.record(str(number), RUNG, before[number])
    assert first.report("last", RUNG, last) == other.report("last", RUNG, last)


@quick
@given(streams, st.randoms(use_true_random=False))
def test_a_trial_tried_again_replaces_its_report(stream, chance):
    *before, last = stream
    plain, retried = (Rungs(tuple(last), epochs=(RUNG, 16)) for _ in range(2))
    for number, values in enumerate(before):
        plain.record(str(number), RUNG, values)
        retried.record(str(number), RUNG, chance.choice(stream))
        retried.record("last", RUNG, chance.choice(stream))
    for number, values in enumerate(before):
        retried.record(str(number), RUNG, values)
    told = plain.report("last", RUNG, last)
    assert retried.report("last", RUNG, last) == told
    assert plain.report("last", RUNG, last) == told


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
    rungs, chance = Rungs((*OBJECTIVES, "bytes")), random.Random(0)
    costs = [{"macs": chance.random(), "bytes": chance.random()} for _ in range(50)]
    assert all(rungs.report(str(i), epoch, {"val_accuracy": 0.1, **cost}) for i, cost in enumerate(costs))


def test_without_an_accuracy_nobody_is_stopped():
    rungs, chance = Rungs(("macs", "sparsity")), random.Random(0)
    assert all(rungs.report(str(i), 1, {"macs": chance.random(), "sparsity": chance.random()}) for i in range(50))


def test_networks_at_chance_do_not_go_on_for_being_cheap_once_a_cheaper_one_can_do_something():
    rungs = Rungs(OBJECTIVES)
    for number in range(20):
        rungs.report(f"able-{number}", 1, {"val_accuracy": 0.3 + number / 100, "macs": 100.0 + number})
    assert not any(rungs.report(f"dead-{i}", 1, {"val_accuracy": 0.1, "macs": 101.0 + i}) for i in range(20))


def test_one_objective_is_halving_by_rank():
    chance = random.Random(0)
    rungs, seen = Rungs(("val_loss",)), []
    for number in range(300):
        seen.append(chance.random())
        place = sorted(seen).index(seen[-1])
        assert rungs.report(str(number), 1, {"val_loss": seen[-1]}) == (place < max(1, len(seen) // 4))


def test_equal_trials_share_their_fate():
    rungs = Rungs(("val_accuracy",), factor=4)
    assert [rungs.report(str(number), 1, {"val_accuracy": 0.5}) for number in range(9)] == [True] * 9
    rungs.record("better", 1, {"val_accuracy": 0.6})
    # Of ten, the best two go on: one is better, and nine share the second place.
    assert {rungs.report(str(number), 1, {"val_accuracy": 0.5}) for number in range(9)} == {True}
    rungs.record("better still", 1, {"val_accuracy": 0.7})
    assert {rungs.report(str(number), 1, {"val_accuracy": 0.5}) for number in range(9)} == {False}


def test_rungs_are_apart():
    rungs = Rungs(OBJECTIVES)
    for number in range(20):
        rungs.record(str(number), 1, {"val_accuracy": 0.9, "macs": 1.0})
    assert rungs.report("late", 4, {"val_accuracy": 0.2, "macs": 5.0})
    assert not rungs.report("late", 1, {"val_accuracy": 0.2, "macs": 5.0})


@pytest.mark.parametrize("epoch", [16, 3, 40])
def test_the_end_and_other_epochs_stop_nobody(epoch):
    rungs = Rungs(OBJECTIVES)
    assert all(rungs.report(str(i), epoch, {"val_accuracy": 1 - i / 100, "macs": 1.0 + i}) for i in range(50))


def test_without_rungs_nobody_is_stopped():
    rungs = Rungs(OBJECTIVES, epochs=())
    assert all(rungs.report(str(i), 1, {"val_accuracy": 1 - i / 100, "macs": 1.0 + i}) for i in range(50))


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
    rungs = Rungs(OBJECTIVES)
    for number in range(20):
        rungs.record(str(number), 1, {"val_accuracy": 0.9, "macs": 1.0 + number})
    weak = {"val_accuracy": 0.2, "macs": 30.0}
    assert not rungs.report("19", 1, weak)
    assert rungs.report("19", 1, lacking)  # and what it reported before is forgotten
    assert rungs.report("new", 1, lacking)
    assert len(rungs._reports[1].points) == 19
    assert not rungs.report("weak", 1, weak)


def test_an_accuracy_that_is_not_a_number_is_the_worst():
    rungs = Rungs(("val_accuracy", "val_loss", "macs"))
    broken = {"val_accuracy": 0.1, "val_loss": math.nan, "macs": 9.0}
    assert rungs.report("first", 1, broken)
    rungs.record("able", 1, {"val_accuracy": 0.2, "val_loss": 1e9, "macs": 8.0})
    assert not rungs.report("first", 1, broken)


def test_of_a_layer_that_does_not_fit_a_spread_of_networks_goes_on():
    # Five beat one each of five; of ten the best seven go on, so two of the second layer: its ends.
    first = [{"val_accuracy": 0.5 + i / 10, "macs": 10.0 + i} for i in range(5)]
    second = [{"val_accuracy": 0.45 + i / 10, "macs": 10.25 + i} for i in range(5)]
    rungs = Rungs(OBJECTIVES, epochs=(1, 4), factor=10 / 7)
    for number, values in enumerate(first + second):
        rungs.record(str(number), 1, values)
    told = [rungs.report(str(number + 5), 1, values) for number, values in enumerate(second)]
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


def made_up(count, *, seed=0):
    """Curves that cross: what a network can do rises with its MACs, and some are slow."""
    chance = np.random.default_rng(seed)
    macs = chance.uniform(0.02, 1, count)
    final = 0.3 + 0.4 * macs**0.2 - chance.exponential(0.03, count)
    pace = chance.uniform(0.3, 2, (count, 1))
    accuracy = final[:, None] * (1 - 0.5 * np.exp(-pace * np.arange(17))) + chance.normal(0, 0.003, (count, 17))
    return Curves(accuracy, np.round(macs * 1e6), dense_macs=1e6, classes=10)


def test_halving_alone_takes_a_sixth_of_the_epochs():
    # One objective, the same rank at every rung: 1 + 3/4 + 12/16 of 16 epochs, and a little for the first to arrive.
    count, chance = 1500, random.Random(0)
    accuracy = np.repeat(np.array([chance.random() for _ in range(count)])[:, None], 17, axis=1)
    rungs = Rungs(("val_accuracy",))
    played = play(Curves(accuracy, np.ones(count), 1.0, 10), rungs.report, order=range(count))
    ideal = (1 + 3 / 4 + 12 / 16) / 16
    assert ideal == 0.15625
    assert ideal - 0.01 < played.epochs / (16 * count) < ideal + 0.01
    assert [reached / count for reached in played.reached] == pytest.approx([1, 1 / 4, 1 / 16], abs=0.015)


@pytest.mark.parametrize("workers", [1, 3, 40])
def test_whoever_nobody_stops_runs_to_its_end_on_any_number_of_workers(workers):
    curves = made_up(30)
    played = play(curves, lambda *_: True, order=range(30), workers=workers)
    assert sorted(played.finished) == list(range(30))
    assert (played.reached, played.epochs) == ((30, 30, 30), 480)
    stopped = play(curves, lambda *_: False, order=range(30), workers=workers)
    assert (stopped.finished, stopped.reached, stopped.epochs) == ((), (30, 0, 0), 30)


def test_workers_report_as_time_passes_and_wait_for_nobody():
    heard = []

    def listen(trial, epoch, _):
        heard.append((int(trial, 16), epoch))
        return int(trial, 16) != 1

    # Two workers, and epochs of 2, 3 and 5 seconds: trial 1 stops after 3 s, and trial 2 takes its place.
    play(made_up(3), listen, order=[0, 1, 2], workers=2, paces=[2, 3, 5])
    assert heard == [(0, 1), (1, 1), (0, 4), (2, 1), (2, 4), (0, 16), (2, 16)]


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_decisions_follow_the_rules_at_the_moment_of_each_report(workers):
    curves, rungs, seen = made_up(80), Rungs(OBJECTIVES), {epoch: {} for epoch in EPOCHS}

    def checked(trial, epoch, values):
        seen[epoch][trial] = values
        told = rungs.report(trial, epoch, values)
        assert told == (epoch == 16 or literal_goes_on(trial, seen[epoch], 4))
        return told

    chance = random.Random(workers)
    order = chance.sample(range(80), 80)
    played = play(curves, checked, order=order, workers=workers, paces=[chance.uniform(0.5, 1.5) for _ in order])
    assert played.reached[0] == 80
    assert set(played.finished) == {int(trial, 16) for trial in seen[16]}
    assert len(played.finished) < 40


def test_rivals_let_as_many_trials_past_each_rung():
    curves = made_up(60)
    reached = (60, 20, 7)
    assert len(set(at_random(curves, reached, chance=random.Random(0)))) == 7
    assert set(by_macs(curves, reached)) == set(np.argsort(curves.macs)[:7].tolist())
    second = np.argsort(-curves.accuracy[:, 1])[:20]
    assert set(by_accuracy(curves, reached)) == set(second[np.argsort(-curves.accuracy[second, 4])][:7].tolist())


def test_rungs_keep_more_of_a_made_up_front_than_their_rivals_do():
    found = judge(made_up(150, seed=1), shuffles=5)
    assert set(found.rivals) == set(RIVALS)
    for name, shares in found.rivals.items():
        assert np.mean(found.rungs) > np.mean(shares), name


CURVES = Curves.read() if RECORDED.exists() else made_up(0)
RECORDED_CURVES = 0
"""So many are in the fixture."""

ENOUGH = 200


def test_the_recorded_curves_are_as_many_as_this_file_says():
    assert len(CURVES) == RECORDED_CURVES


@pytest.mark.skipif(len(CURVES) == 0, reason="no curves are recorded")
def test_the_recorded_curves_are_small_and_whole():
    assert CURVES.accuracy.shape == (len(CURVES), EPOCHS[-1] + 1)
    assert RECORDED.stat().st_size < 300_000
    assert ((CURVES.accuracy >= 0) & (CURVES.accuracy <= 1)).all()
    assert (CURVES.macs < CURVES.dense_macs).all()


@pytest.mark.skipif(len(CURVES) < ENOUGH, reason=f"{len(CURVES)} of {ENOUGH} curves are recorded")
def test_on_recorded_curves_a_fifth_of_the_epochs_keeps_the_front():
    found = judge(CURVES, shuffles=20)
    assert np.mean(found.rungs) >= 0.995
    assert np.mean(found.epochs) <= 0.2
    for name in ("random", "macs"):
        assert np.mean(found.rungs) > np.mean(found.rivals[name])


def test_a_study_is_recorded_as_its_rows_and_curves_have_it(tmp_path):
    def write(trial, *, curve, **row):
        for folder, held in (("rows", row | {"trial": trial}), ("curves", {"epochs": curve, "spans": []})):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{trial}.json").write_text(json.dumps(held))

    def epochs(accuracies, *, of_round=1):
        return [
            {"stage": "recovery", "round": of_round, "epoch": i + 1, "val_accuracy": a}
            for i, a in enumerate(accuracies)
        ]

    known = {"state": "complete", "recovery_epochs": 2, "val_accuracy_before": 0.1, "torch": "2", "version": "1"}
    write("00", **known, curve=[], method="dense", macs=100, classes=10, val_accuracy=0.6)
    write("0b", **known, curve=epochs([0.3, 0.5]), method="fpgm", ratio=0.5, recovery_rate=0.1, scope=None, macs=30)
    write("0a", **known, curve=epochs([0.2, 0.4]), method="taylor", ratio=0.7, macs=20)
    write("0c", **known | {"state": "stopped"}, curve=epochs([0.2]), method="taylor", ratio=0.7, macs=20)
    write("0d", **known | {"recovery_epochs": 1}, curve=epochs([0.2]), method="taylor", ratio=0.6, macs=20)
    write("0e", **known, curve=epochs([0.2, 0.3], of_round=2), method="taylor", ratio=0.5, macs=20)
    (tmp_path / "spec.yaml").write_text("data: {name: digits, folder: /mine}\nrecovery: {epochs: 2}\n")
    assert record(tmp_path, tmp_path / "out.parquet") == 2
    found = Curves.read(tmp_path / "out.parquet")
    assert found.accuracy.tolist() == [[0.1, 0.2, 0.4], [0.1, 0.3, 0.5]]
    assert found.macs.tolist() == [20, 30]
    assert (found.dense_macs, found.classes) == (100, 10)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["trial", "method", "knobs", "epoch", "val_accuracy", "macs"]
    assert json.loads(table["knobs"][3].as_py()) == {"ratio": 0.5, "recovery_epochs": 2, "recovery_rate": 0.1}
    assert b"record_curves" in table.schema.metadata[b"command"]
    assert b"/mine" not in table.schema.metadata[b"spec"]
