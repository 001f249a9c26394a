"""A trial that pauses on its way: at rungs, where it may be stopped, and at checkpoints, where it may be taken up."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analysis import curves
from analysis.epochs import Epochs, counted
from tests.trial import workbenches
from tests.trial.workbenches import outcome
from trial import plan, rows
from trial.inventory import stages
from trial.links import links
from trial.plan import Parent, Rung, ended
from trial.recipe import Recipe
from trial.schedules import Schedule
from trial.training import Training
from trial.workbench import Workbench

FILTER: dict[str, Any] = {"method": "filter-l1", "ratio": 0.5}
SLIMMING: dict[str, Any] = {"method": "slimming", "ratio": 0.5, "penalty": "l1", "lambda": 1e-3}


def opened(study: Path, *, epochs: int = 4, schedule: Schedule = "one-cycle", **changes: Any) -> Workbench:
    recovery = {"epochs": epochs, "schedule": schedule}
    usual = {"dense": {"epochs": 2}, "sparsity": {"epochs": 2}, "recovery": recovery}
    return workbenches.opened(study, **{**usual, **changes})


def recipe(bench: Workbench, given: dict[str, Any]) -> Recipe:
    return Recipe.parse(given, bench.experiment, where="spec.yaml")


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "constant"])
@pytest.mark.parametrize(("ends", "every"), [((), None), ((1, 4, 16), 5), ((0, 3, 99), 20), ((2,), 1)])
def test_links_follow_one_another_end_where_asked_and_are_no_longer_than_asked(
    schedule: Schedule, ends: tuple[int, ...], every: int | None
) -> None:
    for total in (0, 1, 3, 16, 40):
        chain = links(Training(epochs=total, schedule=schedule), ends=ends, every=every, is_shared=False)
        assert chain[0].first == 0
        assert chain[-1].last == total
        assert [link.first for link in chain[1:]] == [link.last for link in chain[:-1]]
        assert {end for end in ends if 0 < end < total} <= {link.last for link in chain}
        assert all(link.last - link.first <= (every or total) for link in chain)
        assert [link.may_go_on for link in chain] == [True] * (len(chain) - 1) + [False]


@pytest.mark.parametrize(
    "given", [FILTER, FILTER | {"recovery_recalibrate": 2}, {"method": "magnitude-global", "ratio": 0.8}]
)
def test_a_trial_with_rungs_ends_as_one_without(tmp_path: Path, given: dict[str, Any]) -> None:
    bench, other = opened(tmp_path / "a"), opened(tmp_path / "b", checkpoint_every=3)
    steps = bench.steps(recipe(bench, given), rungs=(0, 1, 2, 4))
    rungs = []
    while True:
        try:
            rungs.append(next(steps))
        except StopIteration as end:
            row = end.value
            break
    assert [step.epoch for step in rungs if isinstance(step, Rung)] == [0, 1, 2], "the end is no rung"
    assert outcome(row) == outcome(other.run(recipe(other, given)))
    written = [
        json.loads((folder / "curves" / f"{row['trial']}.json").read_bytes())
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    for each in written:
        assert each.pop("spans"), "who did what and when differs, where a stage is read again after a rung"
    assert written[0] == written[1]


def test_at_a_rung_the_row_says_what_is_known_there(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    steps = bench.steps(recipe(bench, FILTER), rungs=(0, 2))
    first, second = next(steps), next(steps)
    assert isinstance(first, Rung)
    assert isinstance(second, Rung)
    steps.close()
    curve = curves.of_trial(tmp_path, first.known["trial"])["epochs"]
    by_epoch = {epoch["epoch"]: epoch for epoch in curve}
    for rung, epoch in ((first, 0), (second, 2)):
        assert rung.known["state"] == "stopped"
        assert rung.known["val_accuracy"] == by_epoch[epoch]["val_accuracy"]
        assert rung.known["val_loss"] == by_epoch[epoch]["val_loss"]
        assert set(rung.known) == set(rows.blank())
    assert first.known["val_accuracy"] == first.known["val_accuracy_before"]
    assert (first.known["epochs"], second.known["epochs"]) == (2, 4)
    # It leaves no row of its own: whoever stops it writes that.
    assert bench.row(recipe(bench, FILTER)) is None
    whole = ended(bench.steps(recipe(bench, FILTER), rungs=(0, 2)))
    assert (whole["state"], whole["epochs"], whole["epochs_reused"]) == ("complete", 2 + 4, 2 + 2)
    costs = ("params", "macs", "bytes", "peak_memory", "sparsity", "ratio_achieved")
    assert {name: first.known[name] for name in costs} == {name: whole[name] for name in costs}


def test_rungs_are_of_the_last_round(tmp_path: Path) -> None:
    bench = opened(tmp_path, epochs=2)
    given = FILTER | {"schedule": "stepwise", "rounds": 3}
    reached = list(bench.steps(recipe(bench, given), rungs=(0, 1)))
    assert [step.epoch for step in reached if isinstance(step, Rung)] == [0, 1]
    assert [step.known["epochs"] for step in reached if isinstance(step, Rung)] == [2 + 4, 2 + 5]


def test_a_control_that_is_trained_from_scratch_has_no_rungs(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    assert list(bench.steps(recipe(bench, FILTER | {"control": "scratch"}), rungs=(0, 1))) == []


def test_the_parent_that_recipes_share_is_announced_when_it_is_stored(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    steps = bench.steps(recipe(bench, SLIMMING))
    assert next(steps) == Parent()
    assert Counter(stage.kind for stage in stages(tmp_path))["sparsity"] == 1
    ended(steps)
    assert list(bench.steps(recipe(bench, FILTER))) == []
    one, other, third = (recipe(bench, SLIMMING | change) for change in ({}, {"ratio": 0.25}, {"lambda": 1e-2}))
    assert one.parent == other.parent != third.parent
    assert recipe(bench, FILTER).parent is None


class Killed(BaseException):
    """Stands for a process that ends between two epochs: nothing of what would come after is done."""


@pytest.mark.parametrize("kind", ["dense", "sparsity", "recovery"])
def test_a_kill_costs_no_more_than_the_epochs_since_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Of eight epochs with a checkpoint after every third, the seventh never ends: the last one's first is lost."""
    given = {"dense": {"epochs": 8}, "sparsity": {"epochs": 8}, "checkpoint_every": 3}
    asked = SLIMMING if kind == "sparsity" else FILTER
    whole = opened(tmp_path / "whole", epochs=8, **given)
    undisturbed = whole.run(recipe(whole, asked))
    killed = opened(tmp_path / "killed", epochs=8, **given)
    watched = plan.Maker.watched

    def ends(maker: Any, training: str, on_epoch: Any) -> Any:
        note = watched(maker, training, on_epoch)

        def ended_epoch(epoch: Any) -> None:
            if stage[0] == kind and epoch.epoch == 8:
                raise Killed
            note(epoch)

        return ended_epoch

    stage = [""]
    trained = plan.Plan._trained

    def named(self: Any, name: str, *given: Any, **options: Any) -> Any:
        for each in trained(self, name, *given, **options):
            stage[0] = name
            yield each

    def naming(self: Any, name: str, *given: Any, **options: Any) -> Any:
        stage[0] = name
        return named(self, name, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(plan.Maker, "watched", ends)
        patch.setattr(plan.Plan, "_trained", naming)
        with pytest.raises(Killed):
            killed.run(recipe(killed, asked))
    again = killed.run(recipe(killed, asked))
    assert outcome(again) == outcome(undisturbed)
    disturbed, whole_ones = counted(tmp_path / "killed"), counted(tmp_path / "whole")
    assert whole_ones == Epochs(disturbed.needed, disturbed.needed)
    assert disturbed.executed - disturbed.needed == 1, (
        "epoch 7 was run after the checkpoint at 6, epoch 8 was not noted"
    )
