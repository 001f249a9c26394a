"""What holds for every test."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.components import require

# As the front door sets it: torch reads it when it loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No test here is about the seconds of one example: on a busy machine the first one, which imports, took two.
settings.register_profile("prunefront", deadline=None)
settings.load_profile("prunefront")


@pytest.fixture
def shadowed(tmp_path: Path) -> Path:
    """A user's folder whose modules have the names of ours, and fail when they are imported."""
    for name in ("analysis/__init__.py", "trial.py", "methods.py", "search.py", "prunefront.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise RuntimeError('the user\\'s own module was imported')")
    return tmp_path


@pytest.fixture(autouse=True)
def _components(request: pytest.FixtureRequest) -> None:
    """What a test is marked to need is here, or it does not run."""
    for mark in request.node.iter_markers("needs"):
        for component in mark.args:
            require(component)
