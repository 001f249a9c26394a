"""A network of three layers, for tests of what lies around a network: a user's own, by code."""

from torch import nn

__all__ = ["NETWORK", "made"]

NETWORK = {"code": "tests.trial.tiny:made"}


def made(*, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, classes),
    )
