import math
from typing import get_args

import pytest
import torch
from torch import nn

from methods.core.statistics import Statistic
from methods.core.units import Layer
from methods.filter_l1 import FilterL1
from methods.parameter import Parameter
from tests.methods.examples import evidence, network
from tests.methods.test_filter_l1 import filters

every_statistic = pytest.mark.parametrize("statistic", get_args(Statistic))


def literal(weight: torch.Tensor, statistic: Statistic) -> list[float]:
    """The statistic of each filter, every weight of the filter walked through."""
    made = []
    for filter_ in weight.double():
        values = [w if statistic in ("mean", "max", "min") else abs(w) for w in filter_.flatten().tolist()]
        of = {"mean": math.fsum(values) / len(values), "max": max(values), "min": min(values)}
        made.append(of[statistic.removeprefix("abs-")])
    return made


def cut(given: nn.Module, statistic: Statistic, ratio: float) -> dict[str, list[int]]:
    chosen = Parameter(ratio=ratio, statistic=statistic).cut(given, evidence(), ratio=ratio)
    return {layer: gone.tolist() for layer, gone in chosen.channels.items()}


@every_statistic
@pytest.mark.parametrize(("name", "layer"), [("flat", "0"), ("flat", "3"), ("depthwise", "3")])
def test_scores_are_the_statistic_of_each_filter(statistic: Statistic, name: str, layer: str) -> None:
    module = network(name).get_submodule(layer)
    scores = Parameter(ratio=0.5, statistic=statistic).scores(Layer(layer, module), evidence())
    assert scores.tolist() == pytest.approx(literal(module.weight.detach(), statistic), rel=1e-12)


@every_statistic
def test_one_ranking_over_convolutions(statistic: Statistic) -> None:
    given = network("flat")
    ranked = sorted(
        (score, place, channel)
        for place, layer in enumerate(("0", "3"))
        for channel, score in enumerate(literal(given.get_parameter(f"{layer}.weight").detach(), statistic))
    )
    chosen = cut(given, statistic, 0.25)
    lowest = sorted((("0", "3")[place], channel) for _, place, channel in ranked[:3])
    assert sorted((layer, channel) for layer, gone in chosen.items() for channel in gone) == lowest


def test_signs_matter_to_a_statistic_of_the_values_alone() -> None:
    given = filters([0.5, -2.0, 1.0], [3.0, -4.0, 0.25])
    for statistic in ("mean", "max", "min"):
        assert cut(given, statistic, 0.34) == {"0": [1], "1": [1]}
    for statistic in ("abs-mean", "abs-max", "abs-min"):
        assert cut(given, statistic, 0.34) == {"0": [0], "1": [2]}


@pytest.mark.parametrize("name", ["flat", "normed", "residual", "concatenated"])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.8])
def test_abs_mean_is_filter_l1_with_a_global_scope(name: str, ratio: float) -> None:
    given = network(name)
    chosen = FilterL1(ratio=ratio, scope="global", linear="leave").cut(given, evidence(), ratio=ratio)
    assert cut(given, "abs-mean", ratio) == {layer: gone.tolist() for layer, gone in chosen.channels.items()}
    assert Parameter(ratio=ratio) == Parameter(ratio=ratio, statistic="abs-mean")


@every_statistic
def test_equal_filters_go_from_the_front(statistic: Statistic) -> None:
    assert cut(filters([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]), statistic, 0.5) == {"0": [0, 1, 2], "1": [0]}


@every_statistic
def test_one_nan_weight_names_its_layer(statistic: Statistic) -> None:
    given = network("flat")
    with torch.no_grad():
        given.get_parameter("3.weight")[1, 2, 0, 1] = torch.nan
    with pytest.raises(ValueError, match=r"^parameter cannot rank layer 3: its weights hold NaN$"):
        cut(given, statistic, 0.5)
