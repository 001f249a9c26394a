"""What matters in studies, found in a process of its own while the rest of their page is gathered on another core.

Most of the time goes into loading scikit-learn and growing forests; neither can share an interpreter with anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from analysis.importance import FEWEST
from analysis.page.matters import matters

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["answer", "matters_aside"]

OBJECTIVES = b"objectives"
"""What the metadata of a table that is sent calls the objectives, joined by commas."""
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from analysis.page.aside import answer; answer()"

Asked = Sequence[tuple["pa.Table", Sequence[str]]]
"""Each study's rows and its objectives."""
Told = list[list[dict[str, Any]]]
"""For each study what `matters` says."""


@contextmanager
def matters_aside(asked: Asked) -> Iterator[Callable[[], Told]]:
    """Begin to find what matters in studies; what is given waits for it and returns it.

    Where there is nothing that forests would grow from, or no process can be started, it is found by whoever waits.
    """

    def here() -> Told:
        return [matters(rows, objectives) for rows, objectives in asked]

    if all(len(rows) < FEWEST for rows, _ in asked):
        yield here
        return
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong there goes wrong here too, and is said then
        )
    except OSError:
        yield here
        return
    with ThreadPoolExecutor(1) as pool:
        try:
            # A thread, because a pipe holds less than a table, and the process loads what it needs before it reads.
            written = pool.submit(process.communicate, _sent(asked))

            def told() -> Told:
                said, _ = written.result()
                if process.returncode:
                    return here()
                found: Told = json.loads(said)
                return found

            yield told
        finally:
            process.kill()
            process.wait()


def answer() -> None:
    """Read the tables from standard input, and write what matters in them to standard output, as JSON."""
    import pyarrow as pa
    from sklearn import ensemble  # noqa: F401  # this takes longest: whoever asks is still busy with other things

    received = pa.BufferReader(sys.stdin.buffer.read())
    told = []
    while received.tell() < received.size():
        with pa.ipc.open_stream(received) as stream:
            rows = stream.read_all()
        told.append(matters(rows, rows.schema.metadata[OBJECTIVES].decode().split(",")))
    sys.stdout.write(json.dumps(told))


def _sent(asked: Asked) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    for rows, objectives in asked:
        rows = rows.replace_schema_metadata({OBJECTIVES: ",".join(objectives)})
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
    whole: bytes = sink.getvalue().to_pybytes()
    return whole
