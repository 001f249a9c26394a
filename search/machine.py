"""What this machine has: versions, devices, cores, memory, disk, and what its numbers are best computed in."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from search import token
from search.finding import Finding, gigabytes
from trial.version import VERSION

__all__ = ["findings"]

SHOWN = ("torch", "ray", "optuna")
LEAST_MEMORY = 2e9
"""One worker has torch, the data and a network: about a gigabyte; Ray and the driver take half of one each."""
LEAST_DISK = 2e9
LEAST_FILES = 1024
"""Ray opens a few dozen for each process that it talks to."""
IMAGES = 300
CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1e15


def findings() -> Iterator[Finding]:
    """Look at everything, the quick things first; the last one takes a second or two of training steps."""
    yield _versions()
    yield _cores()
    yield _memory()
    for what, folder in {"disk": Path.cwd(), "disk of Ray": Path(tempfile.gettempdir())}.items():
        yield _disk(what, folder)
    yield _files()
    yield from _token()
    yield from _devices()
    yield _bfloat16()


def _versions() -> Finding:
    here = [f"{name} {_installed(name)}" for name in SHOWN]
    said = f"prunefront {VERSION}, Python {platform.python_version()}, {', '.join(here)}"
    wrong = []
    for line in requires("prunefront") or []:
        needed = Requirement(line)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        if not needed.specifier.contains(_installed(needed.name), prereleases=True):
            wrong.append(f"{needed.name}{needed.specifier}")
    cure = f"pip install {' '.join(repr(each) for each in wrong)}" if wrong else ""
    return Finding("versions", said, cure=cure)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "0"


def _cores() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = f"{usable} to use, {os.getloadavg()[0]:.1f} busy now"
    allowed = _quota()
    if allowed is not None and allowed < usable:
        cure = f"workers: {max(1, int(allowed))} in the spec, or give the container more"
        return Finding("cores", f"{usable} seen, {allowed:g} allowed by the container's limit", cure=cure)
    return Finding("cores", said)


def _quota() -> float | None:
    """How many cores' time a container gets, where it has such a limit."""
    try:
        most, period = (CGROUP / "cpu.max").read_text().split()
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError):
        return None


def _memory() -> Finding:
    """Of the machine, or of the container where that is less."""
    try:
        kibibytes = {
            line.split(":")[0]: int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()
        }
    except OSError:
        return Finding("memory", "this system does not say")
    free, total = kibibytes["MemAvailable"] * 1024, kibibytes["MemTotal"] * 1024
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit < total:
        free, total = min(free, int(limit - used)), int(limit)
    said = f"{gigabytes(free)} free of {gigabytes(total)}"
    return Finding("memory", said, cure="end other programs, or run fewer workers" if free < LEAST_MEMORY else "")


def _number(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        return UNLIMITED


def _disk(what: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    cure = "make room, or start in another folder" if free < LEAST_DISK else ""
    return Finding(what, f"{gigabytes(free)} free in {folder}", cure=cure)


def _files() -> Finding:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Finding("open files", f"up to {limit}", cure="ulimit -n 65536" if limit < LEAST_FILES else "")


def _token() -> Iterator[Finding]:
    """Only where there is one: a search on this machine makes its own."""
    file = token.path()
    if not file.exists():
        yield Finding("token", "none here: a search on this machine makes its own; a cluster needs one")
    elif token.is_open(file):
        mode = f"{file.stat().st_mode & 0o777:03o}"
        said = f"others on this machine may read {file} (mode {mode}): whoever has it runs code in the cluster"
        yield Finding("token", said, cure=f"chmod 600 {file}")
    else:
        yield Finding("token", f"{file}, readable by its owner alone")


def _devices() -> Iterator[Finding]:
    import torch

    for number in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(number)
        free, total = torch.cuda.mem_get_info(number)
        yield Finding(f"gpu {number}", f"{name}, {gigabytes(free)} free of {gigabytes(total)}")
    if torch.cuda.device_count():
        return
    if not Path("/dev/nvidia0").exists():
        yield Finding("gpu", f"none: trainings run on the CPU ({torch.backends.cpu.get_cpu_capability()})")
    elif torch.version.cuda is None:
        yield Finding("gpu", "torch is built for CPUs alone", cure="install torch's build for CUDA (pytorch.org)")
    else:
        said = f"torch is built for CUDA {torch.version.cuda} and cannot use the GPU that is here"
        yield Finding("gpu", said, cure="run nvidia-smi: its driver may be older than that CUDA, or not be loaded")


def _bfloat16() -> Finding:
    """By the probe of new studies, on a small network: large ones gain more, and a study settles it for its own."""
    from trial import data
    from trial.data import Data
    from trial.experiment import Experiment
    from trial.networks import Network
    from trial.numerics import Numerics, device_here
    from trial.probe import probe

    # The layout is settled: there are two steps to compare rather than four.
    given: Any = {
        "network": Network(name="seed-cnn"),
        "data": Data(name="digits", images=IMAGES),
        "numerics": Numerics(layout="channels-last"),
    }
    experiment = Experiment(**given)
    probed = _quietly(lambda: probe(experiment, data.load(experiment.data), device=device_here()))
    if probed is None:
        return Finding("bfloat16", "cannot be told here; a new study finds out for itself")
    taken, full = (probed.ratios[precision, "channels-last"] for precision in ("bfloat16", "float32"))
    pays = probed.numerics.precision == "bfloat16"
    share = "cannot run here" if taken == float("inf") else f"a step takes {taken / full:.2f} times one in float32"
    return Finding("bfloat16", f"{share}: it {'pays' if pays else 'does not pay'}, for seed-cnn at least")


def _quietly(work: Callable[[], Any]) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work()
