import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from analysis.errors import WrongInput
from tests.trial.images import splits
from trial.augmentation import normalised
from trial.experiment import Experiment
from trial.recovery import TEMPERATURE, Recovery, distillation_loss, recalibrate
from trial.training import Training

GIVEN = {"network": "seed-cnn", "data": "digits"}


def test_none_is_no_epoch() -> None:
    made: Experiment = Experiment.parse({**GIVEN, "recovery": "none"}, where="spec.yaml")
    assert made.recovery.epochs == 0
    with pytest.raises(WrongInput, match=r"recovery: .*got 'some' \(spec.yaml: recovery\)"):
        Experiment.parse({**GIVEN, "recovery": "some"}, where="spec.yaml")


def test_the_original_schedule_is_that_of_dense_training() -> None:
    dense = Training(epochs=60, rate=0.3, schedule="step")
    training = Recovery(epochs=5, rate=0.01, schedule="original", batch=32).training(dense)
    assert training == Training(epochs=5, rate=0.3, schedule="step", batch=32)
    assert Recovery(epochs=5, rate=0.01, schedule="constant").training(dense).rate == 0.01
    with pytest.raises(ValidationError):
        Training(epochs=1, schedule="original")


def test_distillation_is_the_divergence_written_out() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], dtype=torch.float64)
    taught = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]], dtype=torch.float64)
    total = 0.0
    for own, other in zip(logits.tolist(), taught.tolist(), strict=True):
        q = [math.exp(z / TEMPERATURE) / sum(math.exp(w / TEMPERATURE) for w in own) for z in own]
        p = [math.exp(z / TEMPERATURE) / sum(math.exp(w / TEMPERATURE) for w in other) for z in other]
        total += sum(pi * math.log(pi / qi) for pi, qi in zip(p, q, strict=True))
    assert float(distillation_loss(logits, taught)) == pytest.approx(TEMPERATURE**2 * total / 2, rel=1e-12)
    assert float(distillation_loss(taught, taught)) == pytest.approx(0, abs=1e-12)


class Small(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        nn.init.normal_(self[0].weight)


def test_statistics_of_one_large_batch_are_those_of_the_activations() -> None:
    """All images in one batch: mean and variance of the convolution's output, whatever was there before."""
    network, data = Small(), splits(train=20, augment=())
    network[1].running_mean += 100
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    recalibrate(network, data, batches=1, batch=20, seed=0)
    with torch.no_grad():
        seen = network[0](normalised(data.train.images, data)).transpose(0, 1).flatten(1)
    assert torch.allclose(network[1].running_mean, seen.mean(1), atol=1e-5)
    assert torch.allclose(network[1].running_var, seen.var(1), rtol=1e-4)
    assert all(torch.equal(before[name], parameter) for name, parameter in network.named_parameters())
    assert not any(module.training for module in network.modules())
    assert network[1].momentum == 0.1


def test_statistics_of_several_batches_are_their_plain_mean() -> None:
    data = splits(train=20, augment=())
    one, two = Small(), Small()
    two.load_state_dict(one.state_dict())
    recalibrate(one, data, batches=2, batch=10, seed=0)
    recalibrate(two, data, batches=1, batch=20, seed=0)
    assert torch.allclose(one[1].running_mean, two[1].running_mean, atol=1e-5)
    again = Small()
    again.load_state_dict(two.state_dict())
    recalibrate(again, data, batches=2, batch=10, seed=0)
    assert torch.equal(again[1].running_mean, one[1].running_mean)


def test_no_batch_changes_nothing() -> None:
    network = Small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recalibrate(network, splits(train=20), batches=0, batch=10, seed=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
