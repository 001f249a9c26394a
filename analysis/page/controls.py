"""What a study's controls say: is a method better than cutting at random, and a recovered network than a new one?"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from analysis.plots import RANDOM
from analysis.schema import COLUMNS, DENSE

__all__ = ["against_random", "against_scratch"]

NEAR = 0.025
"""Networks whose sparsities differ by no more are compared."""
OUTCOMES = {column.name for column in COLUMNS if column.group in {"outcome", "measure", "provenance"}}

Row = Mapping[str, Any]


def against_random(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each method, how much more accurate its networks are than random ones of like sparsity.

    Each complete network is held against the mean validation accuracy of the study's ``random-channels`` networks whose
    sparsity is within .025 of its own; those without any take no part. Given are ``method``, ``networks`` (compared),
    ``above`` (how many are more accurate), and ``low``, ``median``, ``high``: the quartiles of the differences.
    """
    compared = [row for row in rows if row["state"] == "complete" and _is_number(row["val_accuracy"], row["sparsity"])]
    random = sorted((row["sparsity"], row["val_accuracy"]) for row in compared if row["method"] == RANDOM)
    sparsities = [sparsity for sparsity, _ in random]
    sums = [0.0, *accumulate(accuracy for _, accuracy in random)]
    lists: dict[str, list[float]] = defaultdict(list)
    for row in compared:
        if row["method"] in {RANDOM, DENSE}:
            continue
        first = bisect_left(sparsities, row["sparsity"] - NEAR)
        last = bisect_right(sparsities, row["sparsity"] + NEAR)
        if first < last:
            lists[str(row["method"])].append(row["val_accuracy"] - (sums[last] - sums[first]) / (last - first))
    return [
        {
            "method": method,
            "networks": len(differences),
            "above": sum(difference > 0 for difference in differences),
            **dict(zip(("low", "median", "high"), _quartiles(differences), strict=True)),
        }
        for method, differences in sorted(lists.items())
    ]


def against_scratch(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every pair of complete trials whose recipes differ in nothing but ``control``: recovered, and trained anew.

    Given are ``method``, ``ratio``, the two trials' names and validation accuracies.
    """
    pairs: dict[tuple[Any, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row["state"] == "complete" and _is_number(row["val_accuracy"]) and row.get("control"):
            recipe = tuple(
                sorted(
                    (name, repr(value))
                    for name, value in row.items()
                    if name not in OUTCOMES and name not in {"control", "trial"} and value is not None
                )
            )
            pairs[recipe][str(row["control"])] = row
    return [
        {
            "method": pair["none"]["method"],
            "ratio": pair["none"]["ratio"],
            "trials": [pair["none"]["trial"], pair["scratch"]["trial"]],
            "recovered": pair["none"]["val_accuracy"],
            "scratch": pair["scratch"]["val_accuracy"],
        }
        for pair in pairs.values()
        if pair.keys() >= {"none", "scratch"}
    ]


def _quartiles(values: Sequence[float]) -> list[float]:
    if len(values) == 1:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def _is_number(*values: Any) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)
