"""Penalties on batch-norm scales, by their subgradients: what sparsity training adds to γ's gradient each step.

Sources: L1 [Liu 2017]; Lp, transformed L1 (TL1), MCP and SCAD on scales [Bui 2021, "Improving network slimming with
nonconvex regularization"]; MCP itself [Zhang 2010], SCAD [Fan 2001], RVSM [Dinh 2020]. sign(0) = 0 throughout: a
scale that has reached zero is left alone by its penalty.

MCP and SCAD are written with the strength λ apart from the knee κ, in units of γ. In their papers λ is both: at
λ = 1e-4 every scale of a network would stand beyond the knee, where the gradient is exactly zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

from torch import Tensor, nn

from methods.core.knobs import Log, Uniform

__all__ = ["L1", "LP_BOUND", "MCP", "RVSM", "SCAD", "TL1", "Lp", "Penalty", "add_subgradient", "scales"]

LP_BOUND = 1e-3
"""Below this |γ| the Lp subgradient stays what it is there: |γ|^(p−1) has no bound as γ → 0."""

_LAMBDA = Log(1e-5, 1e-2, grid=(1e-5, 1e-4, 1e-3, 1e-2))
_KNEE = Uniform(0.1, 2.0, grid=(0.25, 0.5, 1.0))


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


@dataclass(frozen=True, kw_only=True)
class MCP:
    """g(γ) = λ(|γ| − γ²/2κ) up to the knee κ, λκ/2 beyond; subgradient λ sign γ max(1 − |γ|/κ, 0) [Zhang 2010].

    The minimax concave penalty: small scales are pushed as by L1, those beyond the knee not at all.
    """

    lambda_: Annotated[float, _LAMBDA]
    knee: Annotated[float, _KNEE]

    def subgradient(self, gamma: Tensor) -> Tensor:
        """λ sign γ max(1 − |γ|/κ, 0)."""
        return self.lambda_ * gamma.sign() * (1 - gamma.abs() / self.knee).clamp_min(0)


@dataclass(frozen=True, kw_only=True)
class SCAD:
    """g(γ) = λ|γ| up to the knee κ, λ(2aκ|γ| − γ² − κ²) / (2(a−1)κ) up to aκ, λκ(a+1)/2 beyond [Fan 2001].

    The smoothly clipped absolute deviation. ``a_scad`` is a > 2, how many knees away the penalty is flat; the
    paper's own is 3.7.
    """

    lambda_: Annotated[float, _LAMBDA]
    knee: Annotated[float, _KNEE]
    a_scad: Annotated[float, Uniform(2.0, 10.0, grid=(3.7,), exclusive=True)]

    def subgradient(self, gamma: Tensor) -> Tensor:
        """λ sign γ times 1 up to κ, (aκ − |γ|) / ((a−1)κ) up to aκ, 0 beyond."""
        bend = (self.a_scad * self.knee - gamma.abs()) / ((self.a_scad - 1) * self.knee)
        return self.lambda_ * gamma.sign() * bend.clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class RVSM:
    """g(γ) = min over u of λ|u| + (c/2)(γ − u)², subgradient c(γ − u) at u = soft(γ, λ/c) [Dinh 2020].

    The relaxed variable splitting method, u brought to its minimum before each step: scales below λ/c decay
    in proportion to their size, larger ones are pushed as by L1, which it tends to as c → ∞.
    """

    lambda_: Annotated[float, _LAMBDA]
    c: Annotated[float, Log(1e-3, 10.0, grid=(0.01, 0.1, 1.0))]

    def subgradient(self, gamma: Tensor) -> Tensor:
        """c(γ − u), u = sign γ max(|γ| − λ/c, 0): that is cγ, at most λ in size."""
        # Not as a difference, which leaves rounding errors of γ's size where c is large and λ small.
        return (self.c * gamma).clamp(-self.lambda_, self.lambda_)


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
