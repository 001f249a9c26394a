"""The decision of a method: which units go, with exact counts, ties by position and a floor per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["Cut", "count", "select"]


@dataclass(frozen=True)
class Cut:
    """The units that go.

    ``channels`` maps a layer to the output channels that go, ``weights`` a layer to the flat positions of the
    weights that go; both int64 and ascending. A layer stands for its whole group of coupled channels.
    ``units`` counts the units that were ranked, ``asked`` how many the ratio asked for; ``floored`` says, for
    each layer that the floor protected, how many of its units others had to stand in for.
    """

    units: int
    asked: int
    channels: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    floored: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many units go."""
        return sum(len(gone) for gone in (*self.channels.values(), *self.weights.values()))

    @property
    def ratio(self) -> float:
        """The share of the ranked units that go, 0 where there are none."""
        return self.size / self.units if self.units else 0.0


def count(ratio: float, units: int) -> int:
    """⌊r·n⌋ with r taken as the decimal that was written.

    >>> count(0.29, 100), int(0.29 * 100)
    (29, 28)
    """
    return int(Fraction(str(ratio)) * units)


def select(
    scores: Mapping[str, Tensor], ratio: float, *, scope: Literal["layer", "global"], keep_min: int
) -> tuple[dict[str, Tensor], int, dict[str, int]]:
    """Choose the lowest-scoring units: ⌊r·n⌋ of each layer, or of all layers in one ranking.

    ``scores`` maps a layer to one score per unit, shape (units,); the lowest go first, equal scores in order
    of position (layer, then index). Each layer keeps its ``keep_min`` last units in that order (all of them
    where it has no more); a global cut then takes the next lowest elsewhere, so that the total stays
    ⌊r·n⌋ as long as enough units may go.

    Returns what goes per layer (positions, ascending; layers that lose nothing are left out), the count asked
    for, and for each layer that the floor spared how many more of its units would go without it. Raises
    ValueError for a NaN score, naming the layer.
    """
    flat = {layer: score.detach().flatten().cpu().numpy() for layer, score in scores.items()}
    for layer, values in flat.items():
        if np.isnan(values).any():
            raise ValueError(f"the scores of layer {layer} hold NaN: are there NaN in its weights?")
    if scope == "layer":
        asked = {layer: count(ratio, len(values)) for layer, values in flat.items()}
        goes = {
            layer: _lowest(values, min(asked[layer], max(len(values) - keep_min, 0))) for layer, values in flat.items()
        }
        floored = {layer: asked[layer] - len(gone) for layer, gone in goes.items() if len(gone) < asked[layer]}
        return _tensors(goes), sum(asked.values()), floored

    wanted = count(ratio, sum(map(len, flat.values())))
    unprotected = goes = _lowest_of_all(flat, wanted, {})
    protected: dict[str, np.ndarray] = {}
    # Units that stand in for a protected layer's can bring their own layer to its floor: again until none is.
    while short := [layer for layer in goes.keys() - protected if len(flat[layer]) - len(goes[layer]) < keep_min]:
        for layer in short:
            protected[layer] = np.ones(len(flat[layer]), dtype=bool)
            protected[layer][_lowest(flat[layer], max(len(flat[layer]) - keep_min, 0))] = False
        goes = _lowest_of_all(flat, wanted, protected)
    spared = {layer: len(unprotected[layer]) - len(gone) for layer, gone in goes.items()}
    return _tensors(goes), wanted, {layer: units for layer, units in spared.items() if units > 0}


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
    layers = list(flat)
    if not layers:
        return {}
    everything = np.concatenate([flat[layer] for layer in layers])
    may_go = ~np.concatenate([protected.get(layer, np.zeros(len(flat[layer]), dtype=bool)) for layer in layers])
    places = np.flatnonzero(may_go)
    chosen = places[_lowest(everything[places], min(k, len(places)))]
    ends = np.cumsum([len(flat[layer]) for layer in layers])
    pieces = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    starts = [0, *ends[:-1]]
    return {layer: piece - start for layer, piece, start in zip(layers, pieces, starts, strict=True)}


def _tensors(goes: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {layer: torch.from_numpy(gone.astype(np.int64)) for layer, gone in goes.items() if len(gone)}
