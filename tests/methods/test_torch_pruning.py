"""Where Torch-Pruning's importances are defined as ours are, the numbers agree."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_pruning as tp

from methods.core.method import ChannelMethod
from methods.core.penalties import L1
from methods.core.units import Layer, channel_groups, dependencies
from methods.filter_l1 import FilterL1
from methods.fpgm import Fpgm
from methods.slimming import Slimming
from tests.methods.examples import evidence, images, network

ALONE: dict[str, Any] = {"group_reduction": "first", "normalizer": None, "bias": False}


@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        (FilterL1(ratio=0.5), tp.importance.GroupMagnitudeImportance(p=1, **ALONE)),
        # Theirs takes distances between the weights' absolute values, so weights are made positive below.
        (Fpgm(ratio=0.5), tp.importance.FPGMImportance(p=1, **ALONE)),
        (
            Slimming(ratio=0.5, penalty=L1(lambda_=1e-4)),
            tp.importance.BNScaleImportance(group_reduction="mean", normalizer=None),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("name", ["normed", "flat"])
def test_scores_of_uncoupled_convolutions_agree(method: ChannelMethod, theirs: Callable[..., Any], name: str) -> None:
    given = network(name, dtype=torch.float32)
    with torch.no_grad():
        for parameter in given.parameters():
            parameter.abs_()
    graph = dependencies(given, images(1, dtype=torch.float32))
    compared = 0
    for group in channel_groups(given, images(1, dtype=torch.float32)):
        layer: Layer = group.layers[0]
        if layer.is_linear or not method.ranks(layer):
            continue
        of_theirs = graph.get_pruning_group(
            layer.module, tp.prune_conv_out_channels, idxs=list(range(layer.weight.shape[0]))
        )
        importance = theirs(of_theirs)
        assert torch.allclose(method.scores(layer, evidence(dtype=torch.float32)).float(), importance, rtol=1e-4)
        compared += 1
    assert compared
