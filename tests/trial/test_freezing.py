"""What a training may change: exactly that moves, and afterwards all is as before."""

import pytest
import torch
from torch import nn

from methods.core.cut import Past
from methods.core.removal import fit_shapes
from methods.filter_l1 import FilterL1
from tests.trial.images import splits
from trial import cutting, stages
from trial.freezing import everything, only
from trial.networks import Network, build
from trial.recovery import Recovery
from trial.training import Epoch, Training, train
from trial.weights import weights_total

DATA = splits(64, 16)
TRAINING = Training(epochs=2, rate=0.05, batch=16, momentum=0.9, weight_decay=0.01)


def is_new(name):
    return name.startswith(("5.", "7."))


def small():
    """Convolution and norm that are frozen, and two linear layers that are not."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, stride=4), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten()),
        *(nn.Linear(54, 8), nn.ReLU(), nn.Linear(8, 3)),
    )
    nn.init.uniform_(network[1].running_mean)
    return network


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_exactly_the_trainable_tensors_move():
    network = small()
    before = state(network)
    with only(network, is_new):
        train(network, DATA, TRAINING, seed=0)
    assert moved(before, state(network)) == {"5.weight", "5.bias", "7.weight", "7.bias"}
    assert all(parameter.requires_grad for parameter in network.parameters())
    before = state(network)
    train(network, DATA, TRAINING, seed=0)
    assert moved(before, state(network)) == set(before), "afterwards nothing is held, statistics neither"


def test_it_trains_as_if_the_frozen_part_were_no_part_of_the_network():
    class Top(nn.Module):
        """The new layers, on features that are computed in eval mode and follow no gradient."""

        def __init__(self):
            super().__init__()
            self.top = small()[5:]
            self.below = [small()[:5].eval()]  # in a list it is no submodule

        def forward(self, images):
            with torch.no_grad():
                features = self.below[0](images)
            return self.top(features)

    network, twin = small(), Top()
    with only(network, is_new):
        curve = train(network, DATA, TRAINING, seed=3)
    assert curve == train(twin, DATA, TRAINING, seed=3)
    for ours, its in zip(network[5:].parameters(), twin.top.parameters(), strict=True):
        assert torch.equal(ours, its)


def test_all_is_as_before_when_training_fails():
    network = small()
    network[7].bias.requires_grad_(False)

    def stop(_: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), only(network, is_new):
        train(network, DATA, TRAINING, seed=0, on_epoch=stop)
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == ["7.bias"]
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_everything_is_no_restriction():
    one, other = small(), small()
    with only(one, everything):
        train(one, DATA, TRAINING, seed=0)
    train(other, DATA, TRAINING, seed=0)
    assert not moved(state(one), state(other))


def test_names_hold_after_channels_were_removed():
    """Of vgg16 cut to half its channels, momentum included, nothing moves but its two new layers."""
    network = build(Network(name="vgg16", width=0.03125), classes=3, seed=0)
    new, method = ("classifier.8.", "classifier.10."), FilterL1(ratio=0.5)
    total = weights_total(network)
    seen = cutting.evidence(DATA, method, seed=0, past=Past())
    cut = cutting.cut(network, DATA, method, seen, ratio=0.5, apply="remove", dense_weights=total)
    fit_shapes(network, dict(cut.tensors))
    after = stages.recover(
        network,
        DATA,
        Recovery(epochs=1, rate=0.05, batch=16),
        part=stages.Part(cut, keeps_momentum=True),
        dense=TRAINING,
        dense_weights=total,
        seed=0,
        trainable=lambda name: name.startswith(new),
    )
    changed = moved(cut.tensors, after.tensors)
    assert changed == {f"{layer}{part}" for layer in new for part in ("weight", "bias")}
    assert set(after.momentum) == changed
