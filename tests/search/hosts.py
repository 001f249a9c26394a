"""Hosts of a test's own on this machine: network namespaces with address, name, processes, home and sshd.

Nothing of the machine is changed: addresses, mounts and processes live in namespaces that end with the process that
made them, even if that is killed, since each host's first process waits for the end of its standard input. The hosts
share one folder, as by NFS, and see the machine's files otherwise, but not its home, /tmp, /run and /dev/shm.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.components import program

ROOT = Path(__file__).parents[2]
SHARED = "/srv"
NET = "10.77.0"
PROGRAMS = ("sshd", "ssh", "rsync", "ip", "unshare", "nsenter", "mount")

SSHD = """
HostKey /run/host/key
AuthorizedKeysFile /run/host/authorized
PidFile /run/host/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
MaxStartups 100
MaxSessions 100
"""
FIRST = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/shared /mnt/given
mount --bind {folder}/shared /mnt/shared
cp {folder}/given/* /mnt/given/
number=0
for path in {kept}; do
  number=$((number + 1)); mkdir /mnt/$number; mount --bind $path /mnt/$number
done
for covered in /root /tmp /run /dev/shm; do mount -t tmpfs tmpfs $covered; done
chmod 1777 /tmp /dev/shm; chmod 700 /root
number=0
for path in {kept}; do
  number=$((number + 1)); mkdir -p $path; mount --bind /mnt/$number $path; mount -o remount,bind,ro $path
done
mount --bind /mnt/shared {shared}
export HOME=/root
mkdir -p /run/sshd /run/host ~/.ssh
cp /mnt/given/* /run/host/; chmod 600 /run/host/*
echo 'root:*:20000:0:99999:7:::' > /run/host/shadow; mount --bind /run/host/shadow /etc/shadow
cp /run/host/identity ~/.ssh/id_ed25519
echo 'export PATH={python}:$PATH' > ~/.bashrc
hostname {name}
ip link set lo up
exec 3<&0
{sshd} -f /run/host/config -E /run/host/log
echo ready
cat <&3 >/dev/null & wait $!
"""


def why_not() -> str:
    """What keeps this machine from having hosts of its own, in words; empty where nothing does."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces and mounts are root's to make"
    missing = [name for name in PROGRAMS if not program(name)]
    if missing:
        return f"{', '.join(missing)} not installed: apt-get install openssh-server rsync iproute2 util-linux"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    return f"namespaces are refused here: {tried.stderr.strip()}" if tried.returncode else ""


class Host:
    """A host: its name and address, and what runs in it."""

    def __init__(self, name: str, address: str, process: "subprocess.Popen[str]", pid: int) -> None:
        self.name = name
        self.address = address
        self.pid = pid
        self._process = process

    def command(self, *words: str) -> list[str]:
        """What runs these words in the host, as from a terminal on it."""
        entered = ["nsenter", "-t", str(self.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--wd=/root"]
        path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*entered, "env", "-i", "HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=dumb", f"PATH={path}", *words]

    def run(self, *words: str, timeout: float = 300) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{self.name}: {' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        subprocess.run(self.command("sh", "-c", 'cat > "$0"', path), input=text, text=True, check=True)

    def end(self) -> None:
        """End it with everything in it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Hosts:
    """Hosts on one network. The first is where the user sits: the others hang on its bridge."""

    def __init__(self, made: Sequence[Host], shared: Path) -> None:
        self.made = {host.name: host for host in made}
        self.shared = shared
        self._first = made[0]

    def __getitem__(self, name: str) -> Host:
        return self.made[name]

    def link(self, name: str, state: str) -> None:
        """Take a host's link down, or up again."""
        enter(self._first.pid, "ip", "link", "set", f"to-{name}", state)


def enter(pid: int, *words: str) -> None:
    """Run a program in a host's network, and nothing else of it: process numbers are this machine's."""
    subprocess.run(["nsenter", "-t", str(pid), "--net", *words], check=True, capture_output=True, text=True)


@contextmanager
def hosts(names: Sequence[str], *, kept: Sequence[Path]) -> Iterator[Hosts]:
    """Start so many hosts; ``kept`` are paths of the machine that they see, read-only, even below its home or /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="pf-hosts-", dir="/tmp"))
    started: list[Host] = []
    try:
        given = folder / "given"
        given.mkdir()
        (folder / "shared").mkdir()
        for key in ("key", "identity"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(given / key)], check=True)
        (given / "identity.pub").rename(given / "authorized")
        (given / "config").write_text(SSHD)
        for number, name in enumerate(names):
            started.append(_started(folder, name, f"{NET}.{10 + number}", kept))
        _connect(started)
        yield Hosts(started, folder / "shared")
    finally:
        for host in started:
            host.end()
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path, name: str, address: str, kept: Sequence[Path]) -> Host:
    script = FIRST.format(
        folder=folder,
        kept=" ".join(str(path) for path in kept),
        shared=SHARED,
        python=Path(sys.base_prefix) / "bin",
        name=name,
        sshd=program("sshd"),
    )
    own = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen(
        ["unshare", *own, "bash", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    if said != "ready\n":
        process.kill()
        pytest.fail(f"host {name} did not start: {said}{process.stdout.read()}")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return Host(name, address, process, int(children[0]))


def _connect(started: Sequence[Host]) -> None:
    """A bridge in the first host, and a link from it to each of the others."""
    first = started[0]
    enter(first.pid, "ip", "link", "add", "bridge", "type", "bridge")
    enter(first.pid, "ip", "addr", "add", f"{first.address}/24", "dev", "bridge")
    enter(first.pid, "ip", "link", "set", "bridge", "up")
    for host in started[1:]:
        ends = ["type", "veth", "peer", "name", "eth0", "netns", str(host.pid)]
        enter(first.pid, "ip", "link", "add", f"to-{host.name}", *ends)
        enter(first.pid, "ip", "link", "set", f"to-{host.name}", "master", "bridge", "up")
        enter(host.pid, "ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
        enter(host.pid, "ip", "link", "set", "eth0", "up")
        # Leads nowhere: programs look up by which address they would go out.
        enter(host.pid, "ip", "route", "add", "default", "via", first.address)
    time.sleep(0.5)
