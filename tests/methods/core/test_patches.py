import numpy as np
import pytest
import torch
from torch import nn

from methods.core.patches import draw, places, read
from tests.methods.examples import images
from tests.methods.readings import patches_of

CONVOLUTIONS = {
    "plain": {"kernel_size": 3},
    "padded": {"kernel_size": 3, "padding": 1},
    "strided": {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0)},
    "dilated": {"kernel_size": (2, 3), "dilation": (3, 2), "padding": (2, 1)},
}


def seen(network: nn.Module, given: torch.Tensor, positions: dict[str, torch.Tensor]) -> dict[str, list[torch.Tensor]]:
    found: dict[str, list[torch.Tensor]] = {name: [] for name in positions}
    rows: dict[str, list[slice]] = {name: [] for name in positions}

    def see(name: str, at: slice, patches: torch.Tensor, outputs: torch.Tensor) -> None:
        rows[name].append(at)
        found[name] += list(zip(patches, outputs, strict=True))

    read(network, given, positions, see)
    for name, slices in rows.items():
        assert [row for at in slices for row in range(len(positions[name]))[at]] == list(range(len(positions[name])))
    return found


@pytest.mark.parametrize("settings", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_patches_are_those_of_loops_and_give_the_outputs(settings: dict[str, object]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, bias=False, **settings), nn.ReLU(inplace=True)).double()
    literal = patches_of(network[0], images())
    count = places(network, ["0"], images(1))["0"]
    assert count * 5 == len(literal)
    wanted = torch.tensor([0, 1, count - 1, count, 3 * count + 2, 5 * count - 1])
    found = seen(network, images(), {"0": wanted})["0"]
    for at, (patch, outputs) in zip(wanted.tolist(), found, strict=True):
        assert np.array_equal(patch.numpy(), literal[at])
        # Before the ReLU, which writes into them in place.
        expected = (network[0].weight.detach().flatten(2) * patch).sum((1, 2))
        assert outputs.numpy() == pytest.approx(expected.numpy(), abs=1e-12)


@pytest.mark.parametrize(("padding", "mode"), [("same", "zeros"), ("valid", "zeros"), (1, "reflect"), (2, "circular")])
def test_every_padding_gives_the_convolutions_outputs(padding: str | int, mode: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, (2, 3), padding=padding, padding_mode=mode, bias=False)).double()
    total = 5 * places(network, ["0"], images(1))["0"]
    for patch, outputs in seen(network, images(), {"0": torch.arange(total)})["0"]:
        expected = (network[0].weight.detach().flatten(2) * patch).sum((1, 2))
        assert outputs.numpy() == pytest.approx(expected.numpy(), abs=1e-12)


def test_many_images_are_numbered_through_and_a_position_may_come_twice() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)).double()
    given = images(130, side=2)
    wanted = {"3": torch.tensor([0, 63, 64, 64, 129]), "0": torch.tensor([4 * 129 + 1])}
    found = seen(network, given, wanted)
    with torch.no_grad():
        logits = network(given)
    for at, (_, outputs) in zip(wanted["3"].tolist(), found["3"], strict=True):
        assert outputs.numpy() == pytest.approx(logits[at].numpy(), abs=1e-12)
    assert torch.equal(found["0"][0][0][:, 0], given[129, :, 0, 1])


def test_a_linear_layer_behind_positions_has_as_many() -> None:
    network = nn.Sequential(nn.Flatten(2), nn.Linear(4, 2)).double()
    given = images(2, side=2)
    assert places(network, ["1"], given[:1]) == {"1": 3}
    found = seen(network, given, {"1": torch.tensor([0, 5])})["1"]
    assert torch.equal(found[1][0][:, 0], given[1, 2].flatten())


def test_draws_are_distinct_ascending_and_of_their_own_stream() -> None:
    drawn = draw(1000, 100, seed=0, name="a")
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert (len(drawn), drawn.dtype) == (100, torch.int64)
    assert 0 <= drawn[0] < 100 < 900 < drawn[-1] < 1000
    assert torch.equal(draw(1000, 100, seed=0, name="a"), drawn)
    assert not torch.equal(draw(1000, 100, seed=1, name="a"), drawn)
    assert not torch.equal(draw(1000, 100, seed=0, name="b"), drawn)
    assert draw(5, 5, seed=0, name="a").tolist() == draw(5, 9, seed=0, name="a").tolist() == [0, 1, 2, 3, 4]
