"""Ray for one search: started quietly on this machine and gone when the block ends, or a cluster that runs already."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from analysis.errors import WorkFailed, WrongInput
from search import reach, token
from search.chatter import in_our_words

__all__ = ["ENVIRONMENT", "PACKAGES", "loaded", "packages", "session"]

PACKAGES = ("analysis", "methods", "trial", "search")

# Read by Ray when it is imported or starts a process, so they are set before either.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else `uv run` ships the working folder to the workers
    "RAY_worker_niceness": "0",  # workers at 15 lose their cores to anything else on the machine
    # The monitor kills a worker when other programs fill the memory, and can end a whole search.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the TensorBoard logger imports torch, and all of them write
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's own waits for the running trials
    "TUNE_GLOBAL_CHECKPOINT_S": "31536000",  # a snapshot keeps every trial; rows are what is resumed from
    "TUNE_WARN_THRESHOLD_S": "10",
}
HERE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""For a Ray on this machine alone: everything that it opens is on the loopback address, on Linux too."""
OBJECT_STORE_BYTES = 128 * 2**20
"""Only recipes and rows pass through it."""


TEMPORARY = Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())  # mkdtemp's folder is ours
"""Short, unlike some systems' own: the path of a socket must stay under 108 bytes."""
PREFIX = "prunefront-"
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it in the processes of a job."""
LOCK = "lock"
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
ATTEMPTS = 2


@contextmanager
def session(*, workers: int, address: str | None = None, say: Callable[[str], None] = print) -> Iterator[Path]:
    """Start Ray with room for so many workers, and end it with the block; yields a folder for Tune's own files.

    With an ``address``, HOST:PORT or auto, a cluster's Ray is used instead, and goes on without us. Raises WrongInput
    where none answers there. ``say`` is told, on another thread, what Ray has to say to a user.

    On workers our packages come before anything in the user's folders: the working folder is empty, and what we
    import is shipped.
    """
    ray = loaded(address=address)
    with _temporary() as folder, _token(folder, address=address), in_our_words(say):
        empty = folder / "empty"
        empty.mkdir()
        (folder / "tune").mkdir()
        try:
            if address is None:
                _start(ray, workers=workers, folder=folder, empty=empty)
            else:
                _attach(ray, address=address, empty=empty)
            yield folder / "tune"
        finally:
            # Which takes a second or two, and half done would leave processes behind.
            with _handled(signal.SIG_IGN):
                ray.shutdown()


def loaded(*, address: str | None) -> Any:
    """Ray, imported with our settings; an ``address`` says that a cluster is meant and no Ray of our own."""
    for name, setting in (ENVIRONMENT if address else ENVIRONMENT | HERE).items():
        os.environ.setdefault(name, setting)
    with _interrupted_afterwards():
        import ray
    return ray


def _token(folder: Path, *, address: str | None) -> AbstractContextManager[None]:
    """A token of its own for a Ray that we start; to a cluster we show what the environment says, as Ray itself does.

    A driver that asks for tokens in a cluster that has none is answered by no worker.
    """
    return token.used(own=folder) if address is None else nullcontext()


def _start(ray: Any, *, workers: int, folder: Path, empty: Path) -> None:
    """Start Ray, and once more where it took longer than its own thirty seconds, as on a busy machine."""
    for attempt in range(ATTEMPTS):
        try:
            with _interrupted_afterwards():
                ray.init(
                    address="local",
                    num_cpus=workers,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=OBJECT_STORE_BYTES,
                    _temp_dir=str(folder / f"ray{attempt}"),
                    runtime_env=_shipped(empty),
                )
        except Exception as error:  # a bare one where the machine is too busy
            ray.shutdown()
            if attempt == ATTEMPTS - 1:
                said = " ".join(str(error).split())[:300]
                raise WorkFailed(f"Ray did not start in {ATTEMPTS} attempts: {said}") from error
        else:
            return


def _attach(ray: Any, *, address: str, empty: Path) -> None:
    """Connect to the cluster at an address."""
    if address != "auto":
        reach.check_accepted(address)
    try:
        with _interrupted_afterwards():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=_shipped(empty))
    except Exception as error:
        ray.shutdown()
        said = " ".join(str(error).split())[:300]
        raise WrongInput(f"the Ray cluster at {address} cannot be used: {said} (--address)") from error


def packages() -> list[str]:
    """The folders of our packages, for Ray to ship."""
    return [str(_folder(name)) for name in PACKAGES]


def _shipped(empty: Path) -> dict[str, Any]:
    """What workers get of ours, and nothing of the user's folder; in a job they get what the job has brought."""
    if JOB in os.environ:
        return {}
    return {"working_dir": str(empty), "py_modules": packages()}


@contextmanager
def _temporary() -> Iterator[Path]:
    """A folder for this session, locked while it lives; folders that killed drivers left behind are removed first."""
    for lock in TEMPORARY.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError), lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
    # Under another name until it is locked: a driver that starts meanwhile would remove it.
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=TEMPORARY))
    with (made / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        folder = made.rename(made.with_name(made.name.removeprefix(".")))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is ours"
    assert spec.submodule_search_locations, f"{package} is a package"
    return Path(spec.submodule_search_locations[0])


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Take interrupts when the block has ended: who leaves Ray's start half way leaves processes of it behind.

    Ray would handle SIGTERM itself from then on, and end the process at once; the handlers that stood before stay.
    """
    came: list[int] = []
    try:
        with _handled(lambda number, _: came.append(number)):
            from ray._private import utils

            theirs = utils.set_sigterm_handler
            utils.set_sigterm_handler = lambda _: None
            try:
                yield
            finally:
                utils.set_sigterm_handler = theirs
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    """Have interrupts handled so inside the block."""
    before = {}
    with contextlib.suppress(ValueError):  # only the main thread has signals
        for number in INTERRUPTS:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
