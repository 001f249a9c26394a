"""A search whose Ray was lost under it starts again from its rows, as long as that brings new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from analysis.errors import WorkFailed, WrongInput

__all__ = ["RayLost", "losses_of_ray", "until_done"]

FRUITLESS = 2
"""So many starts one after another without one new row, and the search ends: Ray will not stay."""


class RayLost(WorkFailed):
    """Ray ended under a search, which is none of its trials' doing."""


@contextmanager
def losses_of_ray(what: str) -> Iterator[None]:
    """Raise RayLost, which says ``what`` failed, for an error of Ray's own inside the block; others as they are."""
    from ray.exceptions import OutOfMemoryError, RayError
    from ray.tune import TuneError

    try:
        yield
    except (TuneError, RayError, RuntimeError) as error:
        # A RuntimeError is what Tune makes of a worker that Ray's memory monitor killed: it knows lost actors and
        # failed tasks, takes any other error for its own defect, and ends whatever max_failures says.
        if not isinstance(error, TuneError | RayError) and not isinstance(error.__cause__, RayError):
            raise
        # Ray says so in a page, which ends with its own settings.
        is_memory = isinstance(error, OutOfMemoryError) or isinstance(error.__cause__, OutOfMemoryError)
        why = "a worker was killed because its machine ran out of memory" if is_memory else str(error)
        raise RayLost(f"{what}: {' '.join(why.split())[-300:]}") from error


def until_done(attempt: Callable[[], None], *, rows: Callable[[], int], say: Callable[[str], None]) -> None:
    """Call ``attempt`` until it returns: anew where it raises RayLost, unless two in a row finished nothing.

    ``rows`` counts the rows that there are, as ``attempt`` goes on from them; ``say`` is told of each loss in a line.
    There are no more than twice as many attempts as trials, and two. Raises the last RayLost, and at once whatever
    else ``attempt`` raises. What it finds wrong after a loss, such as an address where no cluster answers any more,
    is not the user's mistake: then it is WorkFailed.
    """
    fruitless = 0
    last: RayLost | None = None
    while True:
        before = rows()
        try:
            attempt()
        except RayLost as lost:
            fruitless = 0 if rows() > before else fruitless + 1
            if fruitless == FRUITLESS:
                raise
            last = lost
            say(f"{lost}: starting again")
        except WrongInput as error:
            if last is None:
                raise
            raise WorkFailed(f"{last}; then {error}") from error
        else:
            return
