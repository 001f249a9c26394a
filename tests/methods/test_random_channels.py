import math
from collections import Counter

import pytest

from methods.random_channels import RandomChannels
from tests.methods.examples import evidence, network
from tests.methods.laws import plain

SEEDS = 300


def shares(name: str, ratio: float) -> dict[tuple[str, int], float]:
    """How often each channel went over the seeds."""
    given, gone = network(name), Counter[tuple[str, int]]()
    for seed in range(SEEDS):
        cut = RandomChannels(ratio=ratio).cut(given, evidence(seed=seed), ratio=ratio)
        gone.update((layer, place) for layer, places in cut.channels.items() for place in places.tolist())
    return {channel: times / SEEDS for channel, times in gone.items()}


@pytest.mark.parametrize(("name", "channels"), [("normed", 20), ("residual", 20)])
def test_every_channel_goes_as_often_as_any_other(name: str, channels: int) -> None:
    """Residual: coupled channels, ranked by means of two draws, once went at .08 where .3 was asked.

    A channel's share over n seeds is a binomial mean with standard deviation √(r(1−r)/n) ≤ .027. Over 20 channels
    and five deviations a right draw fails once in 10⁵ choices of seeds; the seeds are fixed, so it never does.
    """
    ratio = 0.3
    seen = shares(name, ratio)
    assert len(seen) == channels
    bound = 5 * math.sqrt(ratio * (1 - ratio) / SEEDS)
    for channel, share in seen.items():
        assert abs(share - ratio) < bound, channel
    assert sum(seen.values()) == pytest.approx(channels * ratio)


def test_a_layers_share_is_the_ratio() -> None:
    """The share of a layer of m channels deviates by at most √(r(1−r)/(n·m)): draws without replacement vary less."""
    ratio, seen = 0.3, shares("normed", 0.3)
    for layer, size in (("0", 8), ("4", 12)):
        share = sum(times for (of, _), times in seen.items() if of == layer) / size
        assert abs(share - ratio) < 4 * math.sqrt(ratio * (1 - ratio) / (SEEDS * size))


def test_the_seed_alone_decides() -> None:
    cuts = [
        plain(RandomChannels(ratio=0.5).cut(network("normed", seed=weights), evidence(seed=seed), ratio=0.5))
        for weights, seed in [(0, 0), (1, 0), (0, 1)]
    ]
    assert cuts[0] == cuts[1]
    assert cuts[0] != cuts[2]


def test_linear_layers_are_left_alone() -> None:
    cut = RandomChannels(ratio=0.95).cut(network("flat"), evidence(), ratio=0.95)
    assert set(cut.channels) == {"0", "3"}
    assert cut.units == 12
