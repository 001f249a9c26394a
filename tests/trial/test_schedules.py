"""Rates against torch's own schedulers and closed forms."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from trial.schedules import rate_at


def rates(schedule, steps, rate=0.1):
    return [rate_at(schedule, step, steps=steps, rate=rate) for step in range(steps)]


def torch_rates(make, steps):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make(optimiser)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("steps", [5, 7, 10, 100, 333])
def test_one_cycle_is_torchs(steps):
    # torch's scheduler refuses the step after its last, so it is asked for one step fewer.
    expected = torch_rates(lambda o: OneCycleLR(o, 0.1, total_steps=steps, cycle_momentum=False), steps - 1)
    assert rates("one-cycle", steps)[:-1] == pytest.approx(expected, rel=1e-9)
    assert rates("one-cycle", steps)[-1] == pytest.approx(0.1 / 25 / 1e4)


@pytest.mark.parametrize("steps", [1, 2, 10, 99])
def test_cosine_is_torchs(steps):
    expected = torch_rates(lambda o: CosineAnnealingLR(o, steps), steps)
    assert rates("cosine", steps) == pytest.approx(expected, rel=1e-6)


def test_step_divides_by_ten_at_half_and_at_three_quarters():
    assert rates("step", 8) == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)


def test_constant_is_constant():
    assert rates("constant", 3) == [0.1] * 3


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "constant"])
def test_very_short_trainings_have_finite_positive_rates(schedule, steps):
    assert all(0 < rate <= 0.1 and math.isfinite(rate) for rate in rates(schedule, steps))
