"""Who goes on at a rung is settled as late as no worker has to wait for it; pure of Ray and Optuna.

To let whoever nobody beats go on at once is dear: the front of n trials has F members, F grows about as √n, and in
random order some 2·F of the n are on it when they arrive, most of them early ones, with whom few have been compared.
So whoever is neither among the best nor beaten waits at its rung, while its worker takes up another trial: nothing is
lost, as what it has learned is stored. It is looked at again whenever a worker is free.

- As soon as it is among the best it goes on, before anything new is begun; of several those who are farther.
- As soon as it is beaten it is stopped.
- Where there is nothing new to begin it goes on: those first who have reached least, whom the others are compared with.

So a trial that nobody beats is never stopped, and no worker is idle while one waits. [promotion: Li 2020]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from search.rungs import Rungs, Standing

__all__ = ["Verdict", "Waiting"]

Verdict = Literal["goes on", "waits", "is stopped"]


class Waiting:
    """The trials that wait at their rungs."""

    def __init__(self, rungs: Rungs) -> None:
        self._rungs = rungs
        self._trials: dict[str, int] = {}
        self._has_news = False

    def __len__(self) -> int:
        return len(self._trials)

    def report(self, trial: str, epoch: int, values: Mapping[str, float | None]) -> Verdict:
        """What becomes of a trial that has reached a rung, see `Rungs.report`."""
        self._rungs.report(trial, epoch, values)
        self._has_news = True
        verdict = self._verdict(trial, epoch)
        if verdict == "waits":
            self._trials[trial] = epoch
        return verdict

    def next(self, *, is_idle: bool) -> tuple[str, Verdict] | None:
        """Settle for one trial that waits whether it goes on or is stopped; None where all of them wait on.

        ``is_idle`` says that there is nothing else to begin: then one goes on, if any waits.
        """
        if not self._has_news and not is_idle:
            return None
        for trial, epoch in sorted(self._trials.items(), key=lambda item: -item[1]):
            verdict = self._verdict(trial, epoch)
            if verdict != "waits":
                del self._trials[trial]
                return trial, verdict
        self._has_news = False
        if not is_idle or not self._trials:
            return None
        trial = min(self._trials, key=self._trials.__getitem__)
        del self._trials[trial]
        return trial, "goes on"

    def _verdict(self, trial: str, epoch: int) -> Verdict:
        standing = self._rungs.standing(trial, epoch)
        if standing is Standing.BEST:
            return "goes on"
        return "is stopped" if standing is Standing.BEHIND else "waits"
