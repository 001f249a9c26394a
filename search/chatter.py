"""What Ray itself prints on its driver's terminal: a line of what a user needs to know, nothing of what we say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["in_our_words", "line_of"]

SAID_BY_US = ("A worker died or was killed while executing a task", "killed due to memory pressure")
"""A worker's end is in the search's own lines: a time limit in its trial's, any other where the trial begins again."""
LENGTH = 300
"""Characters of a line. Ray writes pages, which begin with what happened and go on with its settings and logs."""


def line_of(message: str) -> str | None:
    r"""A message of Ray's in a line, None where the search says it itself.

    >>> line_of("The log monitor on node a failed with the following error:\nOSError")
    'Ray says: The log monitor on node a failed with the following error: OSError'
    """
    if any(said in message for said in SAID_BY_US):
        return None
    words = " ".join(message.split())
    return f"Ray says: {words if len(words) <= LENGTH else words[: LENGTH - 1] + '…'}"


@contextmanager
def in_our_words(say: Callable[[str], None]) -> Iterator[None]:
    """Have ``say`` called, on a thread of Ray's, with `line_of` each message inside the block; equal ones once."""
    from ray._private import worker

    lines: set[str] = set()

    def told(data: Mapping[str, Any], ignore_prefix: bool) -> None:  # noqa: ARG001
        for message in data["lines"]:
            line = line_of(message)
            if line is not None and line not in lines:
                lines.add(line)
                say(line)

    # Ray has no setting for them: log_to_driver is about what workers print.
    printed = worker.print_to_stdstream
    worker.print_to_stdstream = told
    try:
        yield
    finally:
        worker.print_to_stdstream = printed
