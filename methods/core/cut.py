"""The decision of a method: which units go, with exact counts, ties by position and a floor per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["Cut", "Past", "count", "kept", "select"]


@dataclass(frozen=True)
class Cut:
    """The units that go.

    ``channels`` maps a layer to the output channels that go, ``weights`` a layer to the flat positions of the
    weights that go; both int64 and ascending, those that earlier rounds held at zero included. A layer stands for
    its whole group of coupled channels. ``replaced`` maps a parameter to the values that it gets before anything
    goes, where a method reconstructs. ``units`` counts the units of the dense network that were ranked, ``asked``
    how many of them the ratio asked for, ``removed`` how many of them earlier rounds had removed; ``floored`` says,
    for each layer that the floor protected, how many of its units others had to stand in for; ``ahead``, for each
    layer of which earlier rounds had cut more than is asked of what is left of it, how many more.
    """

    units: int
    asked: int
    channels: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    replaced: Mapping[str, Tensor] = field(default_factory=dict)
    floored: Mapping[str, int] = field(default_factory=dict)
    ahead: Mapping[str, int] = field(default_factory=dict)
    removed: int = 0

    @property
    def size(self) -> int:
        """How many units of the network given go."""
        return sum(len(gone) for gone in (*self.channels.values(), *self.weights.values()))

    @property
    def ratio(self) -> float:
        """The share of the dense network's ranked units that are gone after this cut, 0 where there are none."""
        return (self.size + self.removed) / self.units if self.units else 0.0


