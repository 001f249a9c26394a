"""What a resumed search knows of its rungs is what it knew when it was stopped."""

from pathlib import Path
from typing import Any

from analysis.curves import of_trial
from search.stopping import Stopping
from trial import curves

COURSE = {"state": "complete", "macs": 100, "recovery_epochs": 16}


def stopping(*rungs: int) -> Stopping:
    return Stopping(["val_accuracy", "macs"], rungs=rungs, end=16, factor=2)


def row(trial: str, accuracy: float, macs: int) -> dict[str, Any]:
    return {"trial": trial, "state": "stopped", "val_accuracy": accuracy, "val_loss": 1.0, "macs": macs}


def written(study: Path, trial: str, accuracies: dict[int, float], *, stage: str = "recovery", round_: int = 1) -> None:
    epochs = [
        {"stage": stage if epoch else "cut", "round": round_, "epoch": epoch, "val_loss": 1.0, "val_accuracy": accuracy}
        for epoch, accuracy in accuracies.items()
    ]
    curves.write(study, trial, [*of_trial(study, trial)["epochs"], *epochs], [])


def test_a_trial_that_another_beats_is_stopped_and_one_that_none_beats_waits_for_room() -> None:
    judge = stopping(1, 4)
    assert judge.reached(row("a", 0.8, 100), 1) == "waits"
    assert judge.reached(row("b", 0.7, 100), 1) == "is stopped"
    assert judge.next(is_idle=False) == ("a", "goes on"), "one of two"
    assert judge.reached(row("c", 0.7, 90), 1) == "waits", "cheaper than the one that is better"
    assert judge.next(is_idle=False) is None
    assert judge.next(is_idle=True) == ("c", "goes on")
    assert judge.reached(row("b", 0.7, 100), 4) == "waits", "the first at the next rung"
    assert judge.reached(row("d", 0.1, 1000), 16) == "goes on", "the end stops nobody"


def test_without_rungs_everybody_goes_on() -> None:
    judge = stopping()
    assert all(judge.reached(row(str(n), 1 / (n + 1), n), 1) == "goes on" for n in range(5))


def test_the_last_rung_is_one_where_recovery_is_longer() -> None:
    judge = Stopping(["val_accuracy", "macs"], rungs=(1, 4), end=4, factor=2)
    assert judge.reached(row("a", 0.8, 100), 4) == "goes on"
    assert judge.reached(row("b", 0.7, 100), 4) == "goes on", "of four epochs the fourth is the end"


def test_rungs_are_remembered_from_curves_at_their_epochs_not_from_what_came_later(tmp_path: Path) -> None:
    # At epoch 1 it had .3, in the end .9: what another has at its epoch 1 is compared with .3.
    written(tmp_path, "a", {0: 0.1, 1: 0.3, 2: 0.5, 4: 0.8})
    rows = [row("a", 0.9, 100) | COURSE]
    fresh, resumed = stopping(0, 1), stopping(0, 1)
    resumed.remember(tmp_path, rows)
    asked = row("b", 0.35, 100)
    assert resumed.reached(asked, 1) == "goes on"
    assert resumed.reached(row("c", 0.25, 100), 1) == "is stopped"
    assert fresh.reached(row("c", 0.25, 100), 1) == "waits"
    assert resumed.reached(row("d", 0.05, 100), 0) == "is stopped", "the cut is epoch 0"


def test_only_the_last_round_is_compared_and_new_statistics_stand_for_the_cut(tmp_path: Path) -> None:
    written(tmp_path, "a", {0: 0.9, 1: 0.9})
    written(tmp_path, "a", {0: 0.2, 1: 0.4}, round_=2)
    curve = of_trial(tmp_path, "a")["epochs"]
    recalibrated = {"stage": "recalibration", "round": 2, "epoch": 0, "val_loss": 1.0, "val_accuracy": 0.3}
    curves.write(tmp_path, "a", [*curve[:3], recalibrated, *curve[3:]], [])
    judge = stopping(0, 1)
    judge.remember(tmp_path, [row("a", 0.4, 100) | COURSE])
    assert judge.reached(row("b", 0.5, 100), 1) == "goes on"
    assert judge.reached(row("c", 0.25, 100), 0) == "is stopped"


def test_a_trial_without_a_curve_is_no_reason_to_stop_anybody(tmp_path: Path) -> None:
    judge = stopping(1)
    judge.remember(tmp_path, [row("a", 0.9, 100)])
    assert judge.reached(row("b", 0.1, 1000), 1) == "waits"
