"""One thing that doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "gigabytes"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was seen there, and, where that is a problem, what to do about it."""

    what: str
    said: str
    cure: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether something is to be done."""
        return bool(self.cure)


def gigabytes(size: float) -> str:
    """A number of bytes as people say it.

    >>> gigabytes(21_474_836_480)
    '21.5 GB'
    """
    return f"{size / 1e9:.1f} GB"
