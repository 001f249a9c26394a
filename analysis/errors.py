"""The two ways a command can end badly, known to every room; the front door turns them into exit codes."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["WorkFailed", "WrongInput", "about", "nearest"]


class WrongInput(ValueError):
    """The user's input was wrong: one line that says what, where, and what is accepted (exit code 2)."""


class WorkFailed(RuntimeError):
    """The input was right and the work failed: one line that says why and what was kept (exit code 1)."""


@contextmanager
def about(places: Iterable[object]) -> Iterator[None]:
    """Begin the line of what is wrong inside the block with the places, such as studies, in which it is wrong.

    >>> with about(["runs/a", "runs/b"]):
    ...     raise WrongInput("there is no dense network")
    Traceback (most recent call last):
    analysis.errors.WrongInput: runs/a, runs/b: there is no dense network
    """
    try:
        yield
    except WrongInput as error:
        raise WrongInput(f"{', '.join(map(str, places))}: {error}") from error


def nearest(given: str, accepted: Iterable[str]) -> str:
    """Say what is accepted, with the nearest miss first.

    >>> nearest("filter_l1", ["filter-l1", "slimming"])
    'did you mean filter-l1? Accepted: filter-l1, slimming'
    >>> nearest("xyz", ["filter-l1"])
    'accepted: filter-l1'
    """
    names = list(accepted)
    close = difflib.get_close_matches(given, names, n=1)
    listed = ", ".join(names)
    return f"did you mean {close[0]}? Accepted: {listed}" if close else f"accepted: {listed}"
