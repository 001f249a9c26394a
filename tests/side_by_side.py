"""Which tests run one after another where pytest-xdist shares them out: `pytest -n auto tests`, which `make test` runs.

All modules of `IN_TURN` are one unit of work, for one process. Any other module is a unit by itself, so that what its
fixtures make is made once. Without xdist, and for a file or a folder that is named without ``-n``, all of this is idle.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

__all__ = ["IN_TURN", "order", "processes", "scheduler", "unit"]

IN_TURN = (
    # They start Ray and count its processes, kill them, cut off nodes, fill memory or a disk, lay networks of hosts.
    "tests/search/test_chaos.py",
    "tests/search/test_claims.py",
    "tests/search/test_elastic.py",
    "tests/search/test_faults.py",
    "tests/search/test_hosts.py",
    "tests/search/test_jobs.py",
    "tests/search/test_object_store.py",
    "tests/search/test_retry.py",
    "tests/search/test_run.py",
    "tests/search/test_session.py",
    "tests/search/test_shipping.py",
    "tests/search/test_spot_notice.py",
    "tests/search/test_test_part.py",
    "tests/test_packaging.py",
    # They count threads and cores that are busy.
    "tests/trial/test_threads.py",
)
"""One starts when another has ended. Tests of any other module must bear others beside them."""
TURN = "in turn"
MOST = 4
"""Processes: more than three beside the one with those in turn would wait for it; each holds torch in memory."""


def unit(nodeid: str) -> str:
    """What a test is shared out with, by name: all in turn, or its module."""
    module = nodeid.partition("::")[0]
    return TURN if module in IN_TURN else module


def order(nodeids: Sequence[str]) -> list[int]:
    """In which order units are taken up: those in turn first, then the largest; within a unit nothing changes.

    What is returned are positions in ``nodeids``. Who takes up a small unit last waits the shortest for the others.
    """
    units = [unit(nodeid) for nodeid in nodeids]
    sizes = Counter(units)
    # Units of one size are told apart by their names, else their tests would alternate.
    return sorted(range(len(units)), key=lambda at: (units[at] != TURN, -sizes[units[at]], units[at]))


def processes() -> int:
    """How many processes run tests for ``-n auto``: a core each, and no more than `MOST`.

    xdist's own variable PYTEST_XDIST_AUTO_NUM_WORKERS goes before.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") or min(cores, MOST))


def scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """By units as they come: the scheduler of xdist, which asks for it."""
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)
