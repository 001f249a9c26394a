"""Where zeros among the weights pay, and where they do not, as a study's rows show it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.schema import DENSE

__all__ = ["zeros_pay"]

SPARSE = 0.1
"""Below that there is little for a compressor to find."""
LATENCIES = ("latency_ms", "torch_latency_ms")
"""The first of them that the dense network and another one have is looked at."""

Row = Mapping[str, Any]


def zeros_pay(rows: Sequence[Row]) -> str:
    """What weights-only sparsity gave in gzipped bytes, in bytes and in latency; empty where a study has none.

    Looked at are complete float32 networks that keep the dense network's shapes (as many ``params``) and whose sparsity
    is at least .1: zeros are stored there and multiplied like any other number. Each is held against the dense network,
    share by share; where networks that lost channels were timed too, theirs is said beside it.
    """
    complete = [row for row in rows if row["state"] == "complete" and row.get("quantisation") in {None, "none"}]
    dense = next((row for row in complete if row["method"] == DENSE), None)
    if dense is None:
        return ""
    pruned = [row for row in complete if row["method"] != DENSE and _is_number(row.get("params"))]
    masked = [row for row in pruned if row["params"] == dense["params"] and (row.get("sparsity") or 0.0) >= SPARSE]
    thin = [row for row in pruned if row["params"] < (dense["params"] or 0)]
    packed = _shares(masked, dense, "gzip_bytes")
    if not packed:
        return ""
    networks = "1 network keeps" if len(masked) == 1 else f"{len(masked)} networks keep"
    said = [
        f"{networks} the dense network's shapes, with zeros for the weights that were cut: "
        f"gzipped, {_range(packed)} of the dense network's bytes"
    ]
    if plain := _shares(masked, dense, "bytes"):
        said.append(f"unpacked, {_range(plain)}")
    timed = next((name for name in LATENCIES if _shares(masked, dense, name)), None)
    if timed is None:
        said.append("no time is saved, zeros are multiplied like any other number (latency was not taken)")
        return "; ".join(said)
    said.append(f"{timed}, {_range(_shares(masked, dense, timed))}: zeros are multiplied like any other number")
    if removed := _shares(thin, dense, timed):
        said.append(f"with channels removed, {_range(removed)}")
    return "; ".join(said)


def _shares(rows: Sequence[Row], dense: Row, name: str) -> list[float]:
    """A measure of some networks as shares of the dense network's, of those that have it."""
    whole = dense.get(name)
    if not _is_number(whole) or not whole:
        return []
    return [row[name] / whole for row in rows if _is_number(row.get(name))]


def _range(shares: Sequence[float]) -> str:
    low, high = f"{min(shares):.2f}", f"{max(shares):.2f}"
    return low if low == high else f"{low} to {high}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
