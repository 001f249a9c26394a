"""What trials share: each stage is made once, sharing changes no row, and a key holds what can change a result."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from analysis import curves
from analysis.schema import MEASURES
from tests.trial import tiny, workbenches
from tests.trial.workbenches import complete, experiment, opened
from trial import rows
from trial.cutting import PAST
from trial.data import Data, Splits, load
from trial.epoch_log import EpochLog
from trial.experiment import Experiment, Numerics
from trial.inventory import remove, stages
from trial.maker import Maker, Tally
from trial.manifest import STAGES, TENSORS
from trial.networks import Network
from trial.plan import Plan
from trial.recipe import Recipe, columns
from trial.recovery import Recovery
from trial.store import FileClaims, Product, Store
from trial.training import Training
from trial.workbench import Workbench

FILTER: dict[str, Any] = {"method": "filter-l1", "ratio": 0.5}
MAGNITUDE: dict[str, Any] = {"method": "magnitude-global", "ratio": 0.8}
SLIMMING: dict[str, Any] = {"method": "slimming", "ratio": 0.5, "penalty": "l1", "lambda": 1e-3}
RELEVANCE: dict[str, Any] = {"method": "relevance", "ratio": 0.5, "images": 16}
RECIPES = [
    FILTER,
    FILTER | {"ratio": 0.505},
    FILTER | {"recovery_schedule": "constant", "recovery_epochs": 3},
    FILTER | {"recovery_schedule": "constant", "recovery_epochs": 4},
    FILTER | {"schedule": "stepwise", "rounds": 2},
    MAGNITUDE,
    SLIMMING,
    SLIMMING | {"ratio": 0.25},
    RELEVANCE,
    RELEVANCE | {"ratio": 0.25},
]
ALIKE = ("state", "error", "epochs", *columns(), *(measure.name for measure in MEASURES))
"""What sharing may not change; times, counts of reuse and the folder's name are a run's own."""


def run(bench: Workbench, given: dict[str, Any]) -> rows.Row:
    return complete(workbenches.run(bench, given))


def keys(study: Path) -> dict[str, set[str]]:
    """The keys of what is stored, by kind of stage."""
    found: dict[str, set[str]] = {}
    for stage in stages(study):
        found.setdefault(stage.kind, set()).add(stage.key)
    return found


def made_by(study: Path, *given: dict[str, Any]) -> Counter[str]:
    """How many stages of each kind recipes make in a study, one after another."""
    before = {stage.key for stage in stages(study)} if (study / STAGES).exists() else set()
    bench = opened(study)
    for each in given:
        run(bench, each)
    return Counter(stage.kind for stage in stages(study) if stage.key not in before)


def test_rows_are_the_same_with_and_without_sharing(tmp_path: Path) -> None:
    shared = opened(tmp_path / "shared")
    together = [run(shared, given) for given in RECIPES]
    alone = [run(opened(tmp_path / str(number)), given) for number, given in enumerate(RECIPES)]
    for one, other in zip(together, alone, strict=True):
        assert {name: one[name] for name in ALIKE} == {name: other[name] for name in ALIKE}
    assert sum(row["epochs_reused"] for row in alone) == 0
    assert sum(row["epochs_reused"] for row in together) == 9 + 1 + 2 + 1
    assert len({row["val_loss"] for row in together}) == len(RECIPES) - 1, "all but the equal cuts differ"


def test_the_dense_network_is_made_once_for_everything(tmp_path: Path) -> None:
    assert made_by(tmp_path, FILTER, MAGNITUDE, RELEVANCE)["dense"] == 1


def test_one_sparsity_trained_network_is_made_for_all_ratios_cut_from_it(tmp_path: Path) -> None:
    assert made_by(tmp_path, *(SLIMMING | {"ratio": ratio} for ratio in (0.25, 0.5, 0.75))) == {
        "dense": 1, "sparsity": 1, "cut": 3, "recovery": 3, "measure": 3,
    }  # fmt: skip


def test_scores_are_made_once_for_all_ratios(tmp_path: Path) -> None:
    assert made_by(tmp_path, *(RELEVANCE | {"ratio": ratio} for ratio in (0.25, 0.5, 0.75))) == {
        "dense": 1, "scores": 1, "cut": 3, "recovery": 3, "measure": 3,
    }  # fmt: skip


def test_equal_cuts_of_different_recipes_are_recovered_once(tmp_path: Path) -> None:
    # ⌊r·n⌋ is the same for .5 and .505 in layers of up to 32 channels; δ = 1 ranks by relevance alone.
    made = made_by(tmp_path, FILTER, FILTER | {"ratio": 0.505})
    assert made == {"dense": 1, "cut": 2, "recovery": 1, "measure": 1}
    mixed = RELEVANCE | {"method": "mixed", "delta": 1.0}
    assert made_by(tmp_path, RELEVANCE, mixed) == {"scores": 1, "cut": 2, "recovery": 1, "measure": 1}


def test_what_is_recovered_before_another_round_is_what_is_recovered_for_good(tmp_path: Path) -> None:
    """At a constant rate the first of two rounds to .5 is the whole of one to .25."""
    constant = FILTER | {"recovery_schedule": "constant"}
    assert made_by(tmp_path, constant | {"schedule": "stepwise", "rounds": 2})["recovery"] == 2
    assert made_by(tmp_path, constant | {"ratio": 0.25}) == {"measure": 1}


def test_equal_networks_with_other_cuts_behind_them_are_recovered_once_and_cut_apart(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    recipe = Recipe.parse(FILTER, bench.experiment, where="spec.yaml")
    plan = Plan(bench._maker, bench.splits, Tally())
    dense, _ = plan._dense()
    pasts = [{"sizes": {"0": 8}, "lost": {"0": lost}, "channels": {}, "columns": {}} for lost in (1, 2)]
    found = []
    for past in pasts:
        cut = replace(dense, record={PAST: past})
        *_, (_, network, key) = plan._recovered(recipe, cut, dense, round_=1, dense_weights=1000, goes_on=True)
        found.append((network, key))
    assert Counter(stage.kind for stage in stages(tmp_path)) == {"dense": 1, "recovery": 1}
    assert [network.record[PAST] for network, _ in found] == pasts
    assert found[0][1] != found[1][1], "the next round's cut would be that of the other"


def test_what_was_pruned_is_made_again_with_the_same_outcome_and_rows_stay(tmp_path: Path) -> None:
    before = run(opened(tmp_path), SLIMMING)
    whole = keys(tmp_path)
    assert remove(tmp_path, older_than=None, keep=0, now=0.0)
    assert keys(tmp_path) == {}
    assert run(opened(tmp_path), SLIMMING) == before, "a trial that has a row is not run again"
    assert keys(tmp_path) == {}
    (tmp_path / "rows" / f"{before['trial']}.json").unlink()
    again = run(opened(tmp_path), SLIMMING)
    assert {name: again[name] for name in ALIKE} == {name: before[name] for name in ALIKE}
    assert keys(tmp_path) == whole


def test_curves_of_dense_and_sparsity_training_are_whole_when_they_come_from_the_store(tmp_path: Path) -> None:
    def written(bench: Workbench) -> list[dict[str, Any]]:
        bench.dense()
        for ratio in (0.25, 0.5):
            run(bench, SLIMMING | {"ratio": ratio})
        curves.compact(tmp_path)
        table: list[dict[str, Any]] = curves.read(tmp_path).to_pylist()
        return table

    epochs = {"dense": {"epochs": 2, "batch": 16}, "sparsity": {"epochs": 3, "batch": 16}}
    made = written(opened(tmp_path, **epochs))
    assert Counter(epoch["stage"] for epoch in made) == {"dense": 2, "sparsity": 2 * 3, "cut": 2, "recovery": 2}
    for epoch in made:
        if epoch["stage"] != "cut":
            for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
                assert isinstance(epoch[name], float), (epoch["stage"], name)
    # All of it once more, from the stages alone.
    for file in [*(tmp_path / "rows").iterdir(), *(tmp_path / "curves").iterdir()]:
        file.unlink()
    stored = keys(tmp_path)
    assert written(opened(tmp_path, **epochs)) == made
    assert keys(tmp_path) == stored


class Asked(Exception):
    """What a plan asks its store for first."""


class Asking(Store):
    """Answers nothing: the question is what is looked at."""

    def get_or_make(
        self,
        key: str,
        make: Callable[[], Product],  # noqa: ARG002
        *,
        kind: str | None = None,
        absent: Callable[[], None] | None = None,  # noqa: ARG002
    ) -> tuple[Product, bool]:
        raise Asked(kind, key)


@pytest.fixture(scope="module")
def splits(_own_cache: None) -> Splits:
    return load(experiment().data)


def dense_key(given: Experiment, splits: Splits, folder: Path) -> str:
    maker = Maker(
        given,
        Asking(folder, FileClaims(folder / "claims")),
        fingerprint=splits.fingerprint,
        classes=len(splits.classes),
        device=torch.device("cpu"),
        log=EpochLog(folder),
    )
    with pytest.raises(Asked) as asked:
        Plan(maker, splits, Tally()).dense()
    kind, key = asked.value.args
    assert kind == "dense"
    return str(key)


def another(value: Any) -> Any:
    """A value that differs; keys are asked for, and nothing is trained by it."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case _:
            return f"not {value}"


