"""A recovery in links is the recovery in one piece, and a shorter one lies on the way of a longer one."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.trial.workbenches import complete, curve, opened, outcome, run
from trial import plan
from trial.inventory import Stage, stages
from trial.links import Link, links
from trial.manifest import STAGES, TENSORS
from trial.recipe import Recipe
from trial.schedules import Schedule
from trial.store import Product
from trial.training import Training

FILTER: dict[str, Any] = {"method": "filter-l1", "ratio": 0.5, "recovery_schedule": "constant"}
MAGNITUDE: dict[str, Any] = {"method": "magnitude-global", "ratio": 0.8, "recovery_schedule": "constant"}


def of_kind(study: Path, kind: str) -> list[Stage]:
    return [stage for stage in stages(study) if stage.kind == kind]


@pytest.mark.parametrize("epochs", [0, 1, 2, 3, 5, 7, 10, 12, 100, 250, 1000])
def test_links_follow_one_another_and_end_at_marks_and_at_the_end(epochs: int) -> None:
    chain = links(Training(epochs=epochs, schedule="constant"))
    marks = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
    assert [link.last for link in chain] == sorted({mark for mark in marks if mark < epochs} | {epochs})
    assert [link.first for link in chain] == [0, *(link.last for link in chain[:-1])]
    assert [link.may_go_on for link in chain] == [link.last in marks for link in chain]


def test_a_shorter_chain_is_on_the_way_of_a_longer_one_up_to_its_last_mark() -> None:
    for shorter in (1, 2, 5, 10):
        on_the_way = links(Training(epochs=17, schedule="constant"))
        assert links(Training(epochs=shorter, schedule="constant")) == [
            link for link in on_the_way if link.last <= shorter
        ]


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step"])
def test_a_rate_that_knows_the_total_is_one_link(schedule: Schedule) -> None:
    assert links(Training(epochs=12, schedule=schedule)) == [Link(0, 12, may_go_on=False)]


@pytest.mark.parametrize(
    "given",
    [
        FILTER | {"recovery_epochs": 3},
        MAGNITUDE | {"recovery_epochs": 3},
        FILTER | {"recovery_epochs": 2, "recovery_distillation": 0.5, "recovery_recalibrate": 2},
        FILTER | {"recovery_epochs": 3, "schedule": "stepwise", "rounds": 2},
        MAGNITUDE | {"recovery_epochs": 2, "schedule": "stepwise", "rounds": 2},
    ],
    ids=["removed", "masked", "taught", "rounds", "masked rounds"],
)
def test_links_give_the_bits_of_one_uninterrupted_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    chained = complete(run(opened(tmp_path / "chained"), given))
    with monkeypatch.context() as patch:
        patch.setattr(plan, "links", lambda training, **_: [Link(0, training.epochs, may_go_on=False)])
        at_once = complete(run(opened(tmp_path / "at once"), given))
    rounds = given.get("rounds", 1)
    assert len(of_kind(tmp_path / "chained", "recovery")) == given["recovery_epochs"] * rounds
    assert len(of_kind(tmp_path / "at once", "recovery")) == rounds
    # Measures are keyed by the content of the network: equal keys are equal bits.
    measured = [{stage.key for stage in of_kind(tmp_path / name, "measure")} for name in ("chained", "at once")]
    assert measured[0] == measured[1]
    assert outcome(chained) == outcome(at_once)
    assert curve(tmp_path / "chained", chained) == curve(tmp_path / "at once", at_once)


@pytest.mark.parametrize("order", [(5, 10), (10, 5)])
def test_five_epochs_are_on_the_way_to_ten_in_whatever_order(tmp_path: Path, order: tuple[int, int]) -> None:
    bench = opened(tmp_path)
    first, second = (run(bench, FILTER | {"recovery_epochs": epochs}) for epochs in order)
    assert [first["epochs"], second["epochs"]] == [1 + epochs for epochs in order]
    # The second trial gets the dense epoch and five of recovery from the store.
    assert [first["epochs_reused"], second["epochs_reused"]] == [0, 6]
    assert Counter(stage.kind for stage in stages(tmp_path)) == {"dense": 1, "cut": 1, "recovery": 4, "measure": 2}
    curves = {
        row["recovery_epochs"]: [epoch for epoch in curve(tmp_path, row) if epoch["stage"] == "recovery"]
        for row in (first, second)
    }
    assert [epoch["epoch"] for epoch in curves[10]] == list(range(1, 11))
    shorter, longer = ([epoch | {"trial": ""} for epoch in curves[epochs]] for epochs in (5, 10))
    assert shorter == longer[:5]
    for row in (first, second):
        last = curve(tmp_path, row)[-1]
        assert (row["val_loss"], row["val_accuracy"]) == (last["val_loss"], last["val_accuracy"])


def test_momentum_is_kept_where_longer_trainings_go_on_and_nowhere_else(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    run(bench, FILTER | {"recovery_epochs": 3})
    run(bench, FILTER | {"recovery_epochs": 3, "recovery_schedule": "cosine"})
    with_momentum = Counter[tuple[str, int, bool]]()
    for stage in stages(tmp_path):
        folder = tmp_path / STAGES / stage.key
        record = json.loads((folder / "manifest.json").read_bytes())["record"]
        stored = Product.from_bytes((folder / TENSORS).read_bytes(), record)
        last = record["curve"][-1]["epoch"] if record.get("curve") else 0
        with_momentum[stage.kind, last, bool(stored.momentum)] += 1
    assert with_momentum == {
        ("dense", 1, False): 1,
        ("cut", 0, False): 1,
        ("recovery", 1, True): 1,
        ("recovery", 2, True): 1,
        ("recovery", 3, False): 2,
        ("measure", 0, False): 2,
    }


def test_a_chain_that_diverges_keeps_its_links_and_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened(tmp_path)
    whole = plan.stages.recover

    def diverges(*given: Any, **options: Any) -> Product:
        if options["part"].first == 2:
            raise ArithmeticError("diverged")
        return whole(*given, **options)

    recipe = Recipe.parse(FILTER | {"recovery_epochs": 4}, bench.experiment, where="spec.yaml")
    with monkeypatch.context() as patch:
        patch.setattr(plan.stages, "recover", diverges)
        failed = bench.run(recipe)
    assert (failed["state"], failed["epochs"]) == ("failed", 1 + 2)
    assert len(of_kind(tmp_path, "recovery")) == 2
    again = bench.run(recipe)
    assert (again["state"], again["epochs"], again["epochs_reused"]) == ("complete", 5, 3)
