import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from methods.core.lrp import Propagation
from methods.core.relevances import Aggregate, Relevances, relevance_of
from methods.core.statistics import Statistic
from methods.core.units import Layer
from tests.methods.examples import evidence, images, network

LITERAL = {"mean": lambda values: math.fsum(values) / len(values), "max": max, "min": min}


def literal(relevance: Tensor, aggregate: Aggregate, statistic: Statistic) -> list[float]:
    """One number per channel of R, shape (N, C, places)."""
    made = []
    for channel in range(relevance.shape[1]):
        maps = relevance[:, channel].tolist()
        if aggregate == "sample":
            values = [math.fsum(places) for places in maps]
        else:
            values = [math.fsum(each) / len(maps) for each in zip(*maps, strict=True)]
        kind = statistic.removeprefix("abs-")
        made.append(LITERAL[kind]([abs(value) for value in values] if statistic.startswith("abs-") else values))
    return made


@pytest.mark.parametrize("name", ["normed", "inception"])
@pytest.mark.parametrize("count", [5, 70], ids=["one batch", "two batches"])
def test_every_statistic_is_its_definition(name: str, count: int) -> None:
    given = network(name)
    seen = replace(evidence(), images=images(count), labels=torch.zeros(count, dtype=torch.int64))
    observed = Relevances(images=count).observe(given, seen)
    together = Propagation(given).relevances(seen.images)
    assert observed.keys() == together.keys()
    for layer, relevance in together.items():
        assert observed[layer].shape == (2, 6, relevance.shape[1])
        assert observed[layer].dtype == torch.float64
        for aggregate in get_args(Aggregate):
            for statistic in get_args(Statistic):
                scores = relevance_of(
                    Layer(layer, given.get_submodule(layer)),
                    replace(seen, seen=observed),
                    aggregate=aggregate,
                    named=statistic,
                )
                assert scores.tolist() == pytest.approx(literal(relevance, aggregate, statistic), rel=1e-9, abs=1e-12)


class OneNumber(nn.Sequential):
    """x ↦ x − 3 of one pixel and one class: its logit, and so its relevance, has either sign."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(1, 1))
        for parameter, value in zip(self.parameters(), (1, 0, 1, -3), strict=True):
            nn.init.constant_(parameter, value)


def test_the_absolute_value_is_each_samples() -> None:
    # Of a logit L = x − 3 the input x > 0 is all of the positive part and none of the negative: r = 2·L.
    read = torch.tensor([1.0, 5.0], dtype=torch.float64)[:, None, None, None]
    seen = replace(evidence(), images=read, labels=torch.zeros(2, dtype=torch.int64))
    observed = Relevances(images=2).observe(OneNumber().double().eval(), seen)["0"][:, :, 0]
    by_name = [dict(zip(get_args(Statistic), values, strict=True)) for values in observed.tolist()]
    sample = {"mean": 0, "max": 4, "min": -4, "abs-mean": 4, "abs-max": 4, "abs-min": 4}
    assert by_name[get_args(Aggregate).index("sample")] == pytest.approx(sample, abs=1e-7)
    assert by_name[get_args(Aggregate).index("map")] == pytest.approx(dict.fromkeys(sample, 0), abs=1e-7)


def test_the_spatial_sum_comes_before_the_statistic_of_samples() -> None:
    given, seen = network("plain"), evidence()
    observed = Relevances(images=5).observe(given, seen)
    sums = Propagation(given).relevances(seen.images)["0"].sum(2)
    index = get_args(Aggregate).index("sample"), get_args(Statistic).index("abs-mean")
    assert observed["0"][index].tolist() == pytest.approx(sums.abs().mean(0).tolist(), rel=1e-9)


def test_nan_in_weights_is_refused_by_the_layers_name() -> None:
    given = network("normed")
    with torch.no_grad():
        given[4].weight[3, 2, 1, 1] = torch.nan
    with pytest.raises(ValueError, match="relevance cannot follow layer 4: there are NaN in its weights"):
        Relevances(images=5).observe(given, evidence())
