"""The weights that the loss is least sensitive to go."""

from dataclasses import dataclass

from torch import Tensor, nn

from methods.core.gradients import mean_gradients
from methods.core.method import Evidence, Images, Observation, Observer, WeightRanking
from methods.core.units import Layer, weighted_layers

__all__ = ["LossGradient", "Snip"]


@dataclass(frozen=True)
class LossGradient:
    """Sees the gradient of the mean cross-entropy over all images, for each layer's weight, by the layer's name."""

    def observe(self, network: nn.Module, evidence: Evidence) -> Observation:
        """∂L/∂W of every convolution and linear layer, shape and dtype of W."""
        layers = list(weighted_layers(network))
        gradients = mean_gradients(network, evidence, [layer.module.weight for layer in layers])
        return {layer.name: gradient for layer, gradient in zip(layers, gradients, strict=True)}


@dataclass(frozen=True, kw_only=True)
class Snip(WeightRanking):
    """Cut the weights that the loss is least sensitive to, in one ranking over all layers.

    s_u = |w_u · ∂L/∂w_u|, L the mean cross-entropy over all images                [Lee 2019, §4.1]

    Departs from the paper in the moment and in the mode: it ranks once, at random weights and on one batch, where
    here the network is trained, every image counts, and batch norm uses its running statistics. The paper divides
    by the sum of all scores, which ranks alike.
    """

    needs = frozenset({"images", "gradients"})
    cost = "one forward and one backward pass over the images"

    images: Images = 256

    @property
    def observer(self) -> Observer:
        """The gradient; ratios share it."""
        return LossGradient()

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:
        """|w · ∂L/∂w| of every weight, in float64: the product of two small numbers vanishes in float32."""
        assert evidence.seen is not None
        gradient = evidence.seen[layer.name].to(layer.weight.device)
        return (layer.weight.double() * gradient.double()).abs()
