"""What a trial's worker did, and when: a span for every stage that the trial got."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["Span", "Spans"]

DIGITS = 6
"""Of seconds that are written down: microseconds, the unit of a trace."""


class Span:
    """The time in which one stage was got: looked for, then perhaps waited for, then perhaps made.

    Whoever gets the stage calls ``waits`` when the store lacks it, ``works`` when its making begins, and ``ends``. A
    span that was not ended is that of a stage which failed.
    """

    def __init__(self, stage: str, key: str, *, round_: int) -> None:
        self._said: dict[str, Any] = {"stage": stage, "key": key[:16], "round": round_}
        self._epochs = 0
        self._made = False
        self.began = time.perf_counter()
        self._waited: float | None = None
        self._worked: float | None = None
        self._ended: float | None = None

    def waits(self) -> None:
        """The store lacks the stage: it is waited for from here on, until ``works`` or until another has made it."""
        self._waited = time.perf_counter()

    def works(self) -> None:
        """From here on the stage is made."""
        self._worked = time.perf_counter()

    def ends(self, *, made: bool, epochs: int) -> None:
        """The stage is there, ``made`` here or not; ``epochs`` are those that it was trained for."""
        self._made = made
        self._epochs = epochs
        self._ended = time.perf_counter()

    def entry(self, *, clock: float) -> dict[str, Any]:
        """The span as it is written: ``clock`` is the wall clock's reading when that of spans was 0."""
        end = time.perf_counter() if self._ended is None else self._ended
        waited = 0.0 if self._waited is None else (end if self._worked is None else self._worked) - self._waited
        if self._ended is None:
            how = "failed"
        elif self._made:
            how = "made"
        else:
            how = "read" if self._waited is None else "waited"
        return {
            **self._said,
            "how": how,
            "start": round(clock + self.began, DIGITS),
            "seconds": round(end - self.began, DIGITS),
            "waited": round(waited, DIGITS),
            "epochs": self._epochs,
        }


class Spans:
    """The spans of one trial, in the order in which they began.

    Written are: ``stage`` (its kind), ``key`` (its first 16 digits), ``round``, ``how`` (made, read from the store,
    waited for while another made it, or failed), ``start`` (wall-clock time, seconds since 1970), ``seconds``,
    ``waited`` (how many of those seconds it was waited for) and ``epochs``.
    """

    def __init__(self) -> None:
        # The wall clock is read once: it may be set back while a trial runs, and spans that followed one another
        # would overlap.
        self._clock = time.time() - time.perf_counter()
        self._spans: list[Span] = []

    def begin(self, stage: str, key: str, *, round_: int) -> Span:
        """A stage is asked for now."""
        span = Span(stage, key, round_=round_)
        self._spans.append(span)
        return span

    def entries(self) -> list[dict[str, Any]]:
        """Every span as it is written; one that has not ended ends now."""
        return [span.entry(clock=self._clock) for span in self._spans]
