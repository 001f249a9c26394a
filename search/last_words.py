"""A line for the user where a driver is ended so hard that it cannot say one: by a signal, or by Ray's own C++."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["last_words"]

# It reads one line from the driver. Where the end of the pipe comes first, the driver is no more.
WATCH = 'read -r over || printf "%s\\n" "$1" >&2'


@contextmanager
def last_words(line: str) -> Iterator[None]:
    """Have a line printed on stderr if this process ends inside the block, which Python need not notice.

    Ray ends its driver's process from within where a cluster's head is lost, without an exception. A small shell
    outlives it; where the system has none, nothing is printed.
    """
    try:
        # Its own session: an interrupt from the keyboard is not for it.
        watch = subprocess.Popen(
            ["/bin/sh", "-c", WATCH, "sh", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        yield
        return
    assert watch.stdin is not None
    try:
        yield
    finally:
        with suppress(OSError):
            watch.stdin.write(b"over\n")
            watch.stdin.close()
        watch.wait()
