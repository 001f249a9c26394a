"""A cluster of several hosts, as docs/cluster.md has it: `ray up`, a search, a host cut off, another, `ray down`.

`make test-cluster` runs it, where it may. Each host is a network namespace (tests/search/hosts.py).
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.search import disturbed
from tests.search.hosts import ROOT, SHARED, Host, Hosts, hosts, why_not
from tests.search.three_nodes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs("hosts"), pytest.mark.timeout(2400)]
LIBRARY = Path(sys.prefix).resolve() / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
STUDY = f"{SHARED}/prunefront/study"
TO_HEAD = ["ssh", "-i", "~/.ssh/id_ed25519", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
RAY_UP = ["ray", "up", "cluster.yaml", "--yes", "--no-config-cache"]


def yours(text: str, **given: str) -> str:
    """The file with other values in lines that are marked YOURS, and nowhere else."""
    for name, value in given.items():
        text, count = re.subn(rf"(?m)^( +{name}: ).*?( # YOURS.*)$", rf"\g<1>{value}\g<2>", text)
        assert count == 1, name
    return text


def test_only_marked_lines_are_changed() -> None:
    text = (ROOT / "cluster.yaml").read_text()
    changed = yours(text, head_ip="192.0.2.1", ssh_user="me")
    assert yaml.safe_load(changed)["provider"]["head_ip"] == "192.0.2.1"
    assert sum(old != new for old, new in zip(text.splitlines(), changed.splitlines(), strict=True)) == 2


def prepare(laptop: Host, wheel: Path, *, head: Host, workers: list[Host]) -> None:
    """What a user has before the first command: a checkout with a wheel, and a token."""
    laptop.run("mkdir", "-p", "/root/checkout/dist")
    laptop.run("cp", str(ROOT / "requirements.txt"), "/root/checkout")
    laptop.run("cp", f"{SHARED}/{wheel.name}", "/root/checkout/dist")
    laptop.run("sh", "-c", "umask 077; ray get-auth-token --generate >/dev/null")
    describe(laptop, head=head, workers=workers)


def describe(laptop: Host, *, head: Host, workers: list[Host]) -> None:
    addresses = ", ".join(host.address for host in workers)
    changed = {"head_ip": head.address, "worker_ips": f"[{addresses}]", "ssh_user": "root"}
    laptop.write("/root/checkout/cluster.yaml", yours((ROOT / "cluster.yaml").read_text(), **changed))


def install(host: Host) -> None:
    """Every package of requirements.txt is there already, so that the steps of cluster.yaml need no network."""
    host.run("python3", "-m", "venv", "/root/prunefront/env")
    # Python 3.11 brings one of its own, which would hide the right one.
    host.run("/root/prunefront/env/bin/pip", "uninstall", "--quiet", "--yes", "setuptools")
    host.write(f"/root/prunefront/env/{LIBRARY.relative_to(Path(sys.prefix).resolve())}/there.pth", f"{LIBRARY}\n")
    start = "#!/root/prunefront/env/bin/python\nfrom ray.scripts.scripts import main\nmain()\n"
    host.write("/root/prunefront/env/bin/ray", start)
    host.run("chmod", "+x", "/root/prunefront/env/bin/ray")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    built = tmp_path_factory.mktemp("wheel")
    copy = built / "source"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "tests", "benchmarks", "docs", "build", "dist"))
    building = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(copy)]
    subprocess.run(building, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    kept = dict.fromkeys([Path(sys.base_prefix).resolve(), ROOT, Path(sys.prefix).resolve()])
    with hosts(["laptop", "head", "one", "two"], kept=list(kept)) as made:
        shutil.copy(wheel, made.shared)
        (made.shared / "prunefront").mkdir()
        for name in ("head", "one", "two"):
            install(made[name])
        prepare(made["laptop"], wheel, head=made["head"], workers=[made["one"], made["two"]])
        yield made


def on_laptop(cluster: Hosts, *words: str, timeout: float = 900) -> str:
    return cluster["laptop"].run("sh", "-c", 'cd /root/checkout; exec "$@"', "-", *words, timeout=timeout)


@contextmanager
def on_head(cluster: Hosts, command: str) -> Iterator["subprocess.Popen[str]"]:
    """A command that a user at the laptop runs on the head."""
    words = [*TO_HEAD, f"root@{cluster['head'].address}", f". ~/.bashrc; {command}"]
    process = subprocess.Popen(
        cluster["laptop"].command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def rows(cluster: Hosts) -> Counter[str]:
    """How many trials each host has done."""
    found = (cluster.shared / "prunefront" / "study" / "rows").glob("[!.]*.json")
    return Counter(json.loads(path.read_text())["worker"].partition(":")[0] for path in found)


def ray_processes(host: Host) -> list[str]:
    named = "ps ax -o args= | grep -E 'raylet|gcs_server|ray::' | grep -v grep || true"
    return host.run("sh", "-c", named).splitlines()


def listening(host: Host) -> set[tuple[str, int]]:
    lines = host.run("ss", "-Htln").splitlines()
    ends = [line.split()[3].rpartition(":") for line in lines]
    return {(address.strip("[]").removeprefix("::ffff:"), int(port)) for address, _, port in ends}


def test_a_search_on_three_hosts_of_which_one_is_cut_off_and_one_joins(cluster: Hosts) -> None:
    laptop, head, one, two = (cluster[name] for name in ("laptop", "head", "one", "two"))
    given = disturbed.spec() | {"workers": "auto"}  # as many as there is room for, also on who joins
    disturbed.network(cluster.shared / "prunefront", fault="")
    # Ray takes the module along to its workers, and leaves the file that says how slow it is.
    module = cluster.shared / "prunefront" / "disturbed_network.py"
    module.write_text(module.read_text().replace("Path(__file__)", f"Path({SHARED + '/prunefront/x'!r})"))
    disturbed.slow(cluster.shared / "prunefront", seconds=30.0)
    (cluster.shared / "prunefront" / "spec.yaml").write_text(yaml.safe_dump(given))

    cluster.link("two", "down")  # the head waits for it, and takes it in when it answers
    said = on_laptop(cluster, *RAY_UP)
    print(said)
    assert "Ray runtime started" in said
    for host in (laptop, head):
        assert host.run("sh", "-c", "stat -c %a ~/.ray/auth_token") == "600\n", host.name
    open_ports = listening(head)
    print(sorted(open_ports))
    assert ("127.0.0.1", 8265) in open_ports, "the dashboard is the head's own"
    assert {address for address, port in open_ports if port == 10001} <= {head.address, "127.0.0.1"}

    def has(count: int, host: Host, search: "subprocess.Popen[str]") -> Callable[[], bool]:
        return lambda: rows(cluster)[host.name] >= count or search.poll() is not None

    address = f"{head.address}:6379"
    running = (
        f"cd {SHARED}/prunefront && OMP_NUM_THREADS=1 prunefront run spec.yaml --study {STUDY} --address {address}"
    )
    with on_head(cluster, running) as search:
        wait_until(has(2, one, search), seconds=900, what="two trials on the first worker")
        cluster.link("two", "up")
        wait_until(has(1, two, search), seconds=900, what="a trial on the worker that joined")
        disturbed.slow(cluster.shared / "prunefront", seconds=1.0)
        cluster.link("one", "down")
        before = rows(cluster)
        assert search.poll() is None, search.communicate()
        out, complained = search.communicate(timeout=900)
    done = rows(cluster)
    print(before, done, out, complained)
    assert search.returncode == 0, complained
    assert "the space is used up: 18 recipes" in out
    assert done.total() == len(disturbed.RATIOS) + 1, "and the dense network"
    assert done["two"] > before["two"], "what the lost host was doing was done elsewhere"
    assert done["head"] == 0, "the head trains nothing"

    stranger = [
        *TO_HEAD,
        f"root@{head.address}",
        f". ~/.bashrc; RAY_AUTH_TOKEN=0 prunefront run demo --address {address}",
    ]
    refused = subprocess.run(laptop.command(*stranger), capture_output=True, text=True, timeout=300, check=False)
    assert refused.returncode == 2, refused.stderr
    assert "asks for its token, and the one here is another" in refused.stderr

    cluster.link("one", "up")
    print(on_laptop(cluster, "ray", "down", "cluster.yaml", "--yes"))
    for host in (head, one, two):
        wait_until(lambda host=host: not ray_processes(host), seconds=240, what=f"Ray still runs on {host.name}")  # type: ignore[misc]


def test_machines_without_namespaces_are_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not() == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert why_not() == "network namespaces and mounts are root's to make"
