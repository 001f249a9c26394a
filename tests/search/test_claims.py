"""The claims of a cluster: the actor's rules alone, and among processes of a real Ray, some of them killed."""

import asyncio
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import ray

from analysis.errors import WorkFailed
from search.claims import ClaimsActor, RayClaims
from search.session import session
from trial.claims import CLAIMS, FileClaims, InUse
from trial.manifest import STAGES

PROCESSES = 4
LOST = 3.0
PATIENCE = 60.0


def played(play: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(play, PATIENCE))


def test_a_key_is_one_leases_until_it_is_released_and_then_goes_to_who_waited() -> None:
    async def play() -> None:
        actor = ClaimsActor(restarted=False)
        assert await actor.claim("key", "first")
        assert await actor.claim("key", "first")
        assert await actor.claim("other", "second", wait=0)
        assert not await actor.claim("key", "second", wait=0)
        assert not await actor.renew("key", "second")
        await actor.release("key", "second")
        assert not await actor.claim("key", "second", wait=0)
        waiting = [asyncio.create_task(actor.claim("key", lease, wait=PATIENCE)) for lease in ("second", "third")]
        await asyncio.sleep(0)
        await actor.release("key", "first")
        assert await waiting[0]
        assert not waiting[1].done()
        await actor.release("key", "second")
        assert await waiting[1]
        await actor.release("key", "third")
        await actor.release("key", "third")
        assert await actor.claim("key", "fourth", wait=0)

    played(play())


def test_a_lease_that_is_not_renewed_ends_and_one_that_is_does_not() -> None:
    async def play() -> None:
        actor = ClaimsActor(restarted=False, lost=0.2)
        assert await actor.claim("dead", "first")
        assert await actor.claim("living", "second")
        waiting = asyncio.create_task(actor.claim("dead", "third", wait=PATIENCE))
        while not waiting.done():
            assert await actor.renew("living", "second")
            await asyncio.sleep(0.01)
        assert await waiting
        assert not await actor.renew("dead", "first")
        assert not await actor.claim("living", "third", wait=0)

    played(play())


def test_an_actor_that_lost_its_memory_grants_nothing_before_the_living_have_renewed() -> None:
    async def play() -> None:
        actor = ClaimsActor(restarted=True, lost=0.2)
        assert not await actor.claim("held", "second", wait=0)
        assert await actor.renew("held", "first")
        assert not await actor.claim("free", "second", wait=0)
        waiting = asyncio.create_task(actor.claim("free", "second", wait=PATIENCE))
        while not waiting.done():
            assert await actor.renew("held", "first")
            await asyncio.sleep(0.01)
        assert not await actor.claim("held", "second", wait=0)

    played(play())


def test_thousands_wait_for_one_key_and_each_has_it_once() -> None:
    async def play() -> None:
        actor, had = ClaimsActor(restarted=False), []

        async def ask(lease: str) -> None:
            assert await actor.claim("key", lease, wait=PATIENCE)
            had.append(lease)
            await actor.release("key", lease)

        leases = [str(number) for number in range(1000)]
        await asyncio.gather(*map(ask, leases))
        assert sorted(had) == sorted(leases)

    played(play())


class Holder:
    """A process that holds claims."""

    def __init__(self) -> None:
        self._held: dict[str, ExitStack] = defaultdict(ExitStack)

    def hold(self, claims: RayClaims, key: str) -> int:
        self._held[key].enter_context(claims.claim(key))
        return os.getpid()

    def let_go(self, key: str) -> None:
        self._held.pop(key).close()

    def ask_for_all(self, claims: RayClaims, log: Path, keys: int, seed: int) -> None:
        """Hold one key after another, and write to the log when each begins and ends to be held."""
        for number in random.Random(seed).sample(range(keys), keys):
            with claims.claim(f"key{number}"):
                _write(log, f"{number} begins\n")
                time.sleep(0.002)
                _write(log, f"{number} ends\n")


