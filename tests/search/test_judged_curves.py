"""Early stopping judged: curves played again, made up ones here, and those of a real study."""

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.rungs import EPOCHS, RECORDED, RIVALS, Curves, at_random, by_accuracy, by_macs, judge, play
from search.rungs import Rungs, Standing
from search.waiting import Waiting
from tests.search.record_curves import record
from tests.search.test_rungs import OBJECTIVES, literal_standing


class Said:
    """A judge that says what a function says, and lets nobody wait."""

    def __init__(self, decide):
        self.decide = decide

    def report(self, trial, epoch, values):
        return "goes on" if self.decide(trial, epoch, values) else "is stopped"

    def next(self, *, is_idle):  # noqa: ARG002
        return None


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
    judge = Waiting(Rungs(("val_accuracy",), factor=4))
    played = play(Curves(accuracy, np.ones(count), 1.0, 10), judge, order=range(count))
    ideal = (1 + 3 / 4 + 12 / 16) / 16
    assert ideal == 0.15625
    assert ideal - 0.01 < played.epochs / (16 * count) < ideal + 0.01
    assert [reached / count for reached in played.reached] == pytest.approx([1, 1 / 4, 1 / 16], abs=0.015)


@pytest.mark.parametrize("workers", [1, 3, 40])
def test_whoever_nobody_stops_runs_to_its_end_on_any_number_of_workers(workers):
    curves = made_up(30)
    played = play(curves, Said(lambda *_: True), order=range(30), workers=workers)
    assert sorted(played.finished) == list(range(30))
    assert (played.reached, played.epochs) == ((30, 30, 30), 480)
    stopped = play(curves, Said(lambda *_: False), order=range(30), workers=workers)
    assert (stopped.finished, stopped.reached, stopped.epochs) == ((), (30, 0, 0), 30)


def test_workers_report_as_time_passes_and_wait_for_nobody():
    heard = []

    def listen(trial, epoch, _):
        heard.append((int(trial, 16), epoch))
        return int(trial, 16) != 1

    # Two workers, and epochs of 2, 3 and 5 seconds: trial 1 stops after 3 s, and trial 2 takes its place.
    play(made_up(3), Said(listen), order=[0, 1, 2], workers=2, paces=[2, 3, 5])
    assert heard == [(0, 1), (1, 1), (0, 4), (2, 1), (2, 4), (0, 16), (2, 16)]


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_whoever_nobody_beats_at_the_end_has_run_to_its_end(workers):
    curves, seen = made_up(80), {epoch: {} for epoch in EPOCHS}
    judge = Waiting(Rungs(OBJECTIVES, factor=4))

    class Heard:
        next = judge.next

        def report(self, trial, epoch, values):
            seen[epoch][trial] = values
            return judge.report(trial, epoch, values)

    chance = random.Random(workers)
    order = chance.sample(range(80), 80)
    played = play(curves, Heard(), order=order, workers=workers, paces=[chance.uniform(0.5, 1.5) for _ in order])
    assert played.reached[0] == 80
    assert set(played.finished) == {int(trial, 16) for trial in seen[16]}
    assert len(judge) == 0
    assert len(played.finished) < 40
    for before, after in ((1, 4), (4, 16)):
        unbeaten = {trial for trial in seen[before] if literal_standing(trial, seen[before], 4) is Standing.UNBEATEN}
        assert unbeaten <= set(seen[after])


def test_rivals_let_as_many_trials_past_each_rung():
    curves = made_up(60)
    reached = (60, 20, 7)
    assert len(set(at_random(curves, reached, chance=random.Random(0)))) == 7
    assert set(by_macs(curves, reached)) == set(np.argsort(curves.macs)[:7].tolist())
    second = np.argsort(-curves.accuracy[:, 1])[:20]
    assert set(by_accuracy(curves, reached)) == set(second[np.argsort(-curves.accuracy[second, 4])][:7].tolist())


def test_rungs_keep_more_of_a_made_up_front_than_their_rivals_do():
    found = judge(made_up(150, seed=1), factor=4, shuffles=5)
    assert set(found.rivals) == set(RIVALS)
    for name, shares in found.rivals.items():
        assert np.mean(found.rungs) > np.mean(shares), name


CURVES = Curves.read()


def test_the_recorded_curves_are_small_and_whole():
    assert CURVES.accuracy.shape == (276, EPOCHS[-1] + 1)
    assert len(Curves.read(highest_rate=0.01)) >= 200
    assert RECORDED.stat().st_size < 300_000
    assert ((CURVES.accuracy >= 0) & (CURVES.accuracy <= 1)).all()
    assert (CURVES.macs < CURVES.dense_macs).all()


def test_on_recorded_curves_rungs_keep_more_of_the_front_than_their_rivals_do():
    found = judge(CURVES, factor=4, shuffles=20)
    for name in ("random", "macs", "accuracy"):
        assert np.mean(found.rungs) > np.mean(found.rivals[name]), name


def test_at_rates_that_do_not_swing_rungs_keep_the_front_for_a_fifth_of_the_epochs():
    found = judge(Curves.read(highest_rate=0.01), factor=8, shuffles=20)
    assert np.mean(found.rungs) >= 0.995
    assert np.mean(found.epochs) <= 0.2
    for name, shares in found.rivals.items():
        assert np.mean(found.rungs) > np.mean(shares), name


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
