import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.channel_lasso import ChannelLasso
from methods.core.cut import Past
from methods.core.mask import Mask
from methods.core.method import Evidence
from methods.core.reconstruction import Reading, ReconstructingMethod
from methods.core.removal import remove
from methods.thinet import ThiNet
from tests.methods.examples import NETWORKS, evidence, images, network
from tests.methods.laws import plain
from tests.methods.readings import every, outputs_of, varied, varied_evidence

METHODS = {"channel-lasso": ChannelLasso(ratio=0.5, samples=80), "thinet": ThiNet(ratio=0.5, samples=100)}

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def reading(rows: int, *, seed: int = 0) -> tuple[Reading, np.ndarray, np.ndarray]:
    stream = np.random.default_rng(seed)
    x, y = stream.normal(size=(rows, 4, 3)), stream.normal(size=(rows, 2))
    weight = torch.from_numpy(stream.normal(size=(4, 3, 2)))
    flat = x.reshape(rows, -1)
    gram, cross = torch.from_numpy(flat.T @ flat), torch.from_numpy(flat.T @ y)
    return Reading(gram.view(4, 3, 4, 3), cross.view(4, 3, 2), weight), x, y


@pytest.mark.parametrize("rows", [3, 6, 40])
def test_solved_is_the_least_change_with_the_least_error(rows: int) -> None:
    """With 3 rows and 6 unknowns many changes leave no error at all."""
    made, x, y = reading(rows)
    solved = made.solved(torch.tensor([1, 3]), ridge=1e-9)
    assert solved[[0, 2]].count_nonzero() == 0
    kept, weight = x[:, [1, 3]].reshape(rows, -1), made.weight[[1, 3]].flatten(0, 1).numpy()
    expected = weight + np.linalg.lstsq(kept, y - kept @ weight, rcond=None)[0]
    assert solved[[1, 3]].flatten(0, 1).numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_channels_that_feed_nothing_stay_as_they_are() -> None:
    made, _, _ = reading(9)
    dead = Reading(torch.zeros_like(made.gram), torch.zeros_like(made.cross), made.weight)
    assert torch.equal(dead.solved(torch.arange(4), ridge=1e-9), made.weight)


@every_method
def test_reconstruction_brings_the_readers_output_nearer(method: ReconstructingMethod) -> None:
    given = network("normed")
    errors = {}
    seen = varied_evidence()
    for reconstruct in (True, False):
        # Layer 4 spared and every row taken: both cut the same channels of layer 0, read by layer 4 alone.
        one = type(method)(ratio=0.5, samples=8 * method.rows(16, 12), spare="4", reconstruct=reconstruct)
        cut = one.cut(given, seen, ratio=0.5)
        made = copy.deepcopy(given)
        with torch.no_grad():
            for name, weight in cut.replaced.items():
                made.get_parameter(name).copy_(weight)
        Mask.of_channels(made, cut, images(1)).zero_weights(made)
        errors[reconstruct] = ((outputs_of(made, "4") - outputs_of(given, "4")) ** 2).sum()
    assert errors[True] < 0.95 * errors[False]


@every_method
@pytest.mark.parametrize("name", NETWORKS)
def test_removal_computes_what_the_mask_does_once_weights_are_replaced(method: ReconstructingMethod, name: str) -> None:
    given = network(name)
    # On inception only the linear layer reads what is cut, a row an image.
    cut = replace(method, samples=8).cut(given, varied_evidence(), ratio=0.5)
    assert cut.replaced
    with torch.no_grad():
        for entry, weight in cut.replaced.items():
            parameter = given.get_parameter(entry)
            assert (weight.shape, weight.dtype) == (parameter.shape, parameter.dtype)
            assert not weight.requires_grad
            parameter.copy_(weight)
    thin, _ = remove(given, cut, images(1))
    Mask.of_channels(given, cut, images(1)).zero_weights(given)
    with torch.no_grad():
        assert thin(varied()).numpy() == pytest.approx(given(varied()).numpy(), rel=1e-10, abs=1e-10)