SECTIONS: dict[str, tuple[type[BaseModel], bool, set[str]]] = {
    "dense": (Training, True, set()),
    "sparsity": (Training, False, set()),
    "recovery": (Recovery, False, set()),
    "numerics": (Numerics, True, {"threads"}),
    # What a user's own network is made of is hashed, wherever its files lie: test_workbench has those.
    "network": (Network, True, {"code", "weights"}),
}
"""Section → its model, whether its fields are in the dense network's key, and which of them are an exception."""
FILES = {"network.code", "network.weights"}


def law() -> Iterator[tuple[str, str, bool]]:
    for section, (model, is_in_key, exceptions) in SECTIONS.items():
        for name in model.model_fields:
            if f"{section}.{name}" not in FILES:
                yield section, name, is_in_key != (name in exceptions)


@pytest.mark.parametrize(("section", "name", "is_in_key"), list(law()))
def test_the_dense_key_holds_what_can_change_the_dense_network_and_nothing_else(
    tmp_path: Path, splits: Splits, section: str, name: str, is_in_key: bool
) -> None:
    base = experiment()
    before = getattr(base, section)
    other = "seed-cnn" if (section, name) == ("network", "name") else another(getattr(before, name))
    changed = base.model_copy(update={section: before.model_copy(update={name: other})})
    assert (dense_key(changed, splits, tmp_path) != dense_key(base, splits, tmp_path)) is is_in_key


