"""How fast trials end, and how long the rest of them will take: for the live table, the lines and ``status``."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["clock", "per_hour"]

RECENT_SECONDS = 1800.0
"""What counts as recent, where more trials than `AT_LEAST` end in it."""
AT_LEAST = 10
"""So many of the latest trials are looked at however long ago they ended."""


def per_hour(ends: Sequence[float], /, *, began: float, now: float) -> float | None:
    """Trials per hour over the recent past: the last half hour, or as long as the last ten trials took.

    ``ends`` are when trials ended, in any order, ``began`` when the run of which they are did, all in seconds of one
    clock; ends outside [began, now] are passed over. None before the first.
    """
    seen = sorted(end for end in ends if began <= end <= now)
    if not seen or now <= began:
        return None
    since = began
    if len(seen) > AT_LEAST:
        since = max(began, min(now - RECENT_SECONDS, seen[-AT_LEAST - 1]))
    counted = sum(end > since for end in seen) if since > began else len(seen)
    return counted * 3600 / (now - since)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(125), clock(3725)
    ('2:05', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
