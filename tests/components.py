"""Programs and packages that some tests need beside Python's own: found here, or named as missing.

A test says `@pytest.mark.needs("postgres")`. Where the component is missing the test is skipped and names it; where the
environment variable CI is set, which means that components are installed, it fails.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.s3 import moto

PLACES = (
    "/usr/local/bin",
    "/usr/sbin",
    "/sbin",
    *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
)


def program(name: str) -> str | None:
    """The path of a program, also where packages put it that leave it out of PATH."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(PLACES))


def _package(name: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(name) is not None


def _hosts() -> bool:
    from tests.search.hosts import why_not

    return not why_not()


COMPONENTS: dict[str, Callable[[], bool]] = {
    "postgres": lambda: bool(program("initdb") and program("pg_ctl")) and _package("psycopg")(),
    "optuna-dashboard": _package("optuna_dashboard"),
    "mlflow": _package("mlflow"),
    "tensorboard": _package("tensorboardX"),
    "s3": lambda: moto() is not None,
    "hosts": _hosts,
    "chromium": lambda: bool(program("chromium") and program("chromedriver")) and _package("selenium")(),
}
"""Component → whether it is here. Whoever needs another one adds a line."""


def require(component: str) -> None:
    """Skip the test, or fail it where CI is set, unless the component is here."""
    if COMPONENTS[component]():
        return
    reason = f"needs {component}, which is not installed here"
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        pytest.fail(f"{reason}, and CI is set: install it")
    pytest.skip(reason)
