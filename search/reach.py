"""Is a Ray cluster there, of which version, and does it take our token: asked in an instant, without loading Ray.

Ray itself asks for twenty seconds, and says no more than that it failed.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from importlib.metadata import version

from analysis.errors import WrongInput
from search import token

__all__ = ["Answer", "ask", "check_accepted"]

ANSWER_SECONDS = 5.0
"""A cluster that does not take a connection for so long is not there; Ray itself would wait for minutes."""
ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""What Ray asks first of a cluster's head. Every version answers an empty question."""


@dataclass(frozen=True)
class Answer:
    """What a cluster's head said: its Ray's version, empty where it speaks another language than we expect."""

    takes_token: bool
    ray: str = ""


def ask(address: str) -> Answer:
    """Ask the cluster at HOST:PORT, and show our token where there is one; raises WrongInput where nobody answers."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise WrongInput(f"--address takes HOST:PORT, such as 10.0.0.5:6379, or auto; got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise WrongInput(
            f"no Ray cluster answers at {address} ({error}): start one with `ray start --head`, "
            "or leave --address out to run on this machine"
        ) from error
    if os.environ.get("RAY_USE_TLS", "0") not in {"", "0"}:  # encrypted: only Ray itself has the keys
        return Answer(takes_token=True)
    import grpc

    shown = [("authorization", f"Bearer {held}")] if (held := token.held()) else []
    with grpc.insecure_channel(address) as channel:
        try:
            said = channel.unary_unary(ALIVE)(b"", timeout=ANSWER_SECONDS, metadata=shown)
        except grpc.RpcError as error:
            return Answer(takes_token=error.code() != grpc.StatusCode.UNAUTHENTICATED)
    return Answer(takes_token=True, ray=_version(said))


def check_accepted(address: str) -> None:
    """Raise WrongInput, in one line with the cure, where nobody answers, the token is not taken, or Ray is another."""
    answer = ask(address)
    if not answer.takes_token:
        said = "and the one here is another" if token.held() else "and none is here"
        raise WrongInput(
            f"the Ray cluster at {address} asks for its token, {said}: copy ~/.ray/auth_token of its head to "
            f"{token.path()}, and `chmod 600` it (--address)"
        )
    if answer.ray and answer.ray != version("ray"):
        raise WrongInput(
            f"the cluster at {address} runs Ray {answer.ray}, and here is {version('ray')}: both must be the same "
            f"(pip install ray=={answer.ray}) (--address)"
        )


def _version(said: bytes) -> str:
    """The version in Ray's answer: field 2 of the message, a string; its first field, a status, comes before it.

    >>> _version(bytes([0x0A, 0x00, 0x12, 6]) + b"2.60.0" + bytes([0x20, 0x01]))
    '2.60.0'
    >>> _version(b"")
    ''
    """
    at = 0
    while at + 1 < len(said):
        field, kind = said[at] >> 3, said[at] & 7
        if kind != 2:  # a number: we are past what we know
            return ""
        length = said[at + 1]
        if field == 2:
            return said[at + 2 : at + 2 + length].decode("ascii", "replace")
        at += 2 + length
    return ""
