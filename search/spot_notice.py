"""Tells Ray that this spot machine is about to be taken away, once its cloud says so: ``python -m search.spot_notice``.

It runs beside a machine's Ray, asks the cloud's metadata service every two seconds and, when there is a notice, calls
``ray drain-node``: trials end their epoch and go on elsewhere (`search.drain`). It ends then, or with the
machine's Ray.

AWS: ``spot/instance-action`` by IMDSv2 [docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices].
Google Cloud: ``instance/preempted`` [cloud.google.com/compute/docs/instances/create-use-spot].
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from analysis.errors import WrongInput
from search.session import loaded

__all__ = ["Aws", "Google", "drained", "watch"]

LOOK_SECONDS = 2.0
"""AWS gives notice 120 s before, Google 30 s; a look asks this machine alone."""
ALIVE_SECONDS = 60.0
"""Between two looks whether this machine's Ray is still there."""
SILENT = 5
"""So many such looks in a row that no head answers, and it has ended: one may be busy, or begin again."""
JOIN_SECONDS = 60.0
ANSWER_SECONDS = 5.0
TOKEN_SECONDS = 21_600
"""The longest that AWS gives a token for."""
GOOGLE_SECONDS = 30.0
"""Google stops a machine so long after its notice."""

DRAIN_SHARE = 1 / 3
"""Of the seconds left: Ray's command takes a few; one that a head keeps waiting is given up and begun again."""
DRAIN_LEAST = 5.0
UNCLEAR = (OSError, HTTPException, ValueError, KeyError, TypeError)
"""What an answer that is none, or is no notice, raises."""

Look = Callable[[], float | None]
"""Seconds until this machine is taken away, None where nobody has said so."""


class Aws:
    """AWS's notice of a spot instance's end."""

    def __init__(self) -> None:
        endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
        self.endpoint = endpoint.rstrip("/")
        self._token = ""

    def __call__(self) -> float | None:
        """Seconds left; a hibernation or stop takes the machine away as an end does. Raises one of `UNCLEAR`."""
        if not self._token:
            asked = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            self._token = _said(Request(f"{self.endpoint}/latest/api/token", headers=asked, method="PUT"))
        shown = {"X-aws-ec2-metadata-token": self._token}
        try:
            said = json.loads(_said(Request(f"{self.endpoint}/latest/meta-data/spot/instance-action", headers=shown)))
        except HTTPError as error:
            if error.code == 401:  # the token has grown old
                self._token = ""
            if error.code in {401, 404}:
                return None
            raise
        when = datetime.fromisoformat(str(said["time"]))
        return max(0.0, (when - datetime.now(UTC)).total_seconds())


class Google:
    """Google Cloud's notice of a spot machine's end."""

    def __init__(self) -> None:
        self.endpoint = f"http://{os.environ.get('GCE_METADATA_HOST') or 'metadata.google.internal'}"

    def __call__(self) -> float | None:
        """Seconds left. Raises one of `UNCLEAR`."""
        about = f"{self.endpoint}/computeMetadata/v1/instance/preempted"
        said = _said(Request(about, headers={"Metadata-Flavor": "Google"}))
        return GOOGLE_SECONDS if said.strip().upper() == "TRUE" else None


CLOUDS: dict[str, type[Aws] | type[Google]] = {"aws": Aws, "gcp": Google}


def _said(request: Request) -> str:
    # No proxy of the environment's leads to this machine's own service.
    with build_opener(ProxyHandler({})).open(request, timeout=ANSWER_SECONDS) as answer:
        return bytes(answer.read()).decode()


def watch(cloud: str, *, address: str, node: str | None = None) -> bool:
    """Wait for the cloud's notice and have Ray drain this machine; False where its Ray has ended instead.

    ``node`` is Ray's name for it, by default that of the one Ray here. Raises WrongInput where there is none or the
    metadata service does not answer.
    """
    look = CLOUDS[cloud]()
    try:
        look()
    except UNCLEAR as error:
        raise WrongInput(
            f"no metadata service of {cloud} answers at {look.endpoint}: {error} (--cloud is where this machine is)"
        ) from error
    node = node or _node_here(address)
    checked, silent = time.monotonic(), 0
    while True:
        with suppress(*UNCLEAR):  # asked again
            left = look()
            if left is not None:
                print(f"{cloud} takes this machine away in {left:.0f} s: it is drained", flush=True)  # noqa: T201
                if drained(node, address=address, seconds=left):
                    return True
        if time.monotonic() - checked > ALIVE_SECONDS:
            known = _alive(address)
            silent = 0 if known else silent + 1
            if (known and node not in known) or silent == SILENT:
                return False
            checked = time.monotonic()
        time.sleep(LOOK_SECONDS)


def drained(node: str, *, address: str, seconds: float) -> bool:
    """Have Ray put nothing more on a machine that ends in so many seconds; whether Ray has agreed."""
    command = ["drain-node", "--address", address, "--node-id", node, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    told = ["--reason-message", "spot", "--deadline-remaining-seconds", str(int(seconds))]
    program = "from ray.scripts.scripts import main; main()"
    given = max(DRAIN_LEAST, DRAIN_SHARE * seconds)
    try:
        ended = subprocess.run([sys.executable, "-c", program, *command, *told], check=False, timeout=given)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def _alive(address: str) -> dict[str, str]:
    """The address of each machine of the cluster that is there, by Ray's name for it; none where no head answers."""
    loaded(address=address)
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import gcs_pb2

    try:
        client: Any = GcsClient(address=address)
        known = client.get_all_node_info(timeout=ANSWER_SECONDS)
    except Exception:  # Ray has a kind of its own for each way of not answering
        return {}
    return {
        node_id.hex(): node.node_manager_address
        for node_id, node in known.items()
        if node.state == gcs_pb2.GcsNodeInfo.ALIVE  # type: ignore[attr-defined]
    }


def _node_here(address: str) -> str:
    """Ray's name for this machine, which may be joining still."""
    loaded(address=address)
    from ray._private.services import get_node_ip_address

    own: str = get_node_ip_address(address)  # type: ignore[no-untyped-call]
    until = time.monotonic() + JOIN_SECONDS
    while not (found := [node for node, where in _alive(address).items() if where == own]):
        if time.monotonic() > until:
            raise WrongInput(f"no Ray of the cluster at {address} runs on {own}: start it first (--address)")
        time.sleep(1.0)
    if len(found) > 1:
        raise WrongInput(
            f"{len(found)} Rays of {address} run on {own}: say which with --node, one of {', '.join(found)}"
        )
    return found[0]


def main() -> int:
    """Watch, as a program; 0 once the machine is drained or its Ray has ended, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m search.spot_notice", description=__doc__)
    parser.add_argument("--cloud", required=True, choices=sorted(CLOUDS), help="whose machine this is")
    parser.add_argument("--address", required=True, help="the head, HOST:PORT")
    parser.add_argument("--node", help="Ray's name for this machine, where it has more than one")
    given = parser.parse_args()
    try:
        watch(given.cloud, address=given.address, node=given.node)
    except WrongInput as error:
        print(f"prunefront: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
