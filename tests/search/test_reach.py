"""Asking a cluster's head, here a server that answers as Ray's does; test_faults.py has real clusters."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest

from analysis.errors import WrongInput
from search import token
from search.reach import ALIVE, Answer, ask, check_accepted

RIGHT = "the right one"


class Head(grpc.GenericRpcHandler):  # type: ignore[misc]
    """As Ray's head: whoever shows another token than its own is unauthenticated."""

    def __init__(self, ray: str) -> None:
        self.ray = ray.encode()

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self.answer) if call.method == ALIVE else None

    def answer(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {RIGHT}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return bytes([0x0A, 0x00, 0x12, len(self.ray)]) + self.ray + bytes([0x20, 0x01])


@pytest.fixture(params=[version("ray")])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([Head(request.param)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in (token.MODE, token.VALUE, token.FILE, "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_right_token_is_taken_and_the_version_read(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(token.VALUE, RIGHT)
    assert ask(address) == Answer(takes_token=True, ray=version("ray"))
    check_accepted(address)


@pytest.mark.parametrize(("held", "said"), [("", "and none is here"), ("the wrong one", "and the one here is another")])
def test_another_token_or_none_is_one_line_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, home: Path, address: str, held: str, said: str
) -> None:
    monkeypatch.setenv(token.VALUE, held)
    assert not ask(address).takes_token
    with pytest.raises(WrongInput) as raised:
        check_accepted(address)
    assert str(raised.value) == (
        f"the Ray cluster at {address} asks for its token, {said}: copy ~/.ray/auth_token of its head to "
        f"{home}/.ray/auth_token, and `chmod 600` it (--address)"
    )


@pytest.mark.parametrize("address", ["2.40.0"], indirect=True)
def test_another_ray_is_one_line_with_the_cure(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(token.VALUE, RIGHT)
    with pytest.raises(WrongInput, match=r"runs Ray 2\.40\.0, and here is .*: both must be the same"):
        check_accepted(address)


def test_whoever_speaks_another_language_is_left_to_ray(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.reach.ALIVE", "/another.Service/Method")
    assert ask(address) == Answer(takes_token=True, ray="")
