"""Random streams by name: what is drawn for one layer does not depend on what is drawn for others."""

from __future__ import annotations

import hashlib

__all__ = ["stream_seed"]


def stream_seed(seed: int, *names: str) -> int:
    """The seed, 0 ≤ n < 2⁵⁶, of the stream that a seed and names such as a layer's stand for."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:7], "big")
