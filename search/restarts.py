"""A search whose Ray was lost under it starts again from its rows, as long as that brings new ones."""

from __future__ import annotations

from collections.abc import Callable

from analysis.errors import WorkFailed

__all__ = ["RayLost", "until_done"]

FRUITLESS = 2
"""So many starts one after another without one new row, and the search ends: Ray will not stay."""


class RayLost(WorkFailed):
    """Ray ended under a search, which is none of its trials' doing."""


def until_done(attempt: Callable[[], None], *, rows: Callable[[], int], say: Callable[[str], None]) -> None:
    """Call ``attempt`` until it returns: anew where it raises RayLost, unless two in a row finished nothing.

    ``rows`` counts the rows that there are, as ``attempt`` goes on from them; ``say`` is told of each loss in a line.
    There are no more than twice as many attempts as trials, and two. Raises the last RayLost, and at once whatever
    else ``attempt`` raises.
    """
    fruitless = 0
    while True:
        before = rows()
        try:
            attempt()
        except RayLost as lost:
            fruitless = 0 if rows() > before else fruitless + 1
            if fruitless == FRUITLESS:
                raise
            say(f"{lost}: starting again")
        else:
            return