def test_every_section_of_an_experiment_has_a_law() -> None:
    assert SECTIONS.keys() | {"seed", "data", "latency", "checkpoint_every"} == Experiment.model_fields.keys()


def test_another_seed_is_another_dense_key_and_a_timing_none(tmp_path: Path, splits: Splits) -> None:
    assert dense_key(experiment(seed=1), splits, tmp_path) != dense_key(experiment(), splits, tmp_path)
    assert dense_key(experiment(latency=True), splits, tmp_path) == dense_key(experiment(), splits, tmp_path)
    assert dense_key(experiment(checkpoint_every=7), splits, tmp_path) == dense_key(experiment(), splits, tmp_path)


DATA: dict[str, dict[str, Any]] = {
    "validation": {"validation": 30},
    "images": {"images": 50},
    "augment": {"augment": []},
    "classes": {"classes": [0, 1, 2]},
    "size": {"size": 16},
}
"""Settings of the data, each with another value of its."""
NOT_THE_IMAGES = {"name", "folder", "download", "label"}
"""What is hashed is images and labels, not what they are called or where they lie."""


def test_the_dense_key_holds_whatever_changes_the_images(tmp_path: Path, splits: Splits) -> None:
    base = {"name": "digits", "images": 60, "validation": 20}
    assert DATA.keys() | NOT_THE_IMAGES == Data.model_fields.keys(), "say of each setting whether it changes images"
    seen = {dense_key(experiment(), splits, tmp_path)}
    for changes in DATA.values():
        seen.add(dense_key(experiment(), load(Data.model_validate(base | changes)), tmp_path))
    assert len(seen) == 1 + len(DATA)


