"""The machines that a search may use: this one, or those of a Ray cluster, asked before and while we are part of it."""

from __future__ import annotations

import os
from typing import Any

import torch

from analysis.errors import WrongInput
from search.resources import Machine, Resources
from search.session import loaded

__all__ = ["at", "cores_here", "here", "joined", "leaving", "workers_here"]

ANSWER_SECONDS = 10.0
ATTEMPTS = 3
"""A head that is busy, starting its machines for one, lets Ray's own five seconds pass without an answer."""
GROUP = "ray.io/node-group"
"""The label of a machine that a launcher started: Ray's, or Kubernetes'."""


def cores_here() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_here(resources: Resources) -> int:
    """How many trials at once where nobody says: one per GPU, else per core up to four; or as many as find room."""
    machine = Machine("this machine", cpus=cores_here(), gpus=torch.cuda.device_count())
    if resources.cpu is None and resources.gpu is None:
        return torch.cuda.device_count() or min(4, cores_here())
    return max(1, resources.share([machine], workers=None).room(machine))


def here(resources: Resources, *, workers: int | None) -> Machine:
    """This machine, as a Ray that we start counts it.

    Where nothing is said of cores there are as many as trials at once: whoever wants more trials than cores may.
    """
    cpus = cores_here() if resources.cpu is not None else workers or workers_here(resources)
    return Machine("this machine", cpus=cpus, gpus=torch.cuda.device_count())


def at(address: str) -> list[Machine]:
    """The machines of the cluster at HOST:PORT or auto, without becoming a part of it; raises WrongInput."""
    loaded(address=address)
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import gcs_pb2

    for tried in range(1, ATTEMPTS + 1):
        try:
            client: Any = GcsClient(address=canonicalize_bootstrap_address(address))
            known = client.get_all_node_info(timeout=ANSWER_SECONDS)
            break
        except Exception as error:  # Ray has a kind of its own for each way of not answering
            if tried < ATTEMPTS:
                continue
            said = " ".join(str(error).split())[:300]
            raise WrongInput(f"the Ray cluster at {address} does not say what it has: {said} (--address)") from error
    return [
        _machine(node.node_manager_address, dict(node.resources_total), dict(node.labels))
        for node in known.values()
        if node.state == gcs_pb2.GcsNodeInfo.ALIVE  # type: ignore[attr-defined]
    ]


def joined() -> list[Machine]:
    """The machines of the Ray that this process is a part of, as they are now."""
    import ray

    going = leaving()
    return [
        _machine(
            node["NodeManagerAddress"], node["Resources"], node.get("Labels") or {}, is_leaving=node["NodeID"] in going
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def leaving() -> set[str]:
    """The machines, by Ray's name for them, that are about to be taken away, as a cloud says of spot machines."""
    from ray._private import state

    return set(state.state.get_draining_nodes())


def _machine(name: str, resources: dict[str, float], labels: dict[str, str], *, is_leaving: bool = False) -> Machine:
    return Machine(
        name,
        cpus=resources.get("CPU", 0.0),
        gpus=resources.get("GPU", 0.0),
        is_leaving=is_leaving,
        is_brought=bool(labels.get(GROUP)),
    )
