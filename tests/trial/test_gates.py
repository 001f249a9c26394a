"""Each gate tripped through the real workbench: the row says which, and the next trial completes."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from methods.core.cut import Cut
from methods.core.mask import Mask
from methods.core.method import Evidence
from methods.filter_l1 import FilterL1
from methods.magnitude_global import MagnitudeGlobal
from tests.trial.test_workbench import opened
from tests.trial.workbenches import complete, run
from trial import cutting, gates, rows, stages
from trial.recipe import Recipe
from trial.store import Product
from trial.workbench import Workbench

TINY: dict[str, Any] = {"network": {"name": "seed-cnn", "width": 0.125}}
FILTER: dict[str, Any] = {"method": "filter-l1", "ratio": 0.5}


def failed(row: rows.Row, gate: type[gates.GateFailed], *texts: str) -> None:
    assert row["state"] == "failed"
    assert row["error"].startswith(f"{gate.__name__}: "), row["error"]
    for text in texts:
        assert text in row["error"]


def run_with(bench: Workbench, decide: Callable[[Cut], Cut], **knobs: Any) -> rows.Row:
    """Run filter-l1 with its cut replaced by another one."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Lying(FilterL1):
        def cut(self, network: nn.Module, evidence: Evidence, *, ratio: float | Fraction) -> Cut:
            return decide(super().cut(network, evidence, ratio=ratio))

    return bench.run(Recipe.of(Lying(ratio=0.5, **knobs), bench.experiment))


def fewer(cut: Cut) -> Cut:
    """Says that it cut as asked, and cuts one channel of each layer."""
    return dataclasses.replace(cut, channels={layer: gone[:1] for layer, gone in cut.channels.items()})


def twice(cut: Cut) -> Cut:
    layer, gone = next(iter(cut.channels.items()))
    doubled = torch.cat([gone[:1], gone[:1], gone[2:]])
    return dataclasses.replace(cut, channels={**cut.channels, layer: doubled})


def beyond(cut: Cut) -> Cut:
    layer, gone = next(iter(cut.channels.items()))
    return dataclasses.replace(cut, channels={**cut.channels, layer: torch.cat([gone[:-1], torch.tensor([999])])})


@pytest.mark.parametrize(
    ("lie", "texts"),
    [
        (fewer, ("5 of 536 units went, asked were 268", "no floor and no rounding explains it")),
        (twice, ("the cut of layer", "twice")),
        (beyond, ("the cut of layer", "not there")),
    ],
)
def test_a_cut_that_lies_about_its_ratio(tmp_path: Path, lie: Callable[[Cut], Cut], texts: tuple[str, ...]) -> None:
    bench = opened(tmp_path, **TINY)
    failed(run_with(bench, lie), gates.RatioMissed, *texts)
    complete(run(bench, FILTER))


def test_a_failed_gate_is_not_hidden_by_stages_that_are_there(tmp_path: Path) -> None:
    first, again = (run_with(opened(tmp_path, **TINY), fewer, spare=spare) for spare in ("", "nothing*"))
    assert first["trial"] != again["trial"]
    assert again["state"] == "failed"
    once_more = run_with(opened(tmp_path, **TINY), fewer)
    assert (once_more["error"], once_more["epochs_reused"]) == (first["error"], 1)


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"keep_min": 1}, None),
        # Channels 4, 4, 8, 8 and 512: ⌊.7·n⌋ are 2, 2, 5, 5 and 358; layers of up to 12 keep all.
        ({"keep_min": 12}, "358 of 375 units went: floors kept the others"),
        # The convolutions keep all, the linear layer of 154 keeps 128.
        ({"round_to": 64}, "384 of 375 units went: widths are multiples of 64"),
    ],
)
def test_the_reason_of_another_ratio_is_in_the_row(tmp_path: Path, knobs: dict[str, Any], reason: str | None) -> None:
    given = {**FILTER, "ratio": 0.7, **knobs, "recovery_epochs": 0}
    assert complete(run(opened(tmp_path, **TINY), given))["ratio_reason"] == reason


def damaged_remove(change: Callable[[nn.Module], None]) -> Callable[..., tuple[nn.Module, Mask]]:
    whole = cutting.remove

    def remove(*given: Any, **options: Any) -> tuple[nn.Module, Mask]:
        thin, mask = whole(*given, **options)
        with torch.no_grad():
            change(thin)
        return thin, mask

    return remove


def test_removal_that_computes_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened(tmp_path, **TINY)
    with monkeypatch.context() as patch:
        patch.setattr(cutting, "remove", damaged_remove(lambda thin: next(thin.parameters()).mul_(1.01)))
        failed(run(bench, FILTER), gates.RemovalDiffers, "logits of the thin network differ from the masked one's by")
    with monkeypatch.context() as patch:
        # Zero, and still there: the logits are right, and nothing is thinner.
        patch.setattr(cutting, "remove", lambda network, cut, image, mask: (_zeroed(network, cut, image), mask))
        failed(run(bench, FILTER), gates.RemovalDiffers, "of the thin network has 4 channels, 2 should be left")
    complete(run(bench, FILTER))


def _zeroed(network: nn.Module, cut: Cut, image: torch.Tensor) -> nn.Module:
    Mask.of_channels(network, cut, image).zero_weights(network)
    return network


