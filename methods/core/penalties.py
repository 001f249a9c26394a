"""Penalties on batch-norm scales, by their subgradients: what sparsity training adds to γ's gradient each step.

Sources: L1 [Liu 2017]; Lp and transformed L1 (TL1) [Bui 2021, "Improving network slimming with nonconvex
regularization"]. sign(0) = 0 throughout: a scale that has reached zero is left alone by its penalty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

from torch import Tensor, nn

from methods.core.knobs import Log, Uniform

__all__ = ["L1", "LP_BOUND", "TL1", "Lp", "Penalty", "add_subgradient", "scales"]

LP_BOUND = 1e-3
"""Below this |γ| the Lp subgradient stays what it is there: |γ|^(p−1) has no bound as γ → 0."""

_LAMBDA = Log(1e-5, 1e-2, grid=(1e-5, 1e-4, 1e-3, 1e-2))


class Penalty(Protocol):
    """A penalty g(γ), summed over all scales; known to training by its subgradient alone."""

    def subgradient(self, gamma: Tensor) -> Tensor:
        """∂g/∂γ at each scale, shape and dtype of ``gamma``."""
        ...


@dataclass(frozen=True, kw_only=True)
class L1:
    """g(γ) = λ|γ|, subgradient λ sign γ [Liu 2017]."""

    lambda_: Annotated[float, _LAMBDA]

    def subgradient(self, gamma: Tensor) -> Tensor:
        """λ sign γ."""
        return self.lambda_ * gamma.sign()


@dataclass(frozen=True, kw_only=True)
class Lp:
    """g(γ) = λ|γ|^p with 0 < p < 1, subgradient λ p sign γ / max(|γ|, LP_BOUND)^(1−p) [Bui 2021]."""

    lambda_: Annotated[float, _LAMBDA]
    p: Annotated[float, Uniform(0.0, 1.0, grid=(0.25, 0.5, 0.75), exclusive=True)]

    def subgradient(self, gamma: Tensor) -> Tensor:
        """λ p sign γ |γ|^(p−1), with |γ| bounded below by ``LP_BOUND``."""
        return self.lambda_ * self.p * gamma.sign() * gamma.abs().clamp_min(LP_BOUND) ** (self.p - 1)


@dataclass(frozen=True, kw_only=True)
class TL1:
    """g(γ) = λ(a+1)|γ| / (a+|γ|), subgradient λ a(a+1) sign γ / (a+|γ|)² [Bui 2021].

    Tends to L1 as a → ∞ and to counting nonzero scales as a → 0: smaller a is sparser.
    """

    lambda_: Annotated[float, _LAMBDA]
    a: Annotated[float, Log(0.01, 100.0, grid=(0.5, 1.0))]

    def subgradient(self, gamma: Tensor) -> Tensor:
        """λ a(a+1) sign γ / (a+|γ|)²."""
        return self.lambda_ * self.a * (self.a + 1) * gamma.sign() / (self.a + gamma.abs()) ** 2


def scales(network: nn.Module) -> list[nn.Parameter]:
    """Every batch-norm scale γ of a network, in the order of its modules."""
    return [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine
    ]


def add_subgradient(network: nn.Module, penalty: Penalty) -> None:
    """Add the penalty's subgradient to the gradient of every batch-norm scale, in place."""
    for gamma in scales(network):
        if gamma.grad is not None:
            gamma.grad += penalty.subgradient(gamma.detach())
