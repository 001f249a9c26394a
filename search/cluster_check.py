"""Can a cluster be reached, what has it, do its machines fit together, and do all of them see the study's folder."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search.finding import Finding, gigabytes
from search.session import session
from search.storage_check import PROBE, skew, standing

__all__ = ["findings"]

SECONDS = 60.0
"""A machine that does not answer for so long is not there; its first worker takes a while to start."""


class Look:
    """Sits on one machine of the cluster, and tells what it sees."""

    def time(self) -> float:
        """Its clock, in seconds since 1970."""
        return time.time()

    def look(self, probe: str) -> dict[str, Any]:
        """Its name, Python, torch and disk, and whether the file is there; no file where the name is empty."""
        return {
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "torch": version("torch"),
            "free": shutil.disk_usage(os.environ.get("TMPDIR", "/tmp")).free,
            "sees": not probe or Path(probe).exists(),
        }


def findings(address: str, *, study: str | None) -> Iterator[Finding]:
    """Ask each machine of the cluster; raises WrongInput where it cannot be reached.

    ``study`` is the study's folder, which every machine must see, or a URI, which is nobody's folder.
    """
    with session(workers=1, address=address), _probe(study) as probe:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        alive = [node for node in nodes if node["Alive"]]
        devices = {name: sum(node["Resources"].get(name, 0) for node in alive) for name in ("CPU", "GPU")}
        said = f"{len(alive)} machines, {devices['CPU']:g} cores, {devices['GPU']:g} GPUs at {address}"
        none = "no machine has cores for trials: let workers join (ray start --address=…)"
        yield Finding("cluster", said, cure="" if devices["CPU"] else none)
        looking = {}
        for node in alive:
            here = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            actor: Any = ray.remote(Look).options(num_cpus=0, scheduling_strategy=here).remote()
            looking[node["NodeManagerAddress"]] = actor, actor.look.remote(probe)
        end = time.monotonic() + SECONDS
        for at, (actor, asked) in looking.items():
            try:
                seen = ray.get(asked, timeout=max(1.0, end - time.monotonic()))
                clock = skew("", lambda actor=actor: ray.get(actor.time.remote(), timeout=SECONDS))  # type: ignore[misc]
            except Exception as error:  # lost, too slow, or unable to unpack what we ship: Ray has a kind for each
                why = " ".join(str(error).split())[:160] or type(error).__name__
                yield Finding(at, f"does not answer: {why}", cure="look at `ray status`, and at /tmp/ray there")
            else:
                yield _machine(seen, clock, study)


def _machine(seen: dict[str, Any], clock: Finding, study: str | None) -> Finding:
    said = f"Python {seen['python']}, torch {seen['torch']}, {gigabytes(seen['free'])} free, clock {clock.said}"
    cures = [clock.cure] if clock.is_problem else []
    ours = ".".join(platform.python_version().split(".")[:2])
    if not seen["python"].startswith(f"{ours}."):
        cures.append(f"install Python {ours} there, as here")
    if _release(seen["torch"]) != _release(version("torch")):
        cures.append(f"install torch {version('torch')} there, as here")
    if not seen["sees"]:
        cures.append(f"mount the same folder there as here: what is written to {study} is not seen there")
    return Finding(seen["host"], said, cure="; ".join(cures))


def _release(torch: str) -> tuple[str, ...]:
    """Major and minor: what stages depend on."""
    return tuple(torch.split(".")[:2])


@contextlib.contextmanager
def _probe(study: str | None) -> Iterator[str]:
    """A file in the study's folder that every machine should see; none for a URI, or where we cannot write either."""
    if study is None or "://" in study:
        yield ""
        return
    path = standing(study) / f"{PROBE}{uuid.uuid4().hex}"
    try:
        path.touch()
    except OSError:  # said by the check of the storage
        yield ""
        return
    try:
        yield str(path)
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
