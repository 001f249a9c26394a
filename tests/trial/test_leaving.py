"""A trial that leaves its machine after an epoch, and goes on elsewhere as if it had not."""

import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.epochs import counted
from tests.trial.workbenches import experiment, outcome
from trial.inventory import remove
from trial.leaving import Left, note, noted, stays
from trial.plan import ended
from trial.recipe import Recipe
from trial.workbench import Workbench

FILTER: dict[str, Any] = {"method": "filter-l1", "ratio": 0.5}
SLIMMING: dict[str, Any] = {"method": "slimming", "ratio": 0.5, "penalty": "l1", "lambda": 1e-3}


class Notices:
    """Says after every so many epochs that the machine is about to be taken away."""

    def __init__(self, every: int) -> None:
        self._every, self._asked = every, 0

    def __call__(self) -> bool:
        self._asked += 1
        return self._asked % self._every == 0


def opened(study: Path, schedule: str, *, dense: int = 1, leaves: Callable[[], bool] = stays) -> Workbench:
    longer: dict[str, Any] = {
        "dense": {"epochs": dense},
        "sparsity": {"epochs": 4},
        "recovery": {"epochs": 5, "schedule": schedule},
    }
    given = experiment(**longer, checkpoint_every=20)
    return Workbench(given, study, study_name=study.name, worker="here", leaves=leaves)


@pytest.mark.parametrize(
    ("given", "schedule", "every"),
    [
        (FILTER, "one-cycle", 2),
        (SLIMMING, "constant", 1),
        ({**FILTER, "schedule": "stepwise", "rounds": 2, "apply": "mask"}, "one-cycle", 3),
    ],
)
def test_a_trial_that_leaves_and_goes_on_elsewhere_ends_as_one_that_stays_and_runs_no_epoch_twice(
    tmp_path: Path, given: dict[str, Any], schedule: str, every: int
) -> None:
    whole = opened(tmp_path / "stays", schedule)
    whole.dense()
    want = whole.run(Recipe.parse(given, whole.experiment, where="test"))
    assert want["state"] == "complete", want["error"]
    opened(tmp_path / "leaves", schedule).dense()
    marks: dict[str, set[int]] = defaultdict(set)
    notices, machines = Notices(every), 0
    while True:
        machines += 1
        elsewhere = opened(tmp_path / "leaves", schedule, leaves=notices)
        recipe = Recipe.parse(given, elsewhere.experiment, where="test")
        try:
            row = ended(elsewhere.steps(recipe, marks=marks))
        except Left as left:
            assert elsewhere.row(recipe) is None
            marks[left.training].add(left.epoch)
        else:
            break
    assert machines > 1
    assert outcome(row) == outcome(want)
    epochs = counted(tmp_path / "leaves")
    assert epochs.executed == epochs.needed == counted(tmp_path / "stays").executed


def test_who_does_not_know_where_a_trial_was_left_begins_at_its_last_checkpoint(tmp_path: Path) -> None:
    bench = opened(tmp_path, "one-cycle", leaves=Notices(4))  # the dense epoch is the first
    recipe = Recipe.parse(FILTER, bench.experiment, where="test")
    with pytest.raises(Left) as left:
        bench.run(recipe)
    assert left.value.epoch == 3
    shutil.rmtree(tmp_path / "left")
    whole = opened(tmp_path, "one-cycle")
    assert whole.run(recipe)["state"] == "complete"
    epochs = counted(tmp_path)
    assert epochs.executed - epochs.needed == 3


def test_whoever_opens_the_study_later_goes_on_where_trials_and_the_dense_network_were_left(tmp_path: Path) -> None:
    with pytest.raises(Left) as left:
        opened(tmp_path, "one-cycle", dense=3, leaves=Notices(2)).dense()
    assert left.value.epoch == 2
    row = opened(tmp_path, "one-cycle", dense=3).dense()
    whole = opened(tmp_path / "stays", "one-cycle", dense=3).dense()
    assert outcome(row) | {"study": ""} == outcome(whole) | {"study": ""}
    bench = opened(tmp_path, "one-cycle", dense=3, leaves=Notices(3))
    recipe = Recipe.parse(FILTER, bench.experiment, where="test")
    with pytest.raises(Left):
        bench.run(recipe)
    assert opened(tmp_path, "one-cycle", dense=3).run(recipe)["state"] == "complete"
    epochs = counted(tmp_path)
    assert epochs.executed == epochs.needed == 3 + 5


def test_what_is_no_note_of_a_training_is_passed_over(tmp_path: Path) -> None:
    assert noted(tmp_path) == {}
    for epoch in (3, 12, 3):
        note(tmp_path, Left("a" * 64, epoch, "b" * 64))
    for name in ("b-", "-", "c", "d-1.5", ".hidden", "e-x"):
        (tmp_path / "left" / name).touch()
    assert {training: sorted(epochs) for training, epochs in noted(tmp_path).items()} == {"a" * 64: [3, 12]}


def test_a_note_goes_with_the_stage_that_it_is_about_and_nothing_else_does(tmp_path: Path) -> None:
    with pytest.raises(Left):
        opened(tmp_path, "one-cycle", dense=3, leaves=Notices(2)).dense()
    (tmp_path / "left" / "folder-1").mkdir()
    for name, said in (("README", "f" * 64), ("of-old-2", ""), ("long-3", "f" * 5_000)):
        (tmp_path / "left" / name).write_text(said)
    others = {"folder-1", "README", "of-old-2", "long-3"}
    now = time.time()
    remove(tmp_path, older_than=3600, keep=None, now=now)
    assert len(list((tmp_path / "left").iterdir())) == 1 + len(others)
    remove(tmp_path, older_than=None, keep=0, now=now)
    assert {path.name for path in (tmp_path / "left").iterdir()} == others