@dataclass(frozen=True)
class Past:
    """What earlier rounds did to the network, so that a ratio keeps meaning a share of the dense network.

    ``sizes`` maps layers to the number of units, channels or weights, that they have in the dense network;
    ``lost`` to how many of the channels that were cut are there no longer. ``channels`` and ``weights`` are, as in a
    `Cut`, what is held at zero in the network as it is now: it goes again, before anything else. ``columns`` are a
    layer's inputs that hang on channels held at zero: single weights in them are neither kept nor cut any more, as
    where the channels were removed.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    channels: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    columns: Mapping[str, Tensor] = field(default_factory=dict)


def count(ratio: float | Fraction, units: int) -> int:
    """⌊r·n⌋ with r taken as the decimal that was written.

    >>> count(0.29, 100), int(0.29 * 100)
    (29, 28)
    """
    exact = ratio if isinstance(ratio, Fraction) else Fraction(str(ratio))
    return int(exact * units)


def kept(units: int, going: int, *, round_to: int, keep_min: int = 1) -> int:
    """How many units stay when ``going`` of them should go and widths are multiples of ``round_to``.

    The nearest of the multiples from ``keep_min`` on and of ``units`` itself, which changes nothing; the larger
    of two as near.

    >>> [kept(20, going, round_to=8) for going in (0, 1, 2, 3, 12, 19)]
    [20, 20, 20, 16, 8, 8]
    """
    widths = [width for width in range(round_to, units, round_to) if width >= keep_min]
    return min([*widths, units], key=lambda width: (abs(width - (units - going)), -width))


def select(
    scores: Mapping[str, Tensor],
    ratio: float | Fraction,
    *,
    scope: Literal["layer", "global"],
    keep_min: int,
    round_to: int = 1,
    past: Past | None = None,
    gone: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], int, dict[str, int]]:
    """Choose the lowest-scoring units: ⌊r·n⌋ of each layer, or of all layers in one ranking.

    ``scores`` maps a layer to one score per unit, shape (units,); the lowest go first, equal scores in order
    of position (layer, then index). Each layer keeps its ``keep_min`` last units in that order (all of them
    where it has no more); a global cut then takes the next lowest elsewhere, so that the total stays
    ⌊r·n⌋ as long as enough units may go. Then every layer's width is brought to a multiple of ``round_to``
    (see `kept`).

    After earlier rounds n counts the units of the dense network, and what was lost since (see ``past``) counts as
    gone. The positions in ``gone``, which is ``past.channels`` or ``past.weights``, go whatever their scores.

    Returns what goes per layer (positions, ascending; layers that lose nothing are left out), the count asked
    for, and for each layer that the floor spared how many more of its units would go without it. Raises
    ValueError for a NaN score, naming the layer.
    """
    flat = {layer: score.detach().flatten().cpu().numpy() for layer, score in scores.items()}
    for layer, values in flat.items():
        if np.isnan(values).any():
            raise ValueError(f"the scores of layer {layer} hold NaN: are there NaN in its weights?")
    forced = {layer: places for layer, places in (gone or {}).items() if layer in flat}
    flat |= {layer: _first(flat[layer], places) for layer, places in forced.items()}
    past = past or Past()
    dense = {layer: past.sizes.get(layer, len(values)) for layer, values in flat.items()}
    lost = {layer: past.lost.get(layer, 0) for layer in flat}

    if scope == "layer":
        asked = {layer: count(ratio, dense[layer]) for layer in flat}
        # What is gone already stays gone, even where it is more than the ratio asks for.
        want = {layer: max(asked[layer] - lost[layer], len(forced.get(layer, ()))) for layer in flat}
        goes = {
            layer: _lowest(values, min(want[layer], max(len(values) - keep_min, 0))) for layer, values in flat.items()
        }
        floored = {layer: want[layer] - len(gone) for layer, gone in goes.items() if len(gone) < want[layer]}
        return _tensors(_rounded(flat, goes, round_to, keep_min)), sum(asked.values()), floored

    total = count(ratio, sum(dense.values()))
    wanted = max(total - sum(lost.values()), sum(map(len, forced.values())))
    unprotected = goes = _lowest_of_all(flat, wanted, {})
    protected: dict[str, np.ndarray] = {}
    # Units that stand in for a protected layer's can bring their own layer to its floor: again until none is.
    while short := [layer for layer in goes.keys() - protected if len(flat[layer]) - len(goes[layer]) < keep_min]:
        for layer in short:
            protected[layer] = np.ones(len(flat[layer]), dtype=bool)
            protected[layer][_lowest(flat[layer], max(len(flat[layer]) - keep_min, 0))] = False
        goes = _lowest_of_all(flat, wanted, protected)
    spared = {layer: len(unprotected[layer]) - len(gone) for layer, gone in goes.items()}
    floored = {layer: units for layer, units in spared.items() if units > 0}
    return _tensors(_rounded(flat, goes, round_to, keep_min)), total, floored


def _first(values: np.ndarray, places: Tensor) -> np.ndarray:
    """The scores with those at the places below all others."""
    first = values.astype(values.dtype, copy=True)
    first[places.cpu().numpy()] = -np.inf
    return first


def _rounded(
    flat: Mapping[str, np.ndarray], goes: dict[str, np.ndarray], round_to: int, keep_min: int
) -> dict[str, np.ndarray]:
    if round_to == 1:
        return goes
    stay = {
        layer: kept(len(flat[layer]), len(gone), round_to=round_to, keep_min=keep_min) for layer, gone in goes.items()
    }
    return {layer: _lowest(values, len(values) - stay[layer]) for layer, values in flat.items()}


def _lowest(values: np.ndarray, k: int) -> np.ndarray:
    """Positions, ascending, of the k lowest values; of equal ones the first."""
    if k == 0:
        return np.empty(0, dtype=np.int64)
    # A partition finds the threshold of 20 M weights in a tenth of a sort's time.
    threshold = np.partition(values, k - 1)[k - 1]
    goes = values < threshold
    ties = np.flatnonzero(values == threshold)
    goes[ties[: k - int(goes.sum())]] = True
    return np.flatnonzero(goes)


def _lowest_of_all(
    flat: Mapping[str, np.ndarray], k: int, protected: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """For each layer the positions, ascending, of those of its values that are among the k lowest of all layers."""
    may_go = {layer: values[~protected[layer]] if layer in protected else values for layer, values in flat.items()}
    k = min(k, sum(map(len, may_go.values())))
    if k == 0:
        return {layer: np.empty(0, dtype=np.int64) for layer in flat}
    everything = np.concatenate(list(may_go.values()))
    everything.partition(k - 1)
    threshold = everything[k - 1]
    left = k - int((everything < threshold).sum())
    chosen = {}
    for layer, values in may_go.items():
        goes = values < threshold
        ties = np.flatnonzero(values == threshold)[:left]
        left -= len(ties)
        goes[ties] = True
        places = np.flatnonzero(goes)
        chosen[layer] = np.flatnonzero(~protected[layer])[places] if layer in protected else places
    return chosen


def _tensors(goes: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {layer: torch.from_numpy(gone.astype(np.int64, copy=False)) for layer, gone in goes.items() if len(gone)}
