"""The CPU of this machine: its name, and how much of it there is for us."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["cores", "cpu"]


def cpu() -> str:
    """The name of this machine's CPU, as its system says it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
