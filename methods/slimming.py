"""The channels with the smallest batch-norm scales go, after training that pushes the scales to zero."""

from dataclasses import dataclass

from torch import Tensor, nn

from methods.core.method import ChannelMethod, Evidence
from methods.core.norms import has_own_norms
from methods.core.penalties import L1, MCP, RVSM, SCAD, TL1, Lp, Penalty
from methods.core.units import Layer

__all__ = ["Slimming"]


@dataclass(frozen=True, kw_only=True)
class Slimming(ChannelMethod):
    """Cut the channels with the smallest batch-norm scales after sparsity training.

    s_i = |γ_i|, one ranking over all layers                                      [Liu 2017, §3]

    Needs batch norm, and sparsity training with ``penalty`` added to the loss: L1 [Liu 2017], Lp, transformed
    L1, MCP or SCAD [Bui 2021], or relaxed variable splitting [Dinh 2020]. Convolutions without a batch norm
    of their own are left alone: those with none behind them, and those whose output a second norm, an addition or a
    concatenation reads too, as in networks with norms in front of convolutions. Departs from the public code in the
    count: exactly ⌊r·n⌋ channels go, and equal scales go in order of position.
    """

    needs = frozenset({"batch norm", "sparsity training"})
    penalty: L1 | Lp | TL1 | MCP | SCAD | RVSM

    def refusal(self, network: nn.Module) -> str | None:
        """Also refuses a network without a batch norm behind a convolution."""
        refusal = super().refusal(network)
        if refusal is None and not has_own_norms(network):
            refusal = (
                "slimming ranks channels by batch-norm scales, and the network has no batch norm behind a convolution "
                "that alone reads it"
            )
        return refusal

    @property
    def sparsifier(self) -> Penalty | None:
        """The penalty knob."""
        return self.penalty

    def ranks(self, layer: Layer) -> bool:
        """Whether the layer has a batch norm with scales of its own."""
        return layer.norm is not None and layer.norm.affine

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:  # noqa: ARG002
        """|γ| of the batch norm behind the layer, shape (out,)."""
        assert layer.norm is not None
        return layer.norm.weight.detach().abs()
