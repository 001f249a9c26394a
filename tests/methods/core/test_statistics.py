import itertools
import math
import statistics
from typing import get_args

import pytest
import torch

from methods.core.statistics import Statistic, statistic

LITERAL = {
    "mean": lambda values: math.fsum(values) / len(values),
    "max": lambda values: sorted(values)[-1],
    "min": lambda values: sorted(values)[0],
    "abs-mean": lambda values: statistics.fmean(abs(value) for value in values),
    "abs-max": lambda values: sorted(abs(value) for value in values)[-1],
    "abs-min": lambda values: sorted(abs(value) for value in values)[0],
}

every_name = pytest.mark.parametrize("name", get_args(Statistic))


@every_name
def test_each_is_its_definition_over_the_last_dimension(name: Statistic) -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = values.clone()
    reduced = statistic(values, name)
    assert reduced.shape == (3, 4)
    for place in itertools.product(range(3), range(4)):
        assert reduced[place].item() == pytest.approx(LITERAL[name](values[place].tolist()), rel=1e-12)
    assert torch.equal(values, before)


def test_the_six_are_told_apart() -> None:
    values = torch.tensor([-8.0, 3.0, 0.5, 4.0])
    assert {name: statistic(values, name).item() for name in get_args(Statistic)} == {
        "mean": -0.125,
        "max": 4.0,
        "min": -8.0,
        "abs-mean": 3.875,
        "abs-max": 8.0,
        "abs-min": 0.5,
    }


@every_name
@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_stays_nan(name: Statistic, place: int) -> None:
    """A maximum that skips NaN would rank a broken filter as a sound one."""
    values = torch.tensor([1.0, 2.0, 3.0])
    values[place] = torch.nan
    assert math.isnan(statistic(values, name))


@every_name
def test_one_value_is_itself_or_its_size(name: Statistic) -> None:
    assert statistic(torch.tensor([[-2.0]]), name).tolist() == [2.0 if name.startswith("abs-") else -2.0]
