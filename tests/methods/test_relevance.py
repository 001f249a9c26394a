import re
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from methods.combined import Combined
from methods.core.lrp import Propagation
from methods.core.method import Evidence
from methods.core.relevances import Aggregate
from methods.core.statistics import Statistic
from methods.mixed import Mixed
from methods.relevance import Relevance
from tests.methods.core.test_relevances import literal
from tests.methods.examples import evidence, network

OTHERS = ((Combined(ratio=0.5), "combined: "), (Mixed(ratio=0.5, delta=0.5), "mixed: "))


def lowest(scores: dict[str, list[float]], count: int) -> dict[str, list[int]]:
    """The channels that go, by group: lowest score first, equal ones by position."""
    everything = [
        (score, place, index) for place, each in enumerate(scores.values()) for index, score in enumerate(each)
    ]
    goes = sorted(everything)[:count]
    named = {name: sorted(index for _, at, index in goes if at == place) for place, name in enumerate(scores)}
    return {name: indices for name, indices in named.items() if indices}


def cut(method: Relevance, name: str, seen: Evidence | None = None) -> dict[str, list[int]]:
    chosen = method.cut(network(name), seen or evidence(), ratio=method.ratio)
    assert not chosen.floored
    return {layer: gone.tolist() for layer, gone in chosen.channels.items()}


@pytest.mark.parametrize("statistic", get_args(Statistic))
@pytest.mark.parametrize("aggregate", get_args(Aggregate))
def test_the_lowest_statistics_go_over_all_convolutions(statistic: Statistic, aggregate: Aggregate) -> None:
    given = network("flat")
    read = Propagation(given).relevances(evidence().images)
    scores = {layer: literal(read[layer], aggregate, statistic) for layer in ("0", "3")}
    method = Relevance(ratio=0.25, statistic=statistic, aggregate=aggregate)
    assert cut(method, "flat") == lowest(scores, 3)


def test_coupled_channels_go_by_the_mean_of_their_members() -> None:
    read = Propagation(network("residual")).relevances(evidence().images)
    stem, first, second = (literal(read[name], "sample", "abs-mean") for name in ("stem", "first", "second"))
    scores = {"stem": [(one + two) / 2 for one, two in zip(stem, second, strict=True)], "first": first}
    assert cut(Relevance(ratio=0.5), "residual") == lowest(scores, 10)


def test_linear_layers_and_the_output_are_left_alone() -> None:
    chosen = Relevance(ratio=0.5).cut(network("flat"), evidence(), ratio=0.5)
    assert (chosen.units, chosen.size) == (8 + 4, 6)
    assert set(chosen.channels) <= {"0", "3"}
    assert not chosen.weights


def test_sample_and_map_differ() -> None:
    cuts = [cut(Relevance(ratio=0.5, aggregate=aggregate), "residual") for aggregate in get_args(Aggregate)]
    assert cuts[0] != cuts[1]


def test_one_look_at_the_images_serves_every_setting() -> None:
    methods = [
        Relevance(ratio=0.1, statistic="max", images=7),
        Relevance(ratio=0.9, aggregate="map", images=7),
        Combined(ratio=0.3, images=7),
        *(Mixed(ratio=0.3, delta=delta, images=7) for delta in (0.0, 0.3)),
    ]
    assert len({method.observer for method in methods}) == 1
    assert Relevance(ratio=0.1, images=8).observer != methods[0].observer


def test_what_was_seen_is_not_looked_at_again() -> None:
    given = network("plain")
    seen = {"0": torch.zeros(2, 6, 8, dtype=torch.float64), "2": torch.ones(2, 6, 4, dtype=torch.float64)}
    seen["0"][:, :, 2] = 2.0
    chosen = Relevance(ratio=0.25).cut(given, replace(evidence(), seen=seen), ratio=0.25)
    assert {layer: gone.tolist() for layer, gone in chosen.channels.items()} == {"0": [0, 1, 3]}


def test_no_relevance_at_all_goes_by_position() -> None:
    seen = {"0": torch.zeros(2, 6, 8, dtype=torch.float64), "2": torch.zeros(2, 6, 4, dtype=torch.float64)}
    for method in (Relevance(ratio=0.5), Relevance(ratio=0.5, statistic="min", aggregate="map")):
        assert cut(method, "plain", replace(evidence(), seen=seen)) == {"0": [0, 1, 2, 3, 4, 5]}


def test_what_has_no_rule_is_refused() -> None:
    given = network("plain")
    given[1] = torch.nn.Sigmoid()
    for method, prefix in ((Relevance(ratio=0.5), ""), *OTHERS):
        text = f"{prefix}relevance has no rule for Sigmoid (layer 1)"
        assert method.refusal(given) == text
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            method.cut(given, evidence(), ratio=0.5)


class Branching(nn.Sequential):
    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return super().forward(given) if given.sum() > 0 else given  # type: ignore[no-any-return]


def test_what_cannot_be_traced_is_refused_before_a_search() -> None:
    for method, prefix in ((Relevance(ratio=0.5), ""), *OTHERS):
        refusal = method.refusal(Branching(*network("plain")))
        assert refusal is not None
        assert refusal.startswith(f"{prefix}relevance cannot follow Branching: torch.fx cannot trace it: ")
        assert "\n" not in refusal


class Viewed(nn.Module):
    """Sizes go into a view, whose arithmetic needs no rule; what stands in front of all convolutions needs none."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = nn.Conv2d(3, 8, 3), nn.Linear(8 * 36, 4)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        seen = self.stem(given.sigmoid()).relu()
        logits: torch.Tensor = self.out(seen.view(seen.size(0), seen.shape[1] * seen.size(2) * seen.size(3)))
        return logits


def test_what_needs_no_rule_is_not_refused() -> None:
    given = Viewed().double()
    for method in (Relevance(ratio=0.5), *(other for other, _ in OTHERS)):
        assert method.refusal(given) is None
        assert method.cut(given, evidence(), ratio=0.5).size == 4