def _write(log: Path, line: str) -> None:
    # One short write at the end of the file: whole, whoever else writes.
    with log.open("a") as file:
        file.write(line)


@pytest.fixture(scope="module")
def holders() -> Iterator[list[Any]]:
    """Processes of one small Ray for all tests here."""
    paths = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    try:
        with session(workers=1):
            made = [ray.remote(num_cpus=0)(Holder).remote() for _ in range(PROCESSES)]
            yield made
    finally:
        if paths is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = paths


def asked_once(claims: RayClaims, key: str) -> bool:
    """Whether the key is free now; it is given back."""
    free = bool(ray.get(claims._actor.claim.remote(key, "asked once", wait=0)))
    ray.get(claims._actor.release.remote(key, "asked once"))
    return free


def pid_of(claims: RayClaims) -> int:
    return int(ray.get(claims._actor.__ray_call__.remote(lambda _: os.getpid())))


def test_processes_that_ask_for_many_keys_hold_each_alone(holders: list[Any], tmp_path: Path) -> None:
    claims, log, keys = RayClaims(tmp_path), tmp_path / "log", 60
    ray.get([holder.ask_for_all.remote(claims, log, keys, seed) for seed, holder in enumerate(holders)])
    said = defaultdict(list)
    for line in log.read_text().splitlines():
        number, what = line.split()
        said[int(number)].append(what)
    assert said == {number: ["begins", "ends"] * PROCESSES for number in range(keys)}


def test_a_killed_holders_claim_ends_and_a_living_ones_does_not(holders: list[Any], tmp_path: Path) -> None:
    claims = RayClaims(tmp_path, lost=LOST)
    victim = ray.remote(num_cpus=0)(Holder).remote()
    ray.get(holders[0].hold.remote(claims, "living"))
    pid = ray.get(victim.hold.remote(claims, "dead"))
    assert not asked_once(claims, "dead")
    os.kill(pid, signal.SIGKILL)
    # By now the lease of the living, which is as old, would have ended too.
    with claims.claim("dead"):
        assert not asked_once(claims, "living")
    ray.get(holders[0].let_go.remote("living"))
    with claims.claim("living"), claims.claim("dead"):
        pass


@pytest.mark.parametrize("how", ["SIGKILL", "ray.kill"])
def test_claims_outlive_the_actor_that_holds_them(holders: list[Any], tmp_path: Path, how: str) -> None:
    claims = RayClaims(tmp_path, lost=LOST)
    ray.get(holders[0].hold.remote(claims, "held"))
    before = pid_of(claims)
    if how == "SIGKILL":
        os.kill(before, signal.SIGKILL)
    else:
        ray.kill(claims._actor, no_restart=False)
    waiting = holders[1].hold.remote(claims, "held")
    # Granted when those who are alive have renewed.
    with claims.claim("free"):
        assert pid_of(claims) != before
        assert not asked_once(claims, "held")
        assert ray.wait([waiting], timeout=0) == ([], [waiting])
    ray.get(holders[0].let_go.remote("held"))
    ray.get(waiting, timeout=PATIENCE)
    ray.get(holders[1].let_go.remote("held"))


def test_claims_that_are_gone_for_good_are_the_searchs_failure_and_no_trials(
    holders: list[Any],  # noqa: ARG001
    tmp_path: Path,
) -> None:
    claims = RayClaims(tmp_path)
    ray.kill(claims._actor, no_restart=True)
    with pytest.raises(WorkFailed, match=r"^the cluster's claims are gone: "), claims.claim("key"):
        pass


def test_a_store_in_use_by_a_cluster_is_had_alone_by_nobody(
    holders: list[Any],  # noqa: ARG001
    tmp_path: Path,
) -> None:
    share = RayClaims(tmp_path).use()
    files = FileClaims(tmp_path / STAGES / CLAIMS)
    with pytest.raises(InUse), files.alone():
        pass
    del share
    with files.alone():
        pass
