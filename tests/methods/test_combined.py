from dataclasses import replace
from typing import get_args

import pytest

from methods.combined import Combined
from methods.core.statistics import Statistic
from methods.core.units import channel_groups
from methods.mixed import Mixed
from methods.parameter import Parameter
from methods.relevance import Relevance
from tests.methods.examples import NETWORKS, evidence, images, network
from tests.methods.laws import units

Channel = tuple[str, str, int]


def going(method: Parameter | Relevance, name: str) -> list[Channel]:
    """Every channel in the order in which it goes: by score, equal ones by position."""
    given, seen = network(name), evidence()
    if method.observer is not None:
        seen = replace(seen, seen=method.observer.observe(given, seen))
    groups = [group for group in channel_groups(given, images(1)) if not group.layers[0].is_linear]
    scores = method.all_scores(groups, seen)
    listed = [
        (score, place, ("channel", group, index))
        for place, (group, each) in enumerate(scores.items())
        for index, score in enumerate(each.tolist())
    ]
    return [channel for _, _, channel in sorted(listed)]


def interleaved(relevance: list[Channel], parameter: list[Channel]) -> list[Channel]:
    """r₀ p₀ r₁ p₁ …, first occurrences kept."""
    made: list[Channel] = []
    for pair in zip(relevance, parameter, strict=True):
        made += [channel for place, channel in enumerate(pair) if channel not in made and channel not in pair[:place]]
    return made


@pytest.mark.parametrize("name", ["flat", "residual", "inception"])
@pytest.mark.parametrize("statistic", get_args(Statistic))
def test_the_list_is_the_two_orders_in_turn(name: str, statistic: Statistic) -> None:
    relevance = going(Relevance(ratio=0.5, statistic=statistic), name)
    parameter = going(Parameter(ratio=0.5, statistic=statistic), name)
    made = going(Combined(ratio=0.5, statistic=statistic), name)
    assert made == interleaved(relevance, parameter)
    assert made[0] == relevance[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_list_holds_every_channel_once(name: str) -> None:
    made = going(Combined(ratio=0.5), name)
    assert len(made) == len(set(made)) == len(going(Parameter(ratio=0.5), name))


def test_the_first_of_the_list_go() -> None:
    made = going(Combined(ratio=0.5), "flat")
    for ratio, count in ((0.1, 1), (0.25, 3), (0.5, 6)):
        chosen = Combined(ratio=ratio).cut(network("flat"), evidence(), ratio=ratio)
        assert not chosen.floored
        assert units(chosen) == set(made[:count])


def test_it_begins_with_relevance_and_mixed_halves_with_parameters() -> None:
    relevance, parameter = going(Relevance(ratio=0.5), "normed"), going(Parameter(ratio=0.5), "normed")
    assert relevance[0] != parameter[0], "the example must tell them apart"
    assert going(Combined(ratio=0.5), "normed")[0] == relevance[0]
    assert going(Mixed(ratio=0.5, delta=0.5), "normed")[0] == parameter[0]
