"""One driver at a time: who is writing a study, and whether he is still alive.

``STUDY/driver.json`` names the driver's host, process and its start, and is written anew every few seconds while
he runs, with what he tells of his work. On his own host a driver is dead when his process is; seen from another
host, when the file is old.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from analysis.durable import write_durably
from analysis.errors import WrongInput
from analysis.folder_lock import locked
from analysis.object_path import ObjectPath

__all__ = ["DRIVER", "Tells", "driving", "seen"]

DRIVER = "driver.json"

Tells = dict[str, Any]
"""What a driver tells of his work, ready for JSON: ``budget``, ``doing``, ``running``. Values are replaced, never
changed: the heart beats on a thread of its own."""

BEAT_SECONDS = 10.0
SILENT_SECONDS = 60.0
"""From another host's point of view a driver is dead after so long without a beat."""
SETTLE_SECONDS = 2.0
"""On an object store a new driver looks again after so long: a read and a put, which no lock joins, take less."""


@contextmanager
def driving(study: Path, *, cure: str = "wait for it, stop it, or name another folder with --study") -> Iterator[Tells]:
    """Be the study's driver inside the block; raises WrongInput, which ends with ``cure``, where another one is alive.

    Yields a mapping: what is put there is in the file from the next beat on. A driver that was killed leaves its file
    behind, which stops nobody.
    """
    own = {"host": socket.gethostname(), "pid": os.getpid(), "process_started": _process_started(os.getpid())}
    own["began"] = time.time()
    tells: Tells = {}
    path = study / DRIVER
    with locked(study):
        other = _read(path)
        if other is not None and _is_alive(other):
            raise WrongInput(f"{study} is being written by process {other.get('pid')} on {other.get('host')}: {cure}")
        _beat(path, own)
    if isinstance(study, ObjectPath):
        # Of two who began at once the one whose put came last goes on.
        time.sleep(SETTLE_SECONDS)
        other = _read(path)
        if other is not None and any(other.get(name) != own[name] for name in ("host", "pid", "began")):
            raise WrongInput(f"{study} is being written by process {other.get('pid')} on {other.get('host')}: {cure}")
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            # A missed beat is no harm, and a full disk is found by whoever writes a row.
            with suppress(OSError):
                _beat(path, {**tells, **own})

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield tells
    finally:
        over.set()
        thread.join()
        path.unlink(missing_ok=True)


def seen(study: Path) -> dict[str, Any] | None:
    """What the study's driver says of himself and tells, and whether he ``is_alive``; None where there is none."""
    driver = _read(study / DRIVER)
    return None if driver is None else driver | {"is_alive": _is_alive(driver)}


def _beat(path: Path, own: dict[str, Any]) -> None:
    write_durably(path, json.dumps(own | {"heartbeat": time.time()}).encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        driver = json.loads(path.read_bytes())
        return {**driver, "pid": int(driver["pid"]), "heartbeat": float(driver["heartbeat"])}
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, OverflowError):
        return None


def _is_alive(driver: dict[str, Any]) -> bool:
    if driver.get("host") != socket.gethostname():
        return bool(time.time() - driver["heartbeat"] < SILENT_SECONDS)
    pid = int(driver["pid"])
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    # The number of a dead process is given away again: only the start tells the two apart.
    return pid > 0 and _process_started(pid) == driver.get("process_started")


def _process_started(pid: int) -> str | None:
    """When the process started, in the system's own count; None where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The command in field 2 may hold spaces and brackets: fields are counted from its end.
        return f"{boot}/{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except OSError:
        return None
