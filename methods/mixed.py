"""The channels that come first in a list with a share from relevance and the rest from parameters go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from methods.combined import Combined
from methods.core.knobs import Uniform
from methods.core.method import Evidence
from methods.core.rankings import mixed, places
from methods.core.units import ChannelGroup

__all__ = ["Mixed"]


@dataclass(frozen=True, kw_only=True)
class Mixed(Combined):
    """Cut the channels that come first in a list with a share δ by relevance and 1 − δ by parameters.

    each turn a += 1 − δ, if a ≥ 1: next of p, a −= 1; then b += δ, if b ≥ 1: next of r, b −= 1; first occurrences
    kept, s_c = the place of c in the list                                               [after Yeom 2021]

    r is the order of `relevance`, p that of `parameter`, as in ``combined``. δ is ``delta``: 0 cuts as `parameter`, 1
    as `relevance`, exactly. The accounts a and b are exact rationals of δ as written.
    """

    delta: Annotated[float, Uniform(0.0, 1.0, step=0.1)]

    def all_scores(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        """Each channel's place in the list, float64, by group."""
        relevance, parameter = self.orders(groups, evidence)
        return places(mixed(parameter, relevance, delta=self.delta), {group.name: group.size for group in groups})
