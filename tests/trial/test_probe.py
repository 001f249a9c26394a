"""What a probe settles, by a network whose steps take as long as the test says."""

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from tests.trial.images import splits
from trial.experiment import Experiment
from trial.numerics import computing
from trial.probe import CANDIDATES, Candidate, best, probe

FLOAT_LAST, FLOAT, BRAIN_LAST, BRAIN = CANDIDATES
CPU = torch.device("cpu")


class Ticking(nn.Module):
    """Moves the clock on as it runs, by what `seconds_per_image` says of the numerics that it finds."""

    clock = 0.0
    seconds_per_image: ClassVar[dict[Candidate, float]] = {}
    threads: ClassVar[set[int]] = set()
    passes: ClassVar[list[tuple[Candidate, int]]] = []

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(4, classes)

    def forward(self, images: Tensor) -> Tensor:
        made = self.conv(images)
        precision = "bfloat16" if made.dtype == torch.bfloat16 else "float32"
        is_last = self.conv.weight.is_contiguous(memory_format=torch.channels_last)
        found: Candidate = (precision, "channels-last" if is_last else "contiguous")
        Ticking.threads.add(torch.get_num_threads())
        Ticking.passes.append((found, len(images)))
        seconds = Ticking.seconds_per_image[found]
        if math.isinf(seconds):
            raise NotImplementedError(f"no {precision} here")
        Ticking.clock += (1 if math.isnan(seconds) else seconds) * len(images)
        logits: Tensor = self.linear(self.drop(made.mean((2, 3))))
        return logits * math.nan if math.isnan(seconds) else logits


def ticking(classes: int) -> nn.Module:
    return Ticking(classes)


def probed(*seconds: float, **numerics: object):
    Ticking.clock, Ticking.passes = 0.0, []
    Ticking.seconds_per_image = dict(zip(CANDIDATES, seconds, strict=True))
    given = {
        "network": {"code": "tests.trial.test_probe:ticking"},
        "data": "digits",
        "dense": {"batch": 64, "epochs": 1},
        "numerics": numerics,
    }
    experiment = Experiment.parse(given, where="spec.yaml")
    return probe(experiment, splits(train=100), device=CPU, clock=lambda: Ticking.clock)


def chosen(*seconds: float, **numerics: object) -> Candidate:
    settled = probed(*seconds, **numerics).numerics
    return settled.precision, settled.layout


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((1, 1, 1, 1), FLOAT_LAST),
        ((1, 0.9, 0.81, 0.81), FLOAT_LAST),
        ((1, 0.79, 2, 2), FLOAT),
        ((1, 1.3, 0.55, 0.7), BRAIN_LAST),
        ((1, 1.3, 0.55, 0.54), BRAIN_LAST),
        ((1, 1.3, 0.55, 0.4), BRAIN),
        ((1, 1.2, 9, 20), FLOAT_LAST),
        ((9, 1, 9, 9), FLOAT),
    ],
)
def test_another_candidate_is_chosen_only_if_it_is_a_quarter_faster(seconds, expected):
    assert chosen(*seconds) == expected
    assert best(dict(zip(CANDIDATES, seconds, strict=True))) == expected


def test_what_cannot_run_or_gives_no_number_loses_and_the_user_is_told():
    told = probed(1, 1.1, math.inf, math.nan)
    assert (told.numerics.precision, told.numerics.layout) == FLOAT_LAST
    assert str(told) == (
        "numerics: float32 and channels-last; a step in float32 and contiguous takes 1.10×, "
        "bfloat16 and channels-last cannot run the network, bfloat16 and contiguous cannot run the network"
    )


def test_a_network_that_runs_in_nothing_is_left_to_its_trials():
    assert probed(*[math.inf] * 4) is None


@pytest.mark.parametrize(
    ("numerics", "expected"),
    [
        ({"precision": "float32"}, {FLOAT_LAST, FLOAT}),
        ({"precision": "bfloat16"}, {BRAIN_LAST, BRAIN}),
        ({"layout": "contiguous"}, {FLOAT, BRAIN}),
        ({"threads": 1}, set(CANDIDATES)),
        ({"precision": "bfloat16", "layout": "contiguous"}, set()),
    ],
)
def test_only_what_is_not_fixed_is_timed(numerics, expected):
    told = probed(1, 1, 1, 1, **numerics)
    assert {candidate for candidate, _ in Ticking.passes} == expected
    assert (told is None) == (not expected)


def test_the_studys_batch_is_timed_and_a_hopeless_candidate_takes_no_whole_batch():
    probed(0.001, 0.001, 0.0016, 0.020)
    sizes = {candidate: [images for found, images in Ticking.passes if found == candidate] for candidate in CANDIDATES}
    assert sizes[FLOAT_LAST] == [8] + [8] * 2 + [64] * 5
    assert sizes[FLOAT] == [8] * 2 + [64] * 5
    assert sizes[BRAIN_LAST] == [8] * 2
    assert sizes[BRAIN] == [8]


def test_a_slow_network_is_timed_twice():
    probed(0.1, 0.1, 0.1, 0.1)
    assert Ticking.passes.count((BRAIN, 64)) == 2


def test_a_probe_takes_one_thread_and_leaves_random_state_and_threads_as_they_were():
    """Two threads beside a busy process waited for one another, and emulated bfloat16 seemed the fastest."""
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    Ticking.threads.clear()
    with computing("float32", threads=2):
        probed(1, 1, 1, 1, threads=2)
        assert torch.get_num_threads() == 2
    assert Ticking.threads == {1}
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["seed-cnn", "vgg16-bn"])
def test_our_networks_can_be_probed(name):
    given = {"network": {"name": name, "width": 0.05}, "data": "digits", "dense": {"batch": 8}}
    told = probe(Experiment.parse(given, where="spec.yaml"), splits(train=20), device=CPU)
    assert set(told.ratios) == set(CANDIDATES)
    assert all(math.isfinite(ratio) for ratio in told.ratios.values())
