"""A real Ray cluster of one node with a dashboard that takes jobs, a token, and nothing of its user's."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.search.three_nodes import MARK, SMALL, end_all, wait_until

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Dashboard:
    """Where jobs are sent to, with what token, and where the cluster keeps its studies."""

    address: str
    token: Path
    studies: Path
    mark: str

    def environment(self) -> dict[str, str]:
        """What a terminal has set that sends jobs."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def dashboard(*, cpus: int = 2) -> Iterator[Dashboard]:
    """Start a cluster on loopback with a token; afterwards nothing of it is left."""
    mark, folder = uuid.uuid4().hex, Path(tempfile.mkdtemp(prefix="pf-", dir="/tmp"))  # a socket's path has 108 bytes
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    studies = folder / "studies"
    studies.mkdir()
    port = free_port()
    started = Dashboard(f"http://127.0.0.1:{port}", token, studies, mark)
    log = folder / "log"
    program = subprocess.Popen(
        [
            BIN / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={free_port()}",
            "--dashboard-host=127.0.0.1", f"--dashboard-port={port}", f"--num-cpus={cpus}", f"--temp-dir={folder}/ray",
            f"--dashboard-agent-listen-port={free_port()}", f"--object-store-memory={100 * 2**20}",
            "--ray-client-server-port", str(free_port()),
        ],
        cwd=folder,
        env=os.environ
        | SMALL
        | started.environment()
        # Jobs find the interpreter that has the packages, and no package of ours: those have to be brought.
        | {MARK: mark, "RAY_TMPDIR": str(folder)}
        | {"PRUNEFRONT_STUDIES": str(studies), "PRUNEFRONT_PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip

    def answers() -> bool:
        assert program.poll() is None, log.read_text()[-2000:]
        try:
            with urlopen(f"{started.address}/api/version", timeout=2) as answer:
                return bool(json.load(answer))
        except OSError as error:
            return getattr(error, "code", 0) in {401, 403}

    try:
        wait_until(answers, seconds=90, what="the dashboard answers")
        yield started
    finally:
        end_all(mark)
        program.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
