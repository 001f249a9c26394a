"""How good is a front? The hypervolume, between 0 and 1, comparable over studies of one network.

Each objective is scaled so that 0 is its worst and 1 its best value: accuracies from 1/classes (guessing) to
1, sparsity from 0 to 1, every cost and every loss from the dense network's value to 0. Values beyond are
clipped. The reference is the worst corner: the hypervolume is the share of the unit cube that the front
dominates. [Zitzler & Thiele 1998]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import arrow
from analysis.errors import WrongInput
from analysis.pareto import check_objectives
from analysis.schema import DENSE, measure

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Scale", "hypervolume", "scales"]


@dataclass(frozen=True)
class Scale:
    """The values of one objective that count as worst (0) and best (1); the smaller number may be either."""

    worst: float
    best: float

    def __post_init__(self) -> None:
        assert self.worst != self.best, "a scale needs two ends"


def scales(table: pa.Table, objectives: Sequence[str]) -> list[Scale]:
    """The scale of each objective, from the dense rows of ``table`` (the whole study's, before any filter).

    Several dense rows (seeds) give the largest cost among them, so that none of them lies beyond its own
    reference.

    Raises WrongInput where there is no complete dense row, or it lacks a value that a scale needs.
    """
    import pyarrow.compute as pc

    check_objectives(objectives)
    is_dense = pc.equal(table["method"], arrow.scalar(DENSE))
    dense = table.filter(pc.and_(is_dense, pc.equal(table["state"], arrow.scalar("complete"))))
    if len(dense) == 0:
        raise WrongInput("the study has no complete row of the dense network, which the scale starts from")
    return [_scale(name, dense) for name in objectives]


def _scale(name: str, dense: pa.Table) -> Scale:
    if measure(name).better == "lower":
        return Scale(worst=_largest(name, dense), best=0.0)
    if name == "sparsity":
        return Scale(worst=0.0, best=1.0)
    classes = _largest("classes", dense)
    if classes < 2:
        raise WrongInput(f"the dense row must have at least 2 classes, got {classes:g}")
    return Scale(worst=1.0 / classes, best=1.0)


def _largest(name: str, dense: pa.Table) -> float:
    import math

    largest = max((value for value in dense[name].to_pylist() if value is not None), default=None)
    if largest is None:
        raise WrongInput(f"the dense network's row has no {name}, which the scale starts from")
    if not (math.isfinite(largest) and largest > 0):
        raise WrongInput(f"the dense network's {name} must be a positive number, got {largest}")
    return float(largest)


def hypervolume(values: NDArray[np.float64], scales: Sequence[Scale], /) -> float:
    """The share of the unit cube that ``values`` dominate once scaled and clipped, in [0, 1].

    ``values`` has shape (n, m), each column in its measure's own unit; ``scales`` has one entry per column
    and carries the direction. Dominated and equal points change nothing; no points give 0; a point at or
    beyond the worst corner in any objective adds nothing.

    Raises ValueError for NaN and for shapes that do not fit.
    """
    import moocore
    import numpy as np

    if values.ndim != 2 or values.shape[1] != len(scales) or not scales:
        raise ValueError(f"values must have one column per scale, got {values.shape} and {len(scales)}")
    if np.isnan(values).any():
        raise ValueError("values must not be NaN: leave those rows out first")
    if len(values) == 0:
        return 0.0
    worst = np.array([scale.worst for scale in scales])
    best = np.array([scale.best for scale in scales])
    scaled = np.clip((values - worst) / (best - worst), 0.0, 1.0)
    return min(1.0, float(moocore.hypervolume(scaled, ref=0.0, maximise=True)))