@pytest.mark.parametrize(
    ("base", "change", "new"),
    [
        (FILTER, {"ratio": 0.25}, "cut recovery measure"),
        (FILTER, {"apply": "mask"}, "cut recovery measure"),
        (FILTER, {"recovery_rate": 0.03}, "recovery measure"),
        (FILTER, {"recovery_epochs": 0}, "recovery measure"),
        (FILTER, {"control": "scratch"}, "scratch measure"),
        (SLIMMING, {"lambda": 0.01}, "sparsity cut recovery measure"),
        (SLIMMING, {"penalty": "tl1", "a": 1.0}, "sparsity cut recovery measure"),
        (RELEVANCE, {"images": 32}, "scores cut"),
        (RELEVANCE, {"statistic": "max"}, "cut"),
    ],
    ids=str,
)
def test_a_recipes_settings_change_the_stages_they_can_change_and_none_before(
    tmp_path: Path, base: dict[str, Any], change: dict[str, Any], new: str
) -> None:
    made_by(tmp_path, base)
    # Of what follows a cut, whatever equal cuts share need not be made.
    assert set(new.split()) <= set(made_by(tmp_path, base | change)) <= {*new.split(), "recovery", "measure"}


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({"recovery": {"epochs": 1, "batch": 8}}, "recovery measure"),
        ({"sparsity": {"epochs": 1, "batch": 8}}, "sparsity cut recovery measure"),
        ({"numerics": {"threads": 2}}, "sparsity cut recovery measure"),
    ],
    ids=str,
)
def test_an_experiments_settings_change_the_stages_they_can_change_and_none_before(
    tmp_path: Path, change: dict[str, Any], new: str
) -> None:
    run(opened(tmp_path), SLIMMING)
    before = keys(tmp_path)
    given = SLIMMING
    for file in (tmp_path / "rows").iterdir():
        file.unlink()
    run(opened(tmp_path, **change), given)
    assert {kind for kind, stored in keys(tmp_path).items() if stored - before[kind]} == set(new.split())


def test_a_stage_weighs_what_its_network_weighs_in_single_precision(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    for given in (FILTER | {"recovery_schedule": "constant", "recovery_epochs": 3}, SLIMMING, MAGNITUDE):
        run(bench, given)
    dense = sum(tensor.nbytes for tensor in tiny.made(classes=10).state_dict().values())
    parameters = sum(parameter.nbytes for parameter in tiny.made(classes=10).parameters())
    for stage in stages(tmp_path):
        folder = tmp_path / STAGES / stage.key
        stored = Product.from_bytes((folder / TENSORS).read_bytes(), {})
        assert all(tensor.dtype in {torch.float32, torch.int64} for tensor in stored.tensors.values()), stage.kind
        assert sum(tensor.nbytes for tensor in stored.tensors.values()) <= dense
        assert sum(tensor.nbytes for tensor in stored.momentum.values()) <= parameters
        assert not stored.momentum or stage.kind == "recovery", (
            "momentum is kept on the way of a chain and nowhere else"
        )
        # One byte for each weight that a mask may hold.
        assert sum(tensor.nbytes for tensor in stored.mask.keep.values()) <= parameters // 4
