"""What holds for every test."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from analysis import object_path
from tests import s3, side_by_side
from tests.components import require

# As the front door sets it: torch reads it when it loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No test here is about the seconds of one example: on a busy machine the first one, which imports, took two.
settings.register_profile("prunefront", deadline=None)
settings.load_profile("prunefront")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return side_by_side.processes()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return side_by_side.scheduler(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of xdist's processes
        items[:] = [items[at] for at in side_by_side.order([item.nodeid for item in items])]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Networks of tests are so small that threads only wait for one another, and for the tests of other processes."""
    if torch := sys.modules.get("torch"):  # where a test has imported it
        torch.set_num_threads(1)


@pytest.fixture
def shadowed(tmp_path: Path) -> Path:
    """A user's folder whose modules have the names of ours, and fail when they are imported."""
    for name in ("analysis/__init__.py", "trial.py", "methods.py", "search.py", "prunefront.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise RuntimeError('the user\\'s own module was imported')")
    return tmp_path


@pytest.fixture(scope="session")
def s3_server() -> Iterator[s3.Server]:
    """A real S3-compatible server, for all tests that want one."""
    require("s3")  # here: a fixture of a session is there before the test's own
    with s3.server() as found:
        yield found


@pytest.fixture
def bucket(s3_server: s3.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own on that server, and an environment that says where the server is."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    object_path._store.cache_clear()
    s3_server.folders += 1
    yield object_path.path_of(f"s3://{s3.BUCKET}/test{s3_server.folders}")
    s3_server.proxy.forgive()
    object_path._store.cache_clear()


@pytest.fixture(autouse=True)
def _components(request: pytest.FixtureRequest) -> None:
    """What a test is marked to need is here, or it does not run."""
    for mark in request.node.iter_markers("needs"):
        for component in mark.args:
            require(component)
