"""The channels that contribute least to the predicted class go."""

from dataclasses import dataclass

from torch import Tensor, nn

from methods.core.lrp import Propagation
from methods.core.method import ChannelMethod, Evidence, Images
from methods.core.relevances import Aggregate, Relevances, relevance_of
from methods.core.statistics import Statistic
from methods.core.units import Layer

__all__ = ["Relevance"]


@dataclass(frozen=True, kw_only=True)
class Relevance(ChannelMethod):
    """Cut the channels of convolutions with the lowest relevance for the predicted class.

    s_c = statistic over samples n of Σ_{h,w} R[n, c, h, w], R at the convolution's output by
    R_i = Σ_j (2·z⁺_ij/Σ_i z⁺_ij − z⁻_ij/Σ_i z⁻_ij)·R_j                     [Bach 2015, eq. 60; Yeom 2021]

    Relevance starts from the predicted class's logit and is handed back by the alpha-2 beta-1 rule, batch norm
    merged into its convolution before, biases among the z, of which they absorb their share (`methods.core.lrp` has
    the other layers' rules). One ranking over all layers; linear layers are left alone. The absolute value of the
    abs statistics is each sample's. With ``aggregate="map"`` samples are averaged first and the statistic is taken
    over the map (h, w): signs cancel. The choice of statistics and aggregates is not the papers'.
    """

    needs = frozenset({"images", "gradients"})
    cost = "one forward pass and one relevance pass, worth about four forward passes more, over the images"

    statistic: Statistic = "abs-mean"
    images: Images = 256
    aggregate: Aggregate = "sample"

    @property
    def observer(self) -> Relevances:
        """Reads all statistics at once: only the images are the observer's."""
        return Relevances(images=self.images)

    def refusal(self, network: nn.Module) -> str | None:
        """Also refuses a network that relevance cannot be followed through, as far as its graph says."""
        refusal = super().refusal(network)
        if refusal is None:
            try:
                with self._named():
                    Propagation(network).check_rules()
            except ValueError as error:
                refusal = str(error)
        return refusal

    def scores(self, layer: Layer, evidence: Evidence) -> Tensor:
        """The statistic of each output channel's relevance, float64, shape (out,)."""
        return relevance_of(layer, evidence, aggregate=self.aggregate, named=self.statistic)