def test_a_cut_that_empties_a_layer(tmp_path: Path) -> None:
    """Masked or zeroed whole, a layer computes a constant."""
    bench = opened(tmp_path, **TINY, recovery={"epochs": 0})

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Emptying(MagnitudeGlobal):
        def cut(self, network: nn.Module, evidence: Evidence, *, ratio: float | Fraction) -> Cut:
            cut = super().cut(network, evidence, ratio=ratio)
            layer = next(iter(cut.weights))
            size = network.get_parameter(f"{layer}.weight").numel()
            more = size - len(cut.weights[layer])
            other = max(cut.weights, key=lambda name: len(cut.weights[name]))
            return dataclasses.replace(
                cut, weights={**cut.weights, layer: torch.arange(size), other: cut.weights[other][more:]}
            )

    for apply in ("mask", "zero"):
        recipe = Recipe.of(Emptying(ratio=0.5), bench.experiment, {"apply": apply})
        failed(
            bench.run(recipe), gates.EmptyLayer, "the cut left layer features.0 no weight but zeros, of shape (4, 3,"
        )
    complete(run(bench, {"method": "magnitude-global", "ratio": 0.99}))


def test_a_layer_without_a_channel() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    network[0].weight = nn.Parameter(torch.zeros(0, 3, 3, 3))
    with pytest.raises(gates.EmptyLayer, match=r"layer 0 has no channel left: its weight has shape \(0, 3, 3, 3\)"):
        gates.no_layer_is_empty(network, Mask({}))


def after_training(monkeypatch: pytest.MonkeyPatch, change: Callable[[nn.Module], None]) -> None:
    """Let every training end with a change to the network that it does not see."""
    whole = stages.train

    def train(network: nn.Module, *given: Any, **options: Any) -> Any:
        curve = whole(network, *given, **options)
        with torch.no_grad():
            change(network)
        return curve

    monkeypatch.setattr(stages, "train", train)


def spoil_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var[0] = torch.nan
            return


def test_training_that_leaves_a_statistic_without_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened(tmp_path)
    dense = complete(bench.dense())
    with monkeypatch.context() as patch:
        after_training(patch, spoil_statistics)
        spoiled = run(bench, FILTER)
    failed(spoiled, gates.NotFinite, "features.1.running_var of the trained network came out as NaN or infinite")
    # The trained network is in the store, and says the same to another recipe that leads to it.
    shared = run(bench, FILTER | {"ratio": 0.505})
    assert (shared["error"], shared["epochs_reused"]) == (spoiled["error"], 2)
    assert complete(run(bench, FILTER | {"ratio": 0.25}))["epochs_reused"] == dense["epochs"]


def test_the_dense_network_passes_the_gates_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened(tmp_path)
    after_training(monkeypatch, spoil_statistics)
    failed(bench.dense(), gates.NotFinite, "features.1.running_var")


def lose(name: str) -> Callable[[bytes, Mapping[str, Any]], Product]:
    whole = Product.from_bytes

    def from_bytes(data: bytes, record: Mapping[str, Any]) -> Product:
        product = whole(data, record)
        kept = {each: tensor for each, tensor in product.tensors.items() if each != name}
        return dataclasses.replace(product, tensors=kept)

    return from_bytes


def test_a_store_that_loses_a_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened(tmp_path, **TINY)
    with monkeypatch.context() as patch:
        patch.setattr(Product, "from_bytes", lose("features.0.bias"))
        failed(bench.dense(), gates.DoesNotLoadBack, "a stored stage does not load", "features.0.bias")
    complete(bench.dense())


OWN = """
import itertools

import torch
from torch import nn

COUNT = itertools.count()

class Odd(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=4), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes),
        )
        self.calls = 0
        self.builds = next(COUNT)

class Remembers(Odd):
    def forward(self, images):
        self.calls += self.training  # no buffer: lost with the object
        return self.body(images) * (1 + self.calls)

class Random(Odd):
    def forward(self, images):
        logits = self.body(images)
        return logits + 0.001 * torch.randn_like(logits)

class EachBuiltOtherwise(Odd):
    def forward(self, images):
        return self.body(images) * (1 + self.builds)

def remembers(*, classes):
    return Remembers(classes)

def random(*, classes):
    return Random(classes)

def each_built_otherwise(*, classes):
    return EachBuiltOtherwise(classes)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    module = f"odd_networks_{next(NUMBERS)}"
    (tmp_path / f"{module}.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return module


NUMBERS = itertools.count()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("remembers", "the stored network's loss is"),
        ("random", "are not the same bits twice"),
        ("each_built_otherwise", "are not the same bits twice"),
    ],
)
def test_a_network_that_is_not_what_was_stored(tmp_path: Path, own: str, name: str, text: str) -> None:
    bench = opened(tmp_path / "study", network={"code": f"{own}:{name}"})
    failed(bench.dense(), gates.DoesNotLoadBack, text)


def test_the_gates_let_equal_networks_pass_and_see_one_bit() -> None:
    torch.manual_seed(0)
    network, again = nn.Linear(4, 3), nn.Linear(4, 3)
    again.load_state_dict(network.state_dict())
    images = torch.randn(8, 4)
    gates.loads_back(network, lambda: again, images)
    with torch.no_grad():
        again.weight.mul_(1 + 2**-20)
    with pytest.raises(gates.DoesNotLoadBack):
        gates.loads_back(network, lambda: again, images)


def test_buffers_may_be_infinite_and_parameters_may_not() -> None:
    network = nn.Linear(2, 2)
    network.register_buffer("attention", torch.full((2,), -torch.inf))
    gates.finite_network(network)
    network.attention[0] = torch.nan
    with pytest.raises(gates.NotFinite, match=r"^attention of"):
        gates.finite_network(network)
    with torch.no_grad():
        network.bias[0] = torch.inf
    with pytest.raises(gates.NotFinite, match=r"^bias and 1 more of"):
        gates.finite_network(network)
