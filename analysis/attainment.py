"""What several repeats of a study attain: empirical attainment surfaces.

A set of networks attains a goal (a vector of objectives) where one of them is at least as good in every objective. The
share of repeats that attain it is the empirical attainment function [Grunert da Fonseca, Fonseca & Hall 2001]; the
surface of a share p borders what at least p of the repeats attain. moocore computes it [Fonseca, Guerreiro,
López-Ibáñez & Paquete 2011], for two and three objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.pareto import Direction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DIMENSIONS", "PERCENTS", "attainment"]

PERCENTS = (25, 50, 75)
DIMENSIONS = (2, 3)
"""Numbers of objectives for which surfaces are known."""


def attainment(
    repeats: Sequence[NDArray[np.float64]], directions: Sequence[Direction], /, *, percents: Sequence[int] = PERCENTS
) -> dict[int, NDArray[np.float64]]:
    """Percent → the corners of the surface that so many percent of the repeats attain, or more.

    Of n repeats ⌈percent · n / 100⌉ attain each corner, and nothing better in every objective: with two repeats the
    25 % and the 50 % surface are those of either, the 75 % one that of both.

    Args:
        repeats: One array for each, at least one, of shape (networks, objectives), networks ≥ 1, in their measures' own
            units; dominated and equal networks change nothing.
        directions: For each of the two or three objectives which way is better.
        percents: Above 0 and at most 100.

    Raises:
        ValueError: NaN or infinity, an empty repeat, shapes that do not fit, or another number of objectives.
    """
    import moocore
    import numpy as np

    if len(directions) not in DIMENSIONS:
        raise ValueError(f"attainment surfaces are known for 2 and 3 objectives, got {len(directions)}")
    if not repeats or any(each.ndim != 2 or each.shape[1] != len(directions) or not len(each) for each in repeats):
        raise ValueError("each repeat must have at least one row, and a column for each direction")
    points = np.concatenate(repeats)
    if not np.isfinite(points).all():
        raise ValueError("points must be finite: leave those rows out first")
    if any(not 0 < percent <= 100 for percent in percents):
        raise ValueError(f"percents must lie in (0, 100], got {tuple(percents)}")
    signs = np.array([-1.0 if direction == "higher" else 1.0 for direction in directions])
    sets = np.repeat(np.arange(len(repeats)), [len(each) for each in repeats])
    surfaces = {}
    for percent in percents:
        # moocore takes ⌈percent · n / 100⌉ in floating point, of whose error 100 · k / n is safe from below.
        level = -(-percent * len(repeats) // 100)
        found = moocore.eaf(points * signs, sets, percentiles=[100.0 * level / len(repeats)])
        # +0.0: what was −0.0 in the flipped objective.
        surfaces[percent] = found[:, :-1] * signs + 0.0
    return surfaces
