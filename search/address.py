"""The address of an Optuna storage: checked, frozen without a password, and opened with what the environment holds."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from analysis.errors import WrongInput

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

__all__ = ["ACCEPTED", "JOURNAL", "checked", "expanded", "secrets"]

ACCEPTED = "sqlite:///FILE, postgresql://USER:${PASSWORD}@HOST/DATABASE or journal:FILE"
JOURNAL = "journal:"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def checked(given: str, *, where: str) -> str:
    """The storage's address as it is frozen into a study: files in full, environment variables as they are written.

    Raises WrongInput for an address of another kind, and for one that holds a password: that belongs into an
    environment variable, ``${NAME}``. No message repeats an address, which may hold one.
    """
    if given.startswith(JOURNAL):
        return JOURNAL + _in_full(given.removeprefix(JOURNAL), where=where)
    url = _parsed(given, where=where)
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite" and url.database and url.database != ":memory:":
        return url.set(database=_in_full(url.database, where=where)).render_as_string(hide_password=False)
    if kind != "postgresql":
        raise WrongInput(f"storage takes {ACCEPTED} ({where})")
    secrets = [url.password, *(url.query.get(name) for name in ("password", "sslpassword"))]
    if any(secret is not None and not _VARIABLE.fullmatch(str(secret)) for secret in secrets):
        raise WrongInput(
            "storage holds a password, which would be written into the study: put it into an environment variable and "
            f"say ${{NAME}} in its place ({where})"
        )
    return given


def expanded(address: str, *, where: str) -> str:
    """The address with its environment variables' values, quoted where an URL needs it.

    Raises WrongInput that names the variable that the environment lacks.
    """
    for name in _VARIABLE.findall(address):
        if name not in os.environ:
            raise WrongInput(f"the environment has no variable {name}, which storage names ({where})")
    is_file = address.startswith((JOURNAL, "sqlite"))
    return _VARIABLE.sub(
        lambda found: os.environ[found[1]] if is_file else quote(os.environ[found[1]], safe=""), address
    )


def secrets(address: str) -> list[str]:
    """What the address's environment variables hold, as it is and as it is quoted: never to be shown."""
    held = [os.environ.get(name) for name in _VARIABLE.findall(address)]
    return [written for value in held if value for written in (value, quote(value, safe=""))]


def _parsed(given: str, *, where: str) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(given)
    except (ArgumentError, ValueError):
        raise WrongInput(f"storage takes {ACCEPTED} ({where})") from None


def _in_full(file: str, *, where: str) -> str:
    """A file's whole path, so that a study that goes on elsewhere finds it; unless it begins with a variable."""
    if not file:
        raise WrongInput(f"storage takes {ACCEPTED} ({where})")
    if _VARIABLE.match(file):
        return file
    return str(Path(file).expanduser().absolute())
