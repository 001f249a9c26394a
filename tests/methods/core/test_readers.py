import pytest
import torch
from torch import Tensor, nn

from methods.core.readers import readers
from methods.core.units import channel_groups
from tests.methods.examples import NETWORKS, images, network
from tests.methods.readings import COUPLED


@pytest.mark.parametrize("name", NETWORKS)
def test_readers_and_their_columns(name: str) -> None:
    given = network(name)
    groups = channel_groups(given, images(1))
    found = readers(given, groups, images(1))
    assert list(found) == [group for group, *_ in COUPLED[name]]
    for (group, _, expected), size in zip(COUPLED[name], (group.size for group in groups), strict=True):
        columns = {reader.name: reader.columns.tolist() for reader in found[group]}
        assert columns == {
            reader: [[first + channel * per + at for at in range(per)] for channel in range(size)]
            for reader, (first, per) in expected.items()
        }


class Repeated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 2, 1), nn.Conv2d(4, 4, 1)

    def forward(self, given: Tensor) -> Tensor:
        one = self.one(given)
        logits: Tensor = self.other(torch.cat([one, torch.relu(one)], 1)).mean((2, 3))
        return logits


def test_a_channel_that_is_concatenated_twice_has_two_columns() -> None:
    given = Repeated().double()
    found = readers(given, channel_groups(given, images(1)), images(1))
    assert [reader.columns.tolist() for reader in found["one"]] == [[[0, 2], [1, 3]]]


def test_a_grouped_convolution_as_a_reader_is_refused_in_one_line() -> None:
    given = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 4, 1), nn.Flatten()).double()
    with pytest.raises(ValueError, match=r"^1, which reads the channels of 0, is a convolution in 2 groups: [^\n]*$"):
        readers(given, channel_groups(given, images(1)), images(1))
