"""What every trial of a worker begins with is read once: a worker can do without it afterwards."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis.epochs import counted
from tests.trial import workbenches
from tests.trial.workbenches import outcome
from trial.data.cache import cache_folder
from trial.manifest import MANIFEST, STAGES
from trial.recipe import Recipe
from trial.rows import Row
from trial.store import Product, Store
from trial.workbench import Workbench

SLIMMING: dict[str, Any] = {"method": "slimming", "penalty": "l1", "lambda": 1e-3}


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # which it removes


def opened(study: Path) -> Workbench:
    return workbenches.opened(study, dense={"epochs": 3}, sparsity={"epochs": 2}, checkpoint_every=2)


def run(bench: Workbench, ratio: float) -> Row:
    return bench.run(Recipe.parse(SLIMMING | {"ratio": ratio}, bench.experiment, where="test"))


def removed(study: Path, *kinds: str) -> int:
    """Remove the stages of these kinds; how many there were."""
    manifests = [
        path for path in (study / STAGES).glob(f"*/{MANIFEST}") if json.loads(path.read_text())["kind"] in kinds
    ]
    for path in manifests:
        shutil.rmtree(path.parent)
    return len(manifests)


def test_a_worker_reads_data_dense_network_and_sparsity_training_once(tmp_path: Path) -> None:
    want = run(opened(tmp_path / "untouched"), 0.5)
    study = tmp_path / "study"
    opened(study).dense()
    bench = opened(study)
    run(bench, 0.25)
    before = counted(study).executed
    assert removed(study, "dense", "sparsity") == 3  # dense training has two links
    shutil.rmtree(cache_folder() / "data", ignore_errors=True)
    row = run(bench, 0.5)
    assert outcome(row) == outcome(want)
    assert counted(study).executed - before == 1  # its own recovery
    assert removed(study, "dense", "sparsity") == 0
    run(opened(study), 0.75)
    assert counted(study).executed - before == 1 + 3 + 2 + 1


def test_what_is_kept_has_a_limit_and_goes_in_order_of_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    tensors = {"weight": torch.ones(1000)}
    monkeypatch.setattr("trial.store.KEPT_BYTES", 2 * len(Product(tensors).to_bytes()))
    store = Store.of(tmp_path)
    for key in ("a", "b", "a", "c"):
        store.get_or_make(key, lambda: Product(tensors), kind="dense")
    store.get_or_make("cut", lambda: Product(tensors), kind="cut")
    removed(tmp_path, "dense", "cut")
    made = {key: store.get_or_make(key, lambda: Product(tensors))[1] for key in ("a", "c", "b", "cut")}
    assert made == {"a": False, "c": False, "b": True, "cut": True}


def test_what_is_kept_is_not_what_is_trained(tmp_path: Path) -> None:
    import torch

    store = Store.of(tmp_path)
    for _ in range(3):
        product, _ = store.get_or_make(
            "a", lambda: Product({"weight": torch.ones(3)}, record={"curve": []}), kind="dense"
        )
        assert torch.equal(product.tensors["weight"], torch.ones(3))
        assert product.record == {"curve": []}
        product.tensors["weight"].zero_()
        product.record["curve"].append(1)
