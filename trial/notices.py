"""Warnings that are meant for whoever runs a study, and how they get from a worker to his terminal."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["Notice", "noticed"]


class Notice(UserWarning):
    """A warning for the user, in one line that says what happened and what is done about it."""


@contextmanager
def noticed() -> Iterator[list[str]]:
    """Collect the notices that are given inside the block, equal ones once; yields the list as it grows.

    Other warnings go where they would go without it. Not for two threads at a time: how warnings are shown belongs to
    the process.
    """
    lines: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, Notice):
                usual(message, category, filename, lineno, file, line)
            elif str(message) not in lines:
                lines.append(str(message))

        warnings.showwarning = show
        yield lines
