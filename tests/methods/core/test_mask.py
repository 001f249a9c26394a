import copy

import pytest
import torch
from torch import nn

from methods.core.cut import Cut
from methods.core.mask import Mask
from tests.methods.examples import images, network

LABELS = torch.tensor([0, 3, 1, 2, 1])


def trained(given: nn.Module, mask: Mask, *, steps: int = 6, momentum: float = 0.9, decay: float = 0.1) -> nn.Module:
    """A copy of the network after some steps of SGD, the mask kept as training keeps it."""
    made = copy.deepcopy(given).train()
    optimiser = torch.optim.SGD(made.parameters(), lr=0.1, momentum=momentum, nesterov=momentum > 0, weight_decay=decay)
    mask.zero_weights(made)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(made(images()), LABELS).backward()
        mask.on(made).zero_gradients()
        optimiser.step()
        mask.zero_weights(made)
    return made


def random_mask(given: nn.Module, *names: str, seed: int = 0) -> Mask:
    stream = torch.Generator().manual_seed(seed)
    return Mask({name: torch.rand(given.get_parameter(name).shape, generator=stream) < 0.5 for name in names})


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 0.1), (0.9, 0.0), (0.0, 0.1)])
def test_momentum_and_weight_decay_revive_no_cut_weight(momentum: float, decay: float) -> None:
    given = network("normed")
    names = ["0.weight", "1.weight", "5.bias", "9.weight", "9.bias"]
    mask = random_mask(given, *names)
    made = trained(given, mask, momentum=momentum, decay=decay)
    for name in names:
        after, before = made.get_parameter(name), given.get_parameter(name)
        assert after[~mask.keep[name]].count_nonzero() == 0, name
        assert (after != before)[mask.keep[name]].any(), name


def test_a_mask_only_on_gradients_lets_decay_leave_weights_alive() -> None:
    """Why weights are zeroed as well: the law above fails for half a mask."""
    given = network("normed")
    mask = random_mask(given, "0.weight")
    made = copy.deepcopy(given)
    nn.functional.cross_entropy(made(images()), LABELS).backward()
    mask.on(made).zero_gradients()
    assert made.get_parameter("0.weight").grad[~mask.keep["0.weight"]].count_nonzero() == 0
    assert made.get_parameter("0.weight")[~mask.keep["0.weight"]].count_nonzero() > 0


def test_a_mask_that_keeps_everything_trains_as_no_mask() -> None:
    given = network("residual")
    everything = Mask({name: torch.ones_like(p, dtype=torch.bool) for name, p in given.named_parameters()})
    free, masked = trained(given, Mask({})), trained(given, everything)
    for name, parameter in free.named_parameters():
        assert torch.equal(parameter, masked.get_parameter(name)), name


def test_kept_entries_train_as_if_the_cut_ones_were_constants_zero() -> None:
    """Two steps of Nesterov on ½‖x − target‖², by hand: entries do not touch, so the kept follow theirs."""
    module = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 5.0]]))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.5, nesterov=True)
    mask = Mask({"weight": torch.tensor([[True, False]])})
    mask.zero_weights(module)
    for _ in range(2):
        optimiser.zero_grad()
        (0.5 * module.weight.square().sum()).backward()
        mask.on(module).zero_gradients()
        optimiser.step()
        mask.zero_weights(module)
    # w₁ = 1 − ½(1 + ½·1) = ¼ with v₁ = 1; g₂ = ¼, v₂ = ½ + ¼ = ¾, w₂ = ¼ − ½(¼ + ½·¾) = −1/16.
    assert module.weight.tolist() == [[-0.0625, 0.0]]


def test_of_weights_masks_the_flat_positions() -> None:
    given = network("plain")
    mask = Mask.of_weights(given, Cut(units=96, asked=3, weights={"6": torch.tensor([0, 7, 31])}))
    assert list(mask.keep) == ["6.weight"]
    assert mask.keep["6.weight"].shape == (8, 4)
    assert (~mask.keep["6.weight"]).nonzero().tolist() == [[0, 0], [1, 3], [7, 3]]


def test_of_channels_masks_all_that_a_channel_owns() -> None:
    given = network("flat")
    mask = Mask.of_channels(given, Cut(units=4, asked=1, channels={"3": torch.tensor([2])}), images(1))
    assert sorted(mask.keep) == ["3.bias", "3.weight", "6.bias", "6.weight"]
    assert (~mask.keep["3.weight"]).flatten(1).all(1).tolist() == [False, False, True, False]
    assert (~mask.keep["3.bias"]).tolist() == [False, False, True, False]
    columns = (~mask.keep["6.weight"]).all(0)
    assert columns.nonzero().flatten().tolist() == list(range(18, 27))
    assert (~mask.keep["6.weight"]).sum() == 12 * 9
    assert mask.keep["6.bias"].all(), "a reader's bias is not the channel's"


def test_of_channels_masks_the_shift_behind_the_channel_in_every_norm() -> None:
    given = network("concatenated")
    mask = Mask.of_channels(given, Cut(units=8, asked=1, channels={"stem": torch.tensor([5])}), images(1))
    for norm in ("first_norm", "second_norm", "last_norm"):
        for entry in ("weight", "bias"):
            assert (~mask.keep[f"{norm}.{entry}"]).nonzero().flatten().tolist() == [5]


def test_merged_keeps_what_both_keep() -> None:
    one = Mask({"a": torch.tensor([True, True, False, False]), "b": torch.tensor([True, False])})
    other = Mask({"a": torch.tensor([True, False, True, False]), "c": torch.tensor([False])})
    merged = one.merged(other)
    assert {name: kept.tolist() for name, kept in merged.keep.items()} == {
        "a": [True, False, False, False],
        "b": [True, False],
        "c": [False],
    }
    assert one.keep["a"].tolist() == [True, True, False, False]
    assert sorted(other.keep) == ["a", "c"]
