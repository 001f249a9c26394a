"""The packages that decide what comes of a study: those of whoever submits it, and those where it runs."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

from analysis.errors import WrongInput

__all__ = ["PINNED", "Environment", "check_here", "differences", "pinned", "shipped"]

Environment = Literal["check", "ship", "any"]
"""``check`` refuses a study where packages are of other releases than where it was submitted, ``ship`` has Ray install
those, ``any`` takes what is there."""

PINNED = "PRUNEFRONT_ENVIRONMENT"
"""In a job: the versions where it was submitted, in JSON."""
DECIDING = ("torch", "torchvision", "torch-pruning", "zennit", "scikit-learn", "numpy", "optuna", "ray")
"""Another release of these may give another network, another proposal, or no answer at all."""


def pinned() -> dict[str, str]:
    """The versions of those packages that are here."""
    found = {name: _version(name) for name in DECIDING}
    return {name: here for name, here in found.items() if here}


def differences(wanted: Mapping[str, str]) -> list[str]:
    """In words, each package whose release (major.minor) here is not the wanted one.

    >>> differences({"numpy": "0.1.9", "no-such-package": "1.0"})[1]
    'no-such-package is missing, and is 1.0'
    """
    found = []
    for name, there in wanted.items():
        here = _version(name)
        if _release(here) != _release(there):
            found.append(f"{name} is {here or 'missing'}, and is {there}")
    return found


def check_here() -> None:
    """Raise WrongInput where this process has other releases than its job was submitted with, if it is of one."""
    said = os.environ.get(PINNED) or "{}"
    try:
        wanted = {str(name): str(there) for name, there in json.loads(said).items()}
    except (ValueError, AttributeError):
        raise WrongInput(f"{PINNED} is not the JSON that submit writes, got {said!r:.60}: leave it unset") from None
    differing = differences(wanted)
    if differing:
        raise WrongInput(
            f"on {socket.gethostname()} {'; '.join(differing)} where the study was submitted: install the same "
            "on both, or submit with --environment ship, which has Ray install it, or any, which takes what is there"
        )


def shipped() -> list[str]:
    """What prunefront needs, at the versions that are here, as requirements; Ray, which is there, is left out.

    A build's own part of a version (``+cpu``) is no package index's, and is left out too.
    """
    try:
        named = [
            re.split(r"[^A-Za-z0-9._-]", line)[0] for line in requires("prunefront") or [] if "extra ==" not in line
        ]
    except PackageNotFoundError:
        named = list(DECIDING)
    found = {name: _version(name) for name in named if name != "ray"}
    return [f"{name}=={here.partition('+')[0]}" for name, here in sorted(found.items()) if here]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _release(said: str) -> tuple[str, str] | None:
    """Major and minor, whatever follows; None where there is no version.

    >>> _release("3.0rc1+cu128") == _release("3") == ("3", "0")
    True
    """
    found = re.match(r"v?(?:\d+!)?(\d+)(?:\.(\d+))?", said)
    return (found[1], found[2] or "0") if found else None
