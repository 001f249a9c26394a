import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from methods.core.cut import Past
from methods.core.removal import remove
from methods.random_channels import RandomChannels
from tests.methods.examples import evidence, images, network
from tests.methods.laws import plain

SEEDS = 300


def shares(name: str, ratio: float) -> dict[tuple[str, int], float]:
    """How often each channel went over the seeds."""
    given, gone = network(name), Counter[tuple[str, int]]()
    for seed in range(SEEDS):
        cut = RandomChannels(ratio=ratio).cut(given, evidence(seed=seed), ratio=ratio)
        gone.update((layer, place) for layer, places in cut.channels.items() for place in places.tolist())
    return {channel: times / SEEDS for channel, times in gone.items()}


@pytest.mark.parametrize(("name", "sizes"), [("normed", {"0": 8, "4": 12}), ("residual", {"stem": 8, "first": 12})])
def test_every_channel_goes_as_often_as_any_other(name: str, sizes: dict[str, int]) -> None:
    """Residual: coupled channels were ranked by the mean of two draws, and went at .04 where .1 was asked.

    Over n seeds a channel's share is a binomial mean with standard deviation √(r(1−r)/n); that of a layer of m
    channels has at most √(r(1−r)/(n·m)), since draws without replacement vary less. Five deviations are passed
    by chance once in 10⁶; the seeds are fixed, so it never happens.
    """
    ratio = 0.1
    seen = shares(name, ratio)
    deviation = math.sqrt(ratio * (1 - ratio) / SEEDS)
    for channel, share in seen.items():
        assert abs(share - ratio) < 5 * deviation, channel
    for layer, size in sizes.items():
        share = sum(times for (of, _), times in seen.items() if of == layer) / size
        assert abs(share - ratio) < 5 * deviation / math.sqrt(size), layer
    assert len(seen) == sum(sizes.values())
    assert sum(seen.values()) == pytest.approx(ratio * len(seen))


@pytest.mark.parametrize(("name", "sizes"), [("normed", {"0": 8, "4": 12}), ("residual", {"stem": 8, "first": 12})])
def test_two_rounds_with_removal_are_as_fair_as_one(name: str, sizes: dict[str, int]) -> None:
    """With the same draws again the channels behind those that went took their low draws over, those in front none."""
    given, gone = network(name), Counter[tuple[str, int]]()
    for seed in range(SEEDS):
        seen = evidence(seed=seed)
        first = RandomChannels(ratio=0.4).cut(given, seen, ratio=0.2)
        thin, _ = remove(given, first, images(1))
        past = Past(
            sizes={layer: sizes[layer] for layer in first.channels},
            lost={layer: len(places) for layer, places in first.channels.items()},
        )
        second = RandomChannels(ratio=0.4).cut(thin, replace(seen, past=past), ratio=0.4)
        for layer, size in sizes.items():
            before = first.channels.get(layer, torch.empty(0, dtype=torch.int64)).tolist()
            left = [place for place in range(size) if place not in before]
            after = [left[place] for place in second.channels.get(layer, torch.empty(0, dtype=torch.int64)).tolist()]
            gone.update((layer, place) for place in before + after)
    deviation = math.sqrt(0.4 * 0.6 / SEEDS)
    front = sum(gone[layer, 0] / SEEDS for layer in sizes) / len(sizes)
    assert abs(front - 0.4) < 4 * deviation / math.sqrt(len(sizes))
    for layer, size in sizes.items():
        shares = [gone[layer, place] / SEEDS for place in range(size)]
        # Five deviations for each channel, four for a layer's mean: it is by chance in neither once in 10⁴.
        assert all(abs(share - 0.4) < 5 * deviation for share in shares), layer
        assert abs(sum(shares) / size - 0.4) < 4 * deviation / math.sqrt(size), layer


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
