import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from analysis.errors import WrongInput
from analysis.schema import COLUMNS, MEASURES
from methods.core.cut import Cut
from methods.core.method import Evidence
from methods.filter_l1 import FilterL1
from tests.trial import workbenches
from tests.trial.workbenches import complete, outcome, run
from trial import cutting, measures, rows
from trial.recipe import Recipe, columns
from trial.training import TrainingDiverged
from trial.workbench import Workbench

FILTER: dict[str, Any] = {"method": "filter-l1", "ratio": 0.5}
MEASURED = ("val_accuracy", "val_loss", "train_accuracy", "sparsity", "params", "macs", "bytes", "gzip_bytes")


VGG = {
    "network": {"name": "vgg16-bn", "width": 0.0625},
    "data": {"name": "digits", "images": 200, "validation": 40},
    "dense": {"epochs": 1},
    "sparsity": {"epochs": 1},
    "recovery": {"epochs": 1},
}


def opened(study: Path, **changes: Any) -> Workbench:
    return workbenches.opened(study, VGG, **changes)


def stored(study: Path, stage: str) -> list[dict[str, Any]]:
    """The records of the stages that hold a certain entry: "val_accuracy" for measures, "asked" for cuts."""
    records = [json.loads(file.read_bytes())["record"] for file in (study / "stages").rglob("manifest.json")]
    return [record for record in records if stage in record]


