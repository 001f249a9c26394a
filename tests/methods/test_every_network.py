"""Every method on every network that prunefront brings: cut, masked and removed alike."""

import pytest
import torch

import methods
from methods.core.method import ChannelMethod, Evidence, Method
from tests.methods.examples import CLASSES, drawn, images, made
from tests.methods.laws import removal_difference, state
from tests.methods.test_catalogue import FIXED
from trial.networks import Network, build, names

QUICK = {"seed-cnn", "vgg16", "vgg16-bn", "resnet20"}
WIDTHS = {"vgg16": 0.03125}
"""Where an eighth of the width is still slow."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names()]
)
@pytest.mark.parametrize("owner", methods.catalogue().values(), ids=methods.catalogue())
def test_every_method_works_on_every_network(owner: type[Method], name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = drawn(build(Network(name=name, width=WIDTHS.get(name, 0.125)), classes=CLASSES, seed=0)).double().eval()
    batch = images(4, side=32)
    method = made(owner, **FIXED)[0]
    if method.refusal(given) is not None:
        pytest.skip(str(method.refusal(given)))
    before = state(given)
    chosen = method.cut(given, Evidence(batch, torch.arange(4) % CLASSES, 0), ratio=0.5)
    assert state(given) == before
    assert chosen.size > 0
    if isinstance(method, ChannelMethod):
        assert removal_difference(given, chosen, batch) < 1e-10
