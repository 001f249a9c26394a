"""Statistics that make one number of many: of a filter's weights, or of a channel's relevances."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Literal

from torch import Tensor

__all__ = ["Statistic", "statistic"]

Statistic = Literal["mean", "max", "min", "abs-mean", "abs-max", "abs-min"]
"""The knob ``statistic``: of the values themselves, or of their absolute values."""

_REDUCTIONS: MappingProxyType[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "mean": lambda values: values.mean(-1),
        "max": lambda values: values.amax(-1),
        "min": lambda values: values.amin(-1),
    }
)


def statistic(values: Tensor, name: Statistic) -> Tensor:
    """Reduce the last dimension, shape (..., n) with n ≥ 1 to (...); NaN where any of the n values is NaN.

    >>> import torch
    >>> statistic(torch.tensor([[1.0, -5.0], [2.0, 2.0]]), "abs-max").tolist()
    [5.0, 2.0]
    """
    return _REDUCTIONS[name.removeprefix("abs-")](values.abs() if name.startswith("abs-") else values)
