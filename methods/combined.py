"""The channels that come first in turn by relevance and by parameters go."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from methods.core.method import Evidence
from methods.core.rankings import interleaved, order, places
from methods.core.units import ChannelGroup
from methods.parameter import Parameter
from methods.relevance import Relevance

__all__ = ["Combined"]


@dataclass(frozen=True, kw_only=True)
class Combined(Relevance):
    """Cut the channels that come first when the orders by relevance and by parameters are interleaved.

    list = r₀ p₀ r₁ p₁ …, first occurrences kept, s_c = the place of c in the list       [after Yeom 2021]

    r is the order of `relevance`, p that of `parameter`, by the same statistic, the lowest first, equal ones in order
    of position; both over all ranked channels, coupled ones as one. Near to ``mixed`` with delta .5, which begins
    with p.
    """

    def all_scores(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        """Each channel's place in the list, float64, by group."""
        relevance, parameter = self.orders(groups, evidence)
        return places(interleaved(relevance, parameter), {group.name: group.size for group in groups})

    def orders(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> tuple[list[int], list[int]]:
        """The order by relevance and that by parameters."""
        parameter = Parameter(ratio=self.ratio, statistic=self.statistic)
        return order(Relevance.all_scores(self, groups, evidence)), order(parameter.all_scores(groups, evidence))
