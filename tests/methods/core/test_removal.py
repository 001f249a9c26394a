import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from methods.core.cut import Cut
from methods.core.mask import Mask
from methods.core.removal import fit_shapes, remove
from methods.core.units import channel_groups
from methods.filter_l1 import FilterL1
from tests.methods.examples import CLASSES, NETWORKS, drawn, evidence, images, network
from tests.methods.laws import state
from trial.networks import Network, build, names

OURS = {name: Network(name=name, width=0.125) for name in names()}


def given(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor]:
    """A network with drawn norms, and images for it."""
    if name in NETWORKS:
        return network(name, dtype=dtype), images(dtype=dtype)
    built = build(OURS[name], classes=CLASSES, seed=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return drawn(built).to(dtype).eval(), images(2, dtype=dtype, side=32)


def random_cut(of: nn.Module, image: Tensor, *, seed: int = 0) -> Cut:
    """About half the channels of every group, at least one gone and one kept, in no order of score."""
    stream = torch.Generator().manual_seed(seed)
    groups = channel_groups(of, image)
    gone = {group.name: torch.randperm(group.size, generator=stream)[: max(1, group.size // 2)] for group in groups}
    return Cut(units=1, asked=1, channels={name: places.sort().values for name, places in gone.items()})


def masked(of: nn.Module, cut: Cut, image: Tensor) -> nn.Module:
    made = copy.deepcopy(of)
    Mask.of_channels(made, cut, image).zero_weights(made)
    return made


def distance(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest entry."""
    return float((one - other).abs().max() / one.abs().max())


@pytest.mark.parametrize("name", [*NETWORKS, *OURS])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=str)
def test_the_thin_network_computes_what_the_masked_one_computes(
    name: str, dtype: torch.dtype, tolerance: float
) -> None:
    dense, batch = given(name, dtype)
    cut = random_cut(dense, batch[:1])
    thin, _ = remove(dense, cut, batch[:1])
    with torch.no_grad():
        logits = thin(batch)
        assert distance(masked(dense, cut, batch[:1])(batch), logits) < tolerance
        assert distance(dense(batch), logits) > 1e-3, "the cut changes nothing: this network tests nothing"
    for layer, gone in cut.channels.items():
        assert thin.get_submodule(layer).weight.shape[0] == dense.get_submodule(layer).weight.shape[0] - len(gone)


@pytest.mark.parametrize("name", ["plain", "normed", "flat"])
def test_the_thin_network_is_the_dense_one_with_the_channels_outputs_silenced(name: str) -> None:
    """Neither mask nor dependency graph: hooks put zero where the next layer would read a cut channel."""
    dense, batch = given(name)
    cut = random_cut(dense, batch[:1])
    thin, _ = remove(dense, cut, batch[:1])
    silenced = copy.deepcopy(dense)
    layers = list(silenced)
    for layer, gone in cut.channels.items():
        # In these sequences a norm, where there is one, comes right behind its layer.
        norm = layers[int(layer) + 1]
        last = norm if isinstance(norm, nn.BatchNorm2d) else layers[int(layer)]
        last.register_forward_hook(lambda _, __, out, gone=gone: out.index_fill(1, gone, 0.0))
    with torch.no_grad():
        assert distance(silenced(batch), thin(batch)) < 1e-10


def test_a_zeroed_filter_alone_is_not_a_removed_one() -> None:
    """γ·(0−μ)/σ+β stays alive behind it."""
    dense, batch = given("normed")
    cut = random_cut(dense, batch[:1])
    thin, _ = remove(dense, cut, batch[:1])
    with torch.no_grad():
        for layer, gone in cut.channels.items():
            dense.get_parameter(f"{layer}.weight")[gone] = 0
        assert distance(dense(batch), thin(batch)) > 1e-2


@pytest.mark.parametrize("name", [*NETWORKS, *OURS])
def test_thin_tensors_rebuild_the_network_through_a_file(name: str, tmp_path: Path) -> None:
    dense, batch = given(name)
    thin, _ = remove(dense, random_cut(dense, batch[:1]), batch[:1])
    safetensors.torch.save_file(thin.state_dict(), tmp_path / "model.safetensors")
    rebuilt = given(name)[0]
    fit_shapes(rebuilt, safetensors.torch.load_file(tmp_path / "model.safetensors"))
    with torch.no_grad():
        assert torch.equal(rebuilt(batch), thin(batch))
    for (name_of, module), (_, other) in zip(rebuilt.named_modules(), thin.named_modules(), strict=True):
        assert module.extra_repr() == other.extra_repr(), name_of


@pytest.mark.parametrize("name", [*NETWORKS, *OURS])
def test_the_thin_network_trains(name: str) -> None:
    dense, batch = given(name)
    thin, _ = remove(dense, random_cut(dense, batch[:1]), batch[:1])
    before = {entry: parameter.detach().clone() for entry, parameter in thin.named_parameters()}
    optimiser = torch.optim.SGD(thin.train().parameters(), lr=0.1)
    nn.functional.cross_entropy(thin(batch), torch.arange(len(batch)) % CLASSES).backward()
    optimiser.step()
    for entry, parameter in thin.named_parameters():
        assert parameter.grad is not None, entry
        assert parameter.isfinite().all(), entry
    assert any(not torch.equal(before[entry], parameter) for entry, parameter in thin.named_parameters())
    assert thin(batch).shape == (len(batch), CLASSES)


@pytest.mark.parametrize("name", [*NETWORKS, *OURS])
def test_the_thin_network_exports(name: str) -> None:
    dense, batch = given(name, torch.float32)
    thin, _ = remove(dense, random_cut(dense, batch[:1]), batch[:1])
    exported = torch.export.export(thin, (batch,)).module()
    with torch.no_grad():
        assert distance(thin(batch), exported(batch)) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_given_is_left_as_it_was(name: str) -> None:
    dense, batch = given(name)
    dense.train()
    next(iter(dense.children())).eval()
    next(dense.parameters()).requires_grad_(False)
    before = state(dense)
    cut = random_cut(dense, batch[:1])
    mask = Mask({entry: parameter > 0 for entry, parameter in dense.named_parameters()})
    thin, _ = remove(dense, cut, batch[:1], mask=mask)
    Mask.of_channels(dense, cut, batch[:1])
    assert state(dense) == before
    assert [module.training for module in thin.modules()] == [module.training for module in dense.modules()]
    assert not {id(p) for p in thin.parameters()} & {id(p) for p in dense.parameters()}


def test_no_channels_give_an_equal_network_and_the_mask_itself() -> None:
    dense, batch = given("normed")
    mask = Mask({"0.weight": torch.ones(8, 3, 3, 3, dtype=torch.bool)})
    thin, kept = remove(dense, Cut(units=20, asked=0), batch[:1], mask=mask)
    assert kept is mask
    assert thin is not dense
    assert {entry: tensor.tolist() for entry, tensor in thin.state_dict().items()} == {
        entry: tensor.tolist() for entry, tensor in dense.state_dict().items()
    }


@pytest.mark.parametrize("name", ["plain", "flat"])
def test_a_mask_of_weights_loses_the_rows_and_columns_of_its_channels(name: str) -> None:
    dense, batch = given(name)
    cut = FilterL1(ratio=0.5, linear="magnitude").cut(dense, evidence(), ratio=0.5)
    mask = Mask.of_weights(dense, cut)
    mask.zero_weights(dense)
    assert mask.keep, "nothing is masked: this tests nothing"
    thin, kept = remove(dense, cut, batch[:1], mask=mask)
    assert kept.keep.keys() == mask.keep.keys()
    for entry, stays in kept.keep.items():
        # No weight was zero before, so zeros are where the mask says.
        assert torch.equal(thin.get_parameter(entry) != 0, stays), entry
        assert stays.numel() < mask.keep[entry].numel(), entry


@pytest.mark.parametrize("change", [lambda names: names.pop("0.bias"), lambda names: names.update(other=torch.ones(1))])
def test_tensors_of_another_network_are_refused(change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = dict(network("plain").state_dict())
    change(tensors)
    with pytest.raises(ValueError, match=r"belong to another network: (0\.bias|other)"):
        fit_shapes(network("plain"), tensors)


def test_a_layer_that_cannot_be_narrowed_is_named() -> None:
    with pytest.raises(ValueError, match="layer 0 is a LayerNorm, which cannot be narrowed"):
        fit_shapes(nn.Sequential(nn.LayerNorm(4)), {"0.weight": torch.ones(3), "0.bias": torch.ones(3)})
