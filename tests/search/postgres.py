"""A real PostgreSQL server of a test's own."""

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.components import program

PASSWORD = "p@ss/w:rd %"
"""Has everything that an address gives a meaning to."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A running server: its port, and how it is stopped."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder

    @property
    def address(self) -> str:
        return f"postgresql://tester:${{TEST_PASSWORD}}@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """Stop it at once, by its number; a second time does nothing."""
        try:
            pid = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        except FileNotFoundError:
            return
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + 30
        while (self._folder / "data" / "postmaster.pid").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


@contextmanager
def postgres() -> Iterator[Server]:
    """A new server with one user, `tester`; as another user than root, whom PostgreSQL refuses."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # short: it holds a socket, and not only ours to read
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)

    def called(name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(program(name)), "-D", str(folder / "data"), *arguments],
            user=user if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    server = Server(folder, free_port())
    try:
        called("initdb", "-U", "tester", "--pwfile", str(secret), "-A", "scram-sha-256", "-E", "UTF8", "--no-sync")
        options = f"-p {server.port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        called("pg_ctl", "-w", "-t", "60", "-o", options, "-l", str(folder / "log"), "start")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
