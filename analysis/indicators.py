"""How good is a front? Hypervolume, additive epsilon, IGD+ and R2 of arrays of points.

Each objective is scaled so that 0 is its worst and 1 its best value: accuracies from 1/classes (guessing) to
1, sparsity from 0 to 1, every cost and every loss from the dense network's value to 0. Values beyond are
clipped. With A the front, R a reference set, both scaled, m objectives:

- hypervolume: the share of the unit cube that A dominates, the reference being its worst corner
  [Zitzler & Thiele 1998]
- additive epsilon: max_{r∈R} min_{a∈A} max_j (r_j − a_j): how much must be added to every objective of A so that
  nothing in R beats it [Zitzler 2003]
- IGD+: mean_{r∈R} min_{a∈A} √Σ_j max(r_j − a_j, 0)² [Ishibuchi 2015]
- R2: mean over weights λ (λ_j ≥ 0, Σλ_j = 1) of min_{a∈A} max_j λ_j (1 − a_j), the reference being the best corner
  [Hansen & Jaszkiewicz 1998]. With two objectives the mean over all weights, exactly [Schäpermeier & Kerschke 2025];
  with others the mean over a simplex lattice of at most 500 weights.

Hypervolume is better when higher, the other three when lower. No points count as a point in the worst corner. The
mathematics is moocore's; it lets NaN and points beyond the reference through, so both are dealt with before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from analysis import arrow
from analysis.errors import WrongInput
from analysis.pareto import Direction, check_objectives
from analysis.schema import DENSE, measure

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "NEEDED",
    "Scale",
    "epsilon_additive",
    "hypervolume",
    "hypervolume_to",
    "igd_plus",
    "own_scales",
    "r2",
    "scaled",
    "scales",
]

NEEDED = ("method", "state", "network", "width", "data", "classes")
"""The columns that `scales` reads beside the objectives."""
WEIGHTS = 500
"""R2's lattice of weights is the finest that has no more than so many."""


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

    Raises WrongInput where there is no complete dense row, or it lacks a value that a scale needs, and where the dense
    rows are of several networks or data sets: one front's worst is another's best then. That can be told only from the
    columns network, width and data: a table without them is taken to be of one network.
    """
    import pyarrow.compute as pc

    check_objectives(objectives)
    is_dense = pc.equal(table["method"], arrow.scalar(DENSE))
    dense = table.filter(pc.and_(is_dense, pc.equal(table["state"], arrow.scalar("complete"))))
    if len(dense) == 0:
        raise WrongInput("the study has no complete row of the dense network, which the scale starts from")
    of = [name for name in ("network", "width", "data") if name in dense.column_names]
    networks = sorted({" ".join(str(row[name]) for name in of) for row in dense.select(of).to_pylist()})
    if len(networks) > 1:
        raise WrongInput(f"the dense networks are several, {', '.join(networks[:3])}: no scale fits all of them")
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
    largest = max((value for value in dense[name].to_pylist() if value is not None), default=None)
    if largest is None:
        raise WrongInput(f"the dense network's row has no {name}, which the scale starts from")
    if not (math.isfinite(largest) and largest > 0):
        raise WrongInput(f"the dense network's {name} must be a positive number, got {largest}")
    return float(largest)


def own_scales(values: NDArray[np.float64], directions: Sequence[Direction], /) -> list[Scale]:
    """Scales from the worst to the best of the values themselves, for what needs no common measure.

    ``values`` has shape (n, m), n ≥ 1, finite. An objective with one value alone is at its best.
    """
    found = []
    for column, direction in zip(values.T, directions, strict=True):
        ends = float(column.min()), float(column.max())
        worst, best = ends if direction == "higher" else ends[::-1]
        found.append(
            Scale(worst=worst if worst != best else best - (1.0 if direction == "higher" else -1.0), best=best)
        )
    return found


def scaled(values: NDArray[np.float64], scales: Sequence[Scale], /) -> NDArray[np.float64]:
    """``values``, shape (n, m), each column in its measure's own unit, as shares from 0 (worst) to 1 (best), clipped.

    Raises ValueError for NaN and for shapes that do not fit.
    """
    import numpy as np

    if values.ndim != 2 or values.shape[1] != len(scales) or not scales:
        raise ValueError(f"values must have one column per scale, got {values.shape} and {len(scales)}")
    if np.isnan(values).any():
        raise ValueError("values must not be NaN: leave those rows out first")
    worst = np.array([scale.worst for scale in scales])
    best = np.array([scale.best for scale in scales])
    shares: NDArray[np.float64] = np.clip((values - worst) / (best - worst), 0.0, 1.0)
    return shares


def hypervolume(values: NDArray[np.float64], scales: Sequence[Scale], /) -> float:
    """The share of the unit cube that ``values`` dominate once scaled and clipped, in [0, 1].

    ``values`` has shape (n, m), each column in its measure's own unit; ``scales`` has one entry per column
    and carries the direction. Dominated and equal points change nothing; no points give 0; a point at or
    beyond the worst corner in any objective adds nothing.

    Raises ValueError for NaN and for shapes that do not fit.
    """
    import moocore

    shares = scaled(values, scales)
    if len(shares) == 0:
        return 0.0
    return min(1.0, float(moocore.hypervolume(shares, ref=0.0, maximise=True)))


def hypervolume_to(
    values: NDArray[np.float64], directions: Sequence[Direction], /, *, reference: Sequence[float]
) -> float:
    """The hypervolume between ``values`` and a reference point as given, unscaled: the product of the measures' units.

    ``values`` has shape (n, m); ``reference`` has m numbers. A point that is not better than the reference in every
    objective adds nothing; no points give 0.

    Raises ValueError for NaN, for what is infinite, and for shapes that do not fit.
    """
    import moocore
    import numpy as np

    corner = np.asarray(reference, dtype=np.float64)
    if values.ndim != 2 or not values.shape[1] == len(directions) == len(corner) or not len(corner):
        raise ValueError(f"values and reference must have one column per direction, got {values.shape}, {corner.shape}")
    if not (np.isfinite(values).all() and np.isfinite(corner).all()):
        raise ValueError("values and reference must be finite: leave those rows out first")
    signs = np.array([1.0 if direction == "higher" else -1.0 for direction in directions])
    gains = (values - corner) * signs
    gains = gains[(gains > 0).all(axis=1)]
    return float(moocore.hypervolume(gains, ref=0.0, maximise=True)) if len(gains) else 0.0


def epsilon_additive(values: NDArray[np.float64], reference: NDArray[np.float64], scales: Sequence[Scale], /) -> float:
    """Additive epsilon of ``values`` to the set ``reference``, both in their measures' own units, in [−1, 1].

    0 where nothing in the reference set beats ``values`` anywhere; below where each of it is beaten in every objective.

    Raises ValueError for NaN, for shapes that do not fit, and for an empty reference set.
    """
    import moocore

    points, targets = _against(values, reference, scales)
    return float(moocore.epsilon_additive(points, ref=targets, maximise=True))


def igd_plus(values: NDArray[np.float64], reference: NDArray[np.float64], scales: Sequence[Scale], /) -> float:
    """IGD+ of ``values`` to the set ``reference``, both in their measures' own units, in [0, √m].

    0 where nothing in the reference set beats ``values`` anywhere. Raises as ``epsilon_additive`` does.
    """
    import moocore

    points, targets = _against(values, reference, scales)
    return float(moocore.igd_plus(points, ref=targets, maximise=True))


def r2(values: NDArray[np.float64], scales: Sequence[Scale], /) -> float:
    """R2 of ``values`` to the best corner, in [0, 1]; smaller is better, dominated and equal points change nothing.

    Raises ValueError for NaN and for shapes that do not fit.
    """
    import moocore
    import numpy as np

    points = _or_worst(scaled(values, scales))
    if points.shape[1] == 2:
        return float(moocore.r2_exact(points, ref=1.0, maximise=True))
    lacking = 1.0 - points
    return float(np.mean([(lacking * weights).max(axis=1).min() for weights in _lattice(points.shape[1])]))


def _against(
    values: NDArray[np.float64], reference: NDArray[np.float64], scales: Sequence[Scale]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    targets = scaled(reference, scales)
    if len(targets) == 0:
        raise ValueError("the reference set must hold at least one point")
    return _or_worst(scaled(values, scales)), targets


def _or_worst(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return shares if len(shares) else np.zeros((1, shares.shape[1]))


def _lattice(objectives: int) -> NDArray[np.float64]:
    """Weights that sum to 1 in equal steps, shape (at most ``WEIGHTS``, objectives); steps as small as that allows."""
    import numpy as np

    steps = 1
    while math.comb(steps + objectives, objectives - 1) <= WEIGHTS and steps < WEIGHTS:
        steps += 1
    # Stars and bars: the gaps between the bars are the weights in steps.
    bars = [
        (-1, *chosen, steps + objectives - 1) for chosen in combinations(range(steps + objectives - 1), objectives - 1)
    ]
    return (np.diff(np.array(bars), axis=1) - 1) / steps
