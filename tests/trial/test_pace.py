"""How fast a network trains: counted by a clock that tests turn."""

from typing import Any

import pytest
import torch

from tests.trial.tiny import NETWORK
from trial import data, pace
from trial.data import Data
from trial.experiment import Experiment
from trial.pace import Pace

CPU = torch.device("cpu")


@pytest.fixture
def splits() -> data.Splits:
    return data.load(Data(name="digits", images=200, validation=60))


def experiment(**dense: Any) -> Experiment:
    made: Experiment = Experiment.parse(
        {"network": NETWORK, "data": "digits", "dense": {"epochs": 9, **dense}}, where=""
    )
    return made


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images trained on in each step; a clock in which a trained image takes 3 s, one looked at 1 s, a step 8 s."""
    now, steps = [0.0], []

    def train(network: Any, splits: data.Splits, training: Any, *, seed: int) -> None:  # noqa: ARG001
        assert (training.epochs, training.batch) == (1, len(splits.train))
        steps.append(len(splits.train))
        now[0] += 8 + 3 * len(splits.train) + len(splits.validation)

    def evaluate(network: Any, images: Any, splits: Any) -> None:  # noqa: ARG001
        now[0] += len(images)

    monkeypatch.setattr(pace, "train", train)
    monkeypatch.setattr(pace, "evaluate", evaluate)
    monkeypatch.setattr(pace.time, "process_time", lambda: now[0])
    return steps


def test_an_image_takes_its_share_of_a_whole_step(work: list[int], splits: data.Splits) -> None:
    found = pace.pace(experiment(batch=64), splits, device=CPU, seconds=1e6)
    assert found == Pace(training=3 + 8 / 64, evaluation=1)
    assert work == [8, 8] + [64] * 5
    assert found.epoch(splits) == pytest.approx(140 * (3 + 8 / 64) + 60)


def test_slow_steps_are_timed_on_fewer_images_and_once(work: list[int], splits: data.Splits) -> None:
    # Eight images take 32 s, 4 s each: in 100 s there is room for 25.
    assert pace.pace(experiment(batch=128), splits, device=CPU, seconds=100).training == pytest.approx(3 + 8 / 25)
    assert work == [8, 8, 25]


def test_a_batch_is_no_larger_than_the_training_part(work: list[int], splits: data.Splits) -> None:
    pace.pace(experiment(batch=4096), splits, device=CPU, seconds=1e6)
    assert work[-1] == 140


def test_real_steps_are_timed_and_leave_the_generator(splits: data.Splits) -> None:
    before = torch.get_rng_state()
    found = pace.pace(experiment(batch=32), splits, device=CPU)
    assert found.training > 0 < found.evaluation
    assert torch.equal(torch.get_rng_state(), before)