@every_method
def test_what_earlier_rounds_hold_at_zero_is_not_reconstructed_again(method: ReconstructingMethod) -> None:
    given, seen = network("normed"), varied_evidence()
    first = method.cut(given, seen, ratio=0.5)
    with torch.no_grad():
        for entry, weight in first.replaced.items():
            given.get_parameter(entry).copy_(weight)
    Mask.of_channels(given, first, images(1)).zero_weights(given)
    again = method.cut(given, Evidence(seen.images, seen.labels, 0, Past(channels=first.channels)), ratio=0.5)
    assert plain(again)["channels"] == plain(first)["channels"]
    assert not again.replaced


@every_method
def test_one_nan_in_a_weight_is_refused_by_name(method: ReconstructingMethod) -> None:
    for layer in ("0", "4", "9"):
        given = network("normed")
        with torch.no_grad():
            given.get_parameter(f"{layer}.weight")[1] = torch.nan
        with pytest.raises(ValueError, match=f"{layer}.*NaN|NaN.*{layer}"):
            method.cut(given, evidence(), ratio=0.5)


@every_method
def test_float32_and_channels_last_are_cut_alike(method: ReconstructingMethod) -> None:
    exact = plain(method.cut(network("residual"), evidence(), ratio=0.5))["channels"]
    single = evidence(dtype=torch.float32)
    given = network("residual", dtype=torch.float32)
    assert plain(method.cut(given, single, ratio=0.5))["channels"] == exact
    given = given.to(memory_format=torch.channels_last)
    last = Evidence(single.images.to(memory_format=torch.channels_last), single.labels, 0)
    assert plain(method.cut(given, last, ratio=0.5))["channels"] == exact


@every_method
def test_a_relu_in_place_changes_nothing(method: ReconstructingMethod) -> None:
    given = network("plain")
    in_place = copy.deepcopy(given)
    for module in in_place.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    assert plain(method.cut(in_place, evidence(), ratio=0.5)) == plain(method.cut(given, evidence(), ratio=0.5))


@every_method
def test_a_grouped_convolution_that_reads_channels_is_refused_by_the_methods_name(method: ReconstructingMethod) -> None:
    given = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 4, 1), nn.Flatten()).double()
    with pytest.raises(ValueError, match=rf"^{method.name()} cannot cut this network: 1, [^\n]* in 2 groups"):
        method.cut(given, evidence(), ratio=0.5)


@pytest.mark.parametrize(
    ("method", "strength"),
    [
        (ChannelLasso(ratio=0.125, samples=every("normed"), spare="4", ridge=1e-9), 0.5),
        (ThiNet(ratio=0.125, samples=500, spare="4", ridge=1e-9), 0.1),
    ],
    ids=["channel-lasso", "thinet"],
)
def test_without_a_copied_channel_the_solved_network_computes_the_same_logits(
    method: ReconstructingMethod, strength: float
) -> None:
    """Channel 3 is a copy of channel 1 that is read less strongly: 1 can speak for both."""
    given = network("normed")
    with torch.no_grad():
        given[1].bias.abs_().add_(1)
        for tensor in (given[0].weight, given[1].weight, given[1].bias, given[1].running_mean, given[1].running_var):
            tensor[3] = tensor[1]
        weight = given[4].weight
        weight[:, 3] = strength * weight[:, 1]
        expected = weight.clone()
        expected[:, 1], expected[:, 3] = (1 + strength) * weight[:, 1], 0
    cut = method.cut(given, varied_evidence(), ratio=0.125)
    assert plain(cut)["channels"] == {"0": [3]}
    assert cut.replaced["4.weight"].numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    made = copy.deepcopy(given)
    with torch.no_grad():
        made[4].weight.copy_(cut.replaced["4.weight"])
        assert made(varied()).numpy() == pytest.approx(given(varied()).numpy(), abs=1e-6)
        made[4].weight.copy_(given[4].weight)[:, 3] = 0
        assert (made(varied()) - given(varied())).abs().max() > 1e-3
