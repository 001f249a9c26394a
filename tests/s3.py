"""A real S3-compatible server of a test's own, moto's, and a proxy before it that lets requests fail.

moto needs packages that ours must not be downgraded for: it gets an environment of its own, once, in the cache folder.
"""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

MOTO = "moto[server]==5.2.5"
SECRET = "planted-Secret/Of+The=Tests"
BUCKET = "bucket"
PATIENCE = 600.0
"""Seconds in which a busy machine starts a server."""
HOP = {"host", "connection", "expect", "transfer-encoding", "content-length"}

Kind = Literal["403", "503", "slow", "broken", "lost"]
"""How a request fails: refused, for good or as by a busy store; answered late; cut off in the middle of its body,
half of which the server got; done, and the answer lost."""


@cache
def moto() -> Path | None:
    """The Python that moto is installed for, which this does where nobody has; None where it cannot."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunefront-tests" / "moto"
    folder.mkdir(parents=True, exist_ok=True)
    python, whole = folder / "bin" / "python", folder / f"{MOTO}.installed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not whole.exists():
                quiet: dict[str, Any] = {"check": True, "capture_output": True, "timeout": 600}
                subprocess.run([sys.executable, "-m", "venv", folder], **quiet)
                subprocess.run([python, "-m", "pip", "install", "--quiet", MOTO], **quiet)
                whole.touch()
        except (OSError, subprocess.SubprocessError):
            return None
    return python


class Proxy:
    """What stands before the server: passes every request on, notes it, and fails those that it was told to."""

    def __init__(self, upstream: int) -> None:
        self.requests: list[tuple[str, str]] = []
        """Method and path of every request, in order."""
        self._faults: list[tuple[Kind, str, str, float]] = []
        self._changing = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # whoever asked has gone
                    self.close_connection = True

            def do(self) -> None:
                proxy.pass_on(self, upstream)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do  # noqa: N815

            def log_message(self, *said: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fail(self, kind: Kind, *, method: str = "PUT", path: str = "", times: int = 1, seconds: float = 0.0) -> None:
        """Let the next ``times`` requests fail whose path holds ``path``."""
        with self._changing:
            self._faults += [(kind, method, path, seconds)] * times

    def forgive(self) -> None:
        """Let no further request fail."""
        with self._changing:
            self._faults.clear()

    @property
    def left(self) -> int:
        """How many failures are still to come."""
        return len(self._faults)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def pass_on(self, request: BaseHTTPRequestHandler, upstream: int) -> None:
        method, path = request.command, request.path
        body = _body(request)
        with self._changing:
            self.requests.append((method, path))
            fault = next((each for each in self._faults if each[1] == method and each[2] in path), None)
            if fault is not None:
                self._faults.remove(fault)
        kind = fault[0] if fault else None
        if kind in {"403", "503"}:
            code = "SlowDown" if kind == "503" else "AccessDenied"
            _answer(request, int(kind), {}, f"<Error><Code>{code}</Code><Message>No</Message></Error>".encode())
            return
        if kind == "slow" and fault:
            time.sleep(fault[3])
        server = http.client.HTTPConnection("127.0.0.1", upstream, timeout=60)
        server.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() not in HOP:
                server.putheader(name, value)
        server.putheader("Host", request.headers["Host"])
        server.putheader("Content-Length", str(len(body)))
        server.endheaders()
        server.send(body[: len(body) // 2] if kind == "broken" else body)
        if kind == "broken":
            server.close()
            _cut(request)
            return
        answered = server.getresponse()
        data = answered.read()
        server.close()
        if kind == "lost":
            _cut(request)
            return
        _answer(request, answered.status, dict(answered.getheaders()), data)


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    body = b""
    while size := int(request.rfile.readline().split(b";")[0], 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    while request.rfile.readline().strip():
        pass
    return body


def _answer(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes) -> None:
    request.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
            request.send_header(name, value)
    length = next((value for name, value in headers.items() if name.lower() == "content-length"), str(len(data)))
    request.send_header("Content-Length", length if request.command == "HEAD" else str(len(data)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data)


def _cut(request: BaseHTTPRequestHandler) -> None:
    """Break the connection off."""
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


class Server:
    """A running server behind its proxy, with one empty bucket."""

    def __init__(self, port: int, proxy: Proxy) -> None:
        self.port = port
        self.proxy = proxy
        self.folders = 0
        """How many tests have a folder of their own."""
        self.environment = {
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": proxy.address,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def direct(self, method: str, path: str) -> tuple[int, bytes]:
        """Ask the server itself, past the proxy."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            asked.request(method, path)
            answer = asked.getresponse()
            return answer.status, answer.read()
        finally:
            asked.close()


def everything(found: Server) -> dict[str, bytes]:
    """Every object of the bucket, as the server itself has it."""
    from pyarrow import fs

    store = fs.S3FileSystem(
        access_key="tester",
        secret_key=SECRET,
        region="us-east-1",
        scheme="http",
        endpoint_override=f"127.0.0.1:{found.port}",
    )
    listed = store.get_file_info(fs.FileSelector(BUCKET, recursive=True))
    return {info.path: store.open_input_stream(info.path).readall() for info in listed if info.is_file}


@contextmanager
def server() -> Iterator[Server]:
    """A server of its own, its bucket there, gone with the block."""
    with socket.socket() as found_free:
        found_free.bind(("127.0.0.1", 0))
        port = int(found_free.getsockname()[1])
    python = moto()
    assert python is not None, "whoever needs it has asked whether it is here"
    program = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, "moto's server did not start"
                    assert time.monotonic() < deadline, "moto's server does not answer"
                    time.sleep(0.1)
            proxy = Proxy(port)
            found = Server(port, proxy)
            assert found.direct("PUT", f"/{BUCKET}")[0] == 200
            yield found
            proxy.close()
        finally:
            process.send_signal(signal.SIGTERM)
