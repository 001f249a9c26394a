"""Ray's token: whoever has it runs code in the cluster, so it lies in a file that nobody but its owner reads.

Ray looks for it in ``RAY_AUTH_TOKEN``, then in the file that ``RAY_AUTH_TOKEN_PATH`` names, then in ~/.ray/auth_token,
and asks for it where ``RAY_AUTH_MODE`` is token. It writes that file for everyone on the machine to read.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["held", "is_open", "make", "path", "used"]

MODE = "RAY_AUTH_MODE"
VALUE = "RAY_AUTH_TOKEN"
FILE = "RAY_AUTH_TOKEN_PATH"
BYTES = 32
OWNER_ONLY = 0o600


def path() -> Path:
    """The file in which Ray looks for the token of a cluster."""
    return Path(os.environ.get(FILE) or Path.home() / ".ray" / "auth_token").expanduser()


def held() -> str:
    """This user's token, empty where there is none that can be read."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return os.environ.get(VALUE) or path().read_text().strip()
    return ""


def is_open(file: Path) -> bool:
    """Whether anyone but its owner may read or write a file; never where the system knows no such thing."""
    return os.name == "posix" and bool(file.stat().st_mode & 0o077)


def make(file: Path) -> None:
    """Write a new token into a file that is not there yet, for its owner alone; its folder is made where it is missing.

    Raises FileExistsError: a token that others use is never replaced.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as written:
        written.write(secrets.token_hex(BYTES))


@contextmanager
def used(*, own: Path | None) -> Iterator[None]:
    """Have Ray ask for a token, and show it, in the block; what the environment says of it goes first.

    Args:
        own: Where a Ray that we start has its folder: it gets a token of its own, which goes with the folder. None
            for a cluster that runs already: the user's token is shown where there is one.
    """
    before = {name: os.environ.get(name) for name in (MODE, FILE)}
    if own is not None and not (os.environ.get(VALUE) or os.environ.get(FILE)):
        make(own / "token")
        os.environ[FILE] = str(own / "token")
    if own is not None or held():
        os.environ.setdefault(MODE, "token")
    _read_again()
    try:
        yield
    finally:
        for name, said in before.items():
            if said is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = said


def _read_again() -> None:
    """Ray reads both once in a process, which may have started another Ray before, with another token."""
    with contextlib.suppress(ImportError):  # Ray before 2.52 knows no token
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()
