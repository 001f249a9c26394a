"""Who makes a stage, in a cluster: an actor without CPUs holds the claims, as leases that their holders renew.

On one machine file locks do this, and the system takes them back from the dead; a cluster has no such system. A lease
that nobody renews is given to the next who asks. Whoever comes back after that makes a stage that another makes too,
which is harmless: what is stored is equal.
"""

from __future__ import annotations

import asyncio
import errno
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from analysis.errors import WorkFailed
from analysis.object_path import ObjectPath
from trial.claims import CLAIMS, FileClaims
from trial.manifest import STAGES

__all__ = ["LOST_SECONDS", "ClaimsActor", "RayClaims"]

LOST_SECONDS = 10.0
"""A lease ends so long after its last renewal: a stage, of seconds to hours, waits little longer for a dead maker than
Ray takes to start another worker, and a living one may be silent while it loads torch on a busy machine."""
RENEWALS = 5
"""So many in the time of a lease, one each two seconds: 500 workers make 250 small calls a second, which is a fraction
of what one actor answers, and four may be missed in a row."""
ASK_SECONDS = 5.0
"""One call waits in the actor for so long: shorter than a lease, so that a waiter who died is soon forgotten."""
CALLS = 10_000
"""Calls that the actor holds at once, nearly all of them waiting."""
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class ClaimsActor:
    """Holds leases on keys. All its calls may be repeated: the same lease is granted, renewed or ended once.

    ``restarted`` says that an earlier one died and took its memory along: nothing is granted until every holder that
    is alive has renewed.
    """

    def __init__(self, *, restarted: bool | None = None, lost: float = LOST_SECONDS) -> None:
        if restarted is None:
            restarted = ray.get_runtime_context().was_current_actor_reconstructed
        self._lost = lost
        self._grants_from = time.monotonic() + (lost if restarted else 0.0)
        self._held: dict[str, tuple[str, float]] = {}
        self._freed: dict[str, asyncio.Event] = {}

    async def claim(self, key: str, lease: str, *, wait: float = ASK_SECONDS) -> bool:
        """Grant a key's lease, at once or when it is free within ``wait`` seconds; False where it was not."""
        give_up = time.monotonic() + wait
        while True:
            now = time.monotonic()
            holder, until = self._held.get(key, (lease, now))
            if holder == lease:
                until = now
            until = max(until, self._grants_from)
            if until <= now:
                self._held[key] = (lease, now + self._lost)
                return True
            if now >= give_up:
                return False
            freed = self._freed.setdefault(key, asyncio.Event())
            with suppress(TimeoutError):
                await asyncio.wait_for(freed.wait(), min(until, give_up) - now)

    async def renew(self, key: str, lease: str) -> bool:
        """Keep a lease, or take it again after this actor lost its memory; False where another one has the key."""
        now = time.monotonic()
        holder, until = self._held.get(key, (lease, now))
        if holder != lease and until > now:
            return False
        self._held[key] = (lease, now + self._lost)
        return True

    async def release(self, key: str, lease: str) -> None:
        """End a lease, and wake who waits for the key."""
        if self._held.get(key, ("", 0.0))[0] == lease:
            del self._held[key]
        if key in self._freed:
            self._freed.pop(key).set()


class RayClaims:
    """Claims of the workers of a cluster; travels to them in a pickle. Ends with the driver that made it.

    A share of the study's store is a file lock as on one machine: a driver who is alive keeps others from removing
    stages, whatever machine they ask on, and the lock keeps them off a worker who outlived his driver.
    """

    def __init__(self, study: Path, *, lost: float = LOST_SECONDS) -> None:
        self._folder = study / STAGES / CLAIMS
        self._lost = lost
        # Beside the driver, whose end is theirs too: no other machine's loss ends the claims. A soft affinity is none:
        # Ray hands an actor without CPUs to any node, which keeps it.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        made: Any = ray.remote(ClaimsActor)
        self._actor: Any = made.options(
            num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=CALLS, scheduling_strategy=here
        ).remote(lost=lost)

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Wait for the key's lease and renew it inside the block.

        Raises WorkFailed where the actor is gone for good, and the search with it: that is no trial's failure.
        """
        lease = uuid.uuid4().hex
        try:
            while not ray.get(self._actor.claim.remote(key, lease)):
                pass
        except RayError as error:
            raise WorkFailed(f"the cluster's claims are gone: {' '.join(str(error).split())[:300]}") from error
        over, ordered = threading.Event(), threading.Lock()

        def renew() -> None:
            while not over.wait(self._lost / RENEWALS):
                with ordered:
                    if over.is_set():
                        return
                    renewed = self._actor.renew.remote(key, lease)
                # Where the actor is being restarted the call waits for it.
                with suppress(RayError):
                    ray.get(renewed, timeout=self._lost)

        # A thread for each claim: stages take seconds, and what a thread knows ends with it.
        threading.Thread(target=renew, name=f"renew {key[:16]}", daemon=True).start()
        try:
            yield
        finally:
            # After the last renewal, which would take the key again.
            with ordered:
                over.set()
                with suppress(RayError):
                    self._actor.release.remote(key, lease)

    def use(self) -> object:
        """Hold a share of the store's lock for as long as what is returned lives; nothing where there are no locks."""
        if isinstance(self._folder, ObjectPath):
            return None
        try:
            return FileClaims(self._folder).use()
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return None