def test_the_dense_network_is_trained_once_and_shared(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    first, second = complete(run(bench, FILTER)), complete(run(bench, FILTER | {"ratio": 0.25}))
    assert (first["epochs"], first["epochs_reused"]) == (2, 0)
    assert (second["epochs"], second["epochs_reused"]) == (2, 1)
    dense = complete(bench.dense())
    assert (dense["method"], dense["epochs"], dense["epochs_reused"]) == ("dense", 1, 1)
    assert (dense["ratio_achieved"], dense["sparsity"]) == (0.0, 0.0)
    assert first["params"] < second["params"] < dense["params"]
    assert first["macs"] < second["macs"] < dense["macs"]
    assert len(stored(tmp_path, "asked")) == 2


def test_sparsity_training_is_shared_by_the_ratios_of_one_penalty(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    given = {"method": "slimming", "penalty": "l1", "lambda": 1e-3}
    trained = [complete(run(bench, given | {"ratio": ratio})) for ratio in (0.3, 0.6)]
    other = complete(run(bench, given | {"ratio": 0.3, "lambda": 1e-2}))
    assert [(row["epochs"], row["epochs_reused"]) for row in (*trained, other)] == [(3, 0), (3, 2), (3, 1)]


def test_a_row_has_every_column_and_is_on_the_disk(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    row = complete(run(bench, FILTER))
    assert list(row) == list(dict.fromkeys([*(column.name for column in COLUMNS), *columns()]))
    assert rows.read(tmp_path, row["trial"]) == row
    assert rows.read_all(tmp_path) == [row]
    assert row["ratio_achieved"] == pytest.approx(0.5, abs=0.05)
    assert [row[name] for name in ("method", "ratio", "scope", "linear", "apply")] == [
        "filter-l1", 0.5, "layer", "channel", "remove",
    ]  # fmt: skip
    assert [row[name] for name in ("lambda", "p", "penalty", "latency_ms")] == [None] * 4
    assert [row[name] for name in ("study", "network", "width", "data", "seed", "worker", "classes")] == [
        tmp_path.name, "vgg16-bn", 0.0625, "digits", 0, "here", 10,
    ]  # fmt: skip
    for measure in (*MEASURED, "val_accuracy_before", "val_loss_before"):
        assert measure in {column.name for column in MEASURES}
        assert isinstance(row[measure], int | float), measure


def test_an_equal_recipe_is_not_run_again(tmp_path: Path) -> None:
    first = run(opened(tmp_path), FILTER)
    # The scope is the default's: the same recipe, written in full.
    again = run(opened(tmp_path), FILTER | {"scope": "layer"})
    assert again == first
    assert again["started"] == first["started"]
    assert len(rows.read_all(tmp_path)) == 1


def test_recipes_that_lead_to_one_cut_share_all_that_follows(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    # ⌊r·n⌋ is the same for .5 and .505 in layers of up to 32 channels.
    one, other = complete(run(bench, FILTER)), complete(run(bench, FILTER | {"ratio": 0.505}))
    assert one["trial"] != other["trial"]
    assert (other["epochs"], other["epochs_reused"]) == (2, 2)
    assert [one[name] for name in MEASURED] == [other[name] for name in MEASURED]
    assert len(stored(tmp_path, "val_accuracy")) == 1


def test_the_same_trial_in_two_folders_gives_the_same_bits(tmp_path: Path) -> None:
    given = {"method": "slimming", "ratio": 0.5, "penalty": "tl1", "lambda": 1e-3, "a": 1.0}
    both = [complete(run(opened(tmp_path / name), given)) for name in ("one", "other")]
    assert outcome(both[0]) == outcome(both[1])
    contents = [{file.parent.name for file in (tmp_path / name).rglob("manifest.json")} for name in ("one", "other")]
    assert contents[0] == contents[1]


def test_another_seed_is_another_network(tmp_path: Path) -> None:
    one, other = (complete(run(opened(tmp_path, seed=seed), FILTER)) for seed in (0, 1))
    assert one["trial"] != other["trial"]
    assert one["val_loss"] != other["val_loss"]
    assert other["epochs_reused"] == 0


@pytest.mark.parametrize(
    "given", [{"method": "magnitude-global", "ratio": 0.9}, FILTER | {"linear": "magnitude"}], ids=str
)
def test_masked_weights_are_zero_after_recovery(tmp_path: Path, given: dict[str, Any]) -> None:
    bench = opened(tmp_path, network={"name": "seed-cnn", "width": 0.0625}, recovery={"epochs": 2})
    row = complete(run(bench, given))
    assert row["ratio_achieved"] == pytest.approx(given["ratio"], abs=1e-3)
    assert row["sparsity"] >= row["ratio_achieved"] - 1e-3
    assert row["sparsity"] > 0.4


def broken(error: Exception) -> type[FilterL1]:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Broken(FilterL1):
        def cut(self, network: nn.Module, evidence: Evidence, *, ratio: float) -> Cut:  # noqa: ARG002
            raise error

    return Broken


def run_broken(bench: Workbench, error: Exception) -> rows.Row:
    return bench.run(Recipe.of(broken(error)(ratio=0.5), bench.experiment))


def test_a_failing_trial_is_a_row_and_the_next_one_runs(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    row = run_broken(bench, RuntimeError("no such channel"))
    assert (row["state"], row["error"]) == ("failed", "RuntimeError: no such channel")
    assert rows.read(tmp_path, row["trial"]) == row
    assert [row[name] for name in MEASURED] == [None] * len(MEASURED)
    assert (row["epochs"], row["epochs_reused"]) == (1, 0)
    assert complete(run(bench, FILTER))["epochs_reused"] == 1


def test_a_failed_trial_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(FilterL1, "scores", lambda _, layer, __: layer.weight.flatten(1).sum(1) * torch.nan)
        failed = run(bench, FILTER)
    assert failed["state"] == "failed"
    assert failed["error"].startswith("ValueError: filter-l1: the scores of layer features.0 hold NaN")
    again = complete(run(bench, FILTER))
    assert again["trial"] == failed["trial"]
    assert rows.read_all(tmp_path) == [again]


def test_a_refusal_is_the_rows_error(tmp_path: Path) -> None:
    bench = opened(tmp_path, network={"name": "seed-cnn", "width": 0.0625})
    row = run(bench, {"method": "slimming", "ratio": 0.5, "penalty": "l1", "lambda": 1e-4})
    assert row["state"] == "failed"
    assert row["error"].startswith("ValueError: slimming ranks channels by batch-norm scales")


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_measure_that_is_no_number_fails_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: float
) -> None:
    monkeypatch.setitem(measures.TAKERS, "val_loss", lambda _: odd)
    row = run(opened(tmp_path), FILTER)
    assert (row["state"], row["error"]) == ("failed", "NotFinite: val_loss came out as NaN or infinite")
    assert row["val_loss"] is None


def test_training_that_diverges_fails_the_trial_and_stores_no_stage(tmp_path: Path) -> None:
    row = run(opened(tmp_path, recovery={"epochs": 1, "rate": 1e30}), FILTER)
    assert row["state"] == "failed"
    assert row["error"].startswith(f"{TrainingDiverged.__name__}: the loss was")
    assert len(stored(tmp_path, "curve")) == 1, "the dense network's, and no recovery's"


def test_a_thin_network_that_computes_something_else_fails_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cutting.remove

    def wrong(*given: Any, **options: Any) -> Any:
        thin, mask = whole(*given, **options)
        with torch.no_grad():
            next(thin.parameters()).mul_(1.01)
        return thin, mask

    monkeypatch.setattr(cutting, "remove", wrong)
    row = run(opened(tmp_path), FILTER)
    assert row["error"].startswith("RemovalDiffers: logits of the thin network differ from the masked one's by ")


def test_a_full_disk_is_not_a_trials_failure(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        run_broken(bench, OSError(28, "No space left on device"))
    assert rows.read_all(tmp_path) == []
    complete(run(bench, FILTER))


OWN = """
from torch import nn

def made(*, classes):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=4), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes),
    )
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The settings of a user's own network, which lies with its weights in a folder on Python's path."""
    (tmp_path / "somebodys_network.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import somebodys_network

    torch.manual_seed(0)
    weights = tmp_path / "trained.safetensors"
    safetensors.torch.save_file(somebodys_network.made(classes=10).state_dict(), weights)
    yield {"code": "somebodys_network:made", "weights": str(weights)}
    sys.modules.pop("somebodys_network")


def test_a_users_trained_network_is_not_trained_again(tmp_path: Path, own: dict[str, str]) -> None:
    study = tmp_path / "study"
    bench = opened(study, network=own)
    dense = complete(bench.dense())
    assert dense["epochs"] == 0
    assert dense["network"] == "somebodys_network:made"
    row = complete(run(bench, FILTER))
    assert (row["epochs"], row["epochs_reused"]) == (1, 0)
    cut = complete(run(opened(study, network=own, recovery={"epochs": 0}), FILTER | {"ratio": 0.0}))
    assert cut["val_loss"] == dense["val_loss"], "ratio 0 without recovery is the network as it came"


def test_a_network_of_ours_goes_on_from_the_stage_of_another_study(tmp_path: Path) -> None:
    before = complete(opened(tmp_path / "one").dense())
    stored = (tmp_path / "one" / "stages").glob("*/tensors.safetensors")
    weights = max(stored, key=lambda file: file.stat().st_size)  # the measures' stage has no tensors
    network = {"name": "vgg16-bn", "width": 0.0625, "weights": str(weights)}
    bench = opened(tmp_path / "two", network=network)
    dense = complete(bench.dense())
    assert dense["epochs"] == 0
    assert [dense[name] for name in MEASURED] == [before[name] for name in MEASURED]
    assert complete(run(bench, FILTER))["epochs"] == 1
    assert dense["trial"] != before["trial"]


def test_other_weights_are_another_trial(tmp_path: Path, own: dict[str, str]) -> None:
    """The row of a network whose weights file was replaced was once taken for the new one's."""
    study = tmp_path / "study"
    before = complete(run(opened(study, network=own), FILTER))
    tensors = safetensors.torch.load_file(own["weights"])
    safetensors.torch.save_file({name: tensor * 2 for name, tensor in tensors.items()}, own["weights"])
    after = complete(run(opened(study, network=own), FILTER))
    assert after["val_loss"] != before["val_loss"]


def test_weights_elsewhere_are_the_same_trial(tmp_path: Path, own: dict[str, str]) -> None:
    """A worker that keeps the file in another place knows the trial."""
    first = complete(run(opened(tmp_path / "study", network=own), FILTER))
    moved = Path(own["weights"]).rename(tmp_path / "moved.safetensors")
    assert run(opened(tmp_path / "study", network=own | {"weights": str(moved)}), FILTER) == first


def test_missing_weights_are_the_users_mistake(tmp_path: Path, own: dict[str, str]) -> None:
    with pytest.raises(WrongInput, match=r"network\.weights: .*absent.* cannot be read: No such file"):
        opened(tmp_path / "study", network=own | {"weights": str(tmp_path / "absent.safetensors")})


def test_a_stage_that_is_damaged_is_made_again_with_the_same_outcome(tmp_path: Path) -> None:
    first = complete(run(opened(tmp_path), FILTER))
    (tmp_path / "rows" / f"{first['trial']}.json").unlink()
    for file in (tmp_path / "stages").rglob("tensors.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="is damaged"):
        again = complete(run(opened(tmp_path), FILTER))
    assert [again[name] for name in MEASURED] == [first[name] for name in MEASURED]


def test_products_hold_tensors_alone(tmp_path: Path) -> None:
    """No pickle lies in a study: everything there is JSON, safetensors or lines of text."""
    run(opened(tmp_path), FILTER)
    endings = {file.suffix for file in tmp_path.rglob("*") if file.is_file() and file.parent.name != "claims"}
    assert endings == {".json", ".safetensors", ".txt"}
