"""Four machines and a head on one, as network namespaces, and what goes over their network and through their cores.

A namespace's interface counts every byte that a network would carry between machines, headers included, and nothing
that stays on one. The study's folder is shared as by NFS, and does not go over this network.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import s3
from tests.search.hosts import ROOT, SHARED, Host, Hosts, hosts

__all__ = ["NODES", "STORE_PORT", "Machines", "Taken", "machines"]

NODES = ("one", "two", "three", "four")
STORE_PORT = 9000
TICK = os.sysconf("SC_CLK_TCK")
KINDS = {
    "gcs_server": "gcs_server",
    "raylet/raylet": "raylet",
    "benchmarks.scale": "driver",
    "prunefront": "driver",
    "ray::ClaimsActor": "claims",
}
"""Who a process of the head is, by a part of its command line; all others are the dashboard's and its agents'."""
AGENTS = "dashboard and agents"
ATTEMPTS = 4


@dataclass(frozen=True)
class Taken:
    """What was taken by a moment: bytes in and out by machine, and seconds of a core by kind of the head's process."""

    network: Counter[str]
    cpu: Counter[str]


class Machines:
    """A Ray cluster of a head that trains nothing and four nodes with room for one trial each."""

    def __init__(self, made: Hosts, log: Path) -> None:
        self._made = made
        self._log = log
        self.address = f"{made['head'].address}:6379"
        self.environment = {
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": s3.SECRET,
            "AWS_ENDPOINT_URL": f"http://{made['store'].address}:{STORE_PORT}",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def here(self, path: str) -> Path:
        """Where a path below the shared folder is for this process."""
        return self._made.shared / Path(path).relative_to(SHARED)

    def command(self, name: str, *words: str) -> list[str]:
        """What runs a program on one of the machines."""
        return self._made[name].command("env", *(f"{key}={value}" for key, value in self.environment.items()), *words)

    def run(self, name: str, *words: str) -> None:
        """Run it to its end; raises CalledProcessError with what it said."""
        done = subprocess.run(self.command(name, *words), capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:], file=sys.stderr)
            done.check_returncode()

    def started(self, name: str, *options: str) -> None:
        """Start Ray on a machine, and again where that took longer than Ray's own thirty seconds."""
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(subprocess.CalledProcessError):
                return self.run(name, "ray", "start", *options)
            self.run(name, "ray", "stop", "--force")
        return self.run(name, "ray", "start", *options)

    def taken(self) -> Taken:
        """What was taken so far."""
        network = Counter({name: _bytes(host) for name, host in self._made.made.items()})
        cpu: Counter[str] = Counter()
        for pid, kind in self.head():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                cpu[kind] += (int(fields[11]) + int(fields[12])) / TICK  # type: ignore[assignment]
        return Taken(network, cpu)

    def memory(self) -> Counter[str]:
        """Megabytes of the head's processes by kind, what they share counted once."""
        found: Counter[str] = Counter()
        for pid, kind in self.head():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        found[kind] += int(line.split()[1]) * 1024 / 1e6  # type: ignore[assignment]
        return found

    def head(self) -> Iterator[tuple[int, str]]:
        """The head's processes and who they are; without its first one and its sshd."""
        own = Path(f"/proc/{self._made['head'].pid}/ns/net").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "ns/net").readlink() != own:
                    continue
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if "ray" in line or "benchmarks" in line or "prunefront" in line:
                    yield int(process.name), next((kind for part, kind in KINDS.items() if part in line), AGENTS)

    def requests(self) -> list[tuple[str, str]]:
        """Method and path of every request that the store has answered, by its own log."""
        found = re.findall(r'"(?:\x1b\[[0-9;]*m)*([A-Z]+) (\S+) HTTP/1', self._log.read_text(errors="replace"))
        return [(str(method), str(path)) for method, path in found]


def _bytes(host: Host) -> int:
    """Bytes in and out of a machine; the first one's interface is the bridge itself."""
    for line in Path(f"/proc/{host.pid}/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() in {"eth0", "bridge"}:
            fields = counts.split()
            return int(fields[0]) + int(fields[8])
    raise AssertionError("each machine has an interface")


@contextmanager
def machines() -> Iterator[Machines]:
    """Start them, Ray on them, and an S3-compatible store on a machine of its own; all end with the block."""
    python = s3.moto()
    assert python is not None, "moto's server could not be installed"
    kept = dict.fromkeys([Path(sys.base_prefix).resolve(), ROOT, Path(sys.prefix).resolve(), python.parents[1]])
    with hosts(["store", "head", *NODES], kept=list(kept)) as made:
        log = made.shared / "store.log"
        found = Machines(made, log)
        with log.open("w") as written:
            moto = ["-m", "moto.server", "-H", "0.0.0.0", "-p", str(STORE_PORT)]
            store = subprocess.Popen(found.command("store", str(python), *moto), stdout=written, stderr=written)
        token = secrets.token_hex(32)
        for name in ("head", *NODES):
            made[name].run("sh", "-c", f"umask 077; mkdir -p ~/.ray && printf %s {token} > ~/.ray/auth_token")
        small = ["--disable-usage-stats", f"--object-store-memory={100 * 2**20}"]
        at = f"--node-ip-address={made['head'].address}"
        head = ["--head", "--port=6379", at, "--dashboard-host=127.0.0.1", "--num-cpus=0", "--num-gpus=0"]
        try:
            found.started("head", *head, *small)
            join = [f"--address={found.address}", "--num-cpus=1", "--num-gpus=0", *small]
            for name in NODES:  # one after another: at once they are too slow for Ray's patience
                found.started(name, *join, f"--node-ip-address={made[name].address}")
            yield found
        finally:
            store.terminate()
            store.wait()
