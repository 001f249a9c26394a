"""Crowds of real processes at one store: what is made how often, who is killed, who waits for whom."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from trial.claims import CLAIMS, IN_USE, FileClaims, InUse
from trial.manifest import MANIFEST, TENSORS
from trial.store import Product, Store

# A fork has torch loaded already; these children touch tensors of a few numbers, which start no threads.
FORK = multiprocessing.get_context("fork")
PATIENCE = 60.0


def opened(folder: Path) -> Store:
    return Store(folder, FileClaims(folder / CLAIMS))


def product(number: int) -> Product:
    return Product({"weight": torch.full((number + 1,), float(number))}, record={"number": number})


def assert_is(found: Product, number: int) -> None:
    assert found.record == {"number": number}
    assert found.tensors["weight"].tolist() == [float(number)] * (number + 1)


def orders(keys: int, *, seed: int) -> list[int]:
    return random.Random(seed).sample(range(keys), keys)


@pytest.fixture
def started() -> Iterator[Callable[..., BaseProcess]]:
    """Start children; whatever is left of them is killed."""
    children: list[BaseProcess] = []

    def start(target: Callable[..., None], *given: object) -> BaseProcess:
        child = FORK.Process(target=target, args=given)
        child.start()
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.join(PATIENCE)


def _asks(folder: Path, makes: Path, keys: int, seed: int, seconds: float) -> None:
    store = opened(folder)

    def make(number: int) -> Product:
        time.sleep(seconds)
        # One short write at the end of the file: whole, whoever else writes.
        with makes.open("a") as log:
            log.write(f"{number}\n")
        return product(number)

    for number in orders(keys, seed=seed):
        found, _ = store.get_or_make(f"key{number}", lambda number=number: make(number), kind="made")
        assert_is(found, number)


def test_32_processes_asking_for_60_keys_make_60(tmp_path: Path, started: Callable[..., BaseProcess]) -> None:
    makes = tmp_path / "makes"
    crowd = [started(_asks, tmp_path / "stages", makes, 60, seed, 0.01) for seed in range(32)]
    for child in crowd:
        child.join(PATIENCE)
    assert [child.exitcode for child in crowd] == [0] * 32
    assert sorted(int(line) for line in makes.read_text().split()) == list(range(60))


def _asks_in_turn(folder: Path, makes: Path, keys: int, seed: int) -> None:
    store = opened(folder)

    def get(number: int) -> int:
        found, _ = store.get_or_make(f"key{number}", lambda: make(number))
        assert_is(found, number)
        return number

    def make(number: int) -> Product:
        below = get(number - 1) + 1 if number else 0
        with makes.open("a") as log:
            log.write(f"{number}\n")
        return product(below)

    for number in orders(keys, seed=seed):
        get(number)


def test_a_make_that_asks_for_other_keys_waits_for_nobody_in_a_ring(
    tmp_path: Path, started: Callable[..., BaseProcess]
) -> None:
    makes = tmp_path / "makes"
    crowd = [started(_asks_in_turn, tmp_path / "stages", makes, 12, seed) for seed in range(8)]
    for child in crowd:
        child.join(PATIENCE)
    assert [child.exitcode for child in crowd] == [0] * 8
    assert sorted(int(line) for line in makes.read_text().split()) == list(range(12))


def test_a_make_that_asks_for_its_own_key_fails_instead_of_waiting_for_ever(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(AssertionError, match="stage key asks for itself"):
        store.get_or_make("key", lambda: store.get_or_make("key", lambda: product(0))[0])
    assert_is(store.get_or_make("key", lambda: product(1))[0], 1)


def test_whoever_is_killed_at_any_moment_the_others_make_the_rest(
    tmp_path: Path, started: Callable[..., BaseProcess]
) -> None:
    folder, makes, keys, killed = tmp_path / "stages", tmp_path / "makes", 40, 6
    crowd = [started(_asks, folder, makes, keys, seed, 0.02) for seed in range(4 + killed)]
    chance = random.Random(1)
    for victim in crowd[:killed]:
        time.sleep(chance.uniform(0.01, 0.08))
        victim.kill()
    for child in crowd[killed:]:
        child.join(PATIENCE)
    assert [child.exitcode for child in crowd[killed:]] == [0] * 4
    finished = [int(line) for line in makes.read_text().split()]
    assert set(finished) == set(range(keys))
    assert keys <= len(finished) <= keys + killed
    for number in range(keys):
        assert sorted(file.name for file in (folder / f"key{number}").iterdir()) == [MANIFEST, TENSORS]
        assert_is(opened(folder).get_or_make(f"key{number}", lambda: product(-1))[0], number)


def _has_it_open(folder: Path, there: Path) -> None:
    store = opened(folder)
    there.touch()
    time.sleep(PATIENCE)
    store.get_or_make("key", lambda: product(0))


def test_a_store_is_not_had_alone_while_another_process_lives_that_has_it_open(
    tmp_path: Path, started: Callable[..., BaseProcess]
) -> None:
    claims = FileClaims(tmp_path / CLAIMS)
    users = [started(_has_it_open, tmp_path, tmp_path / f"there{number}") for number in range(2)]
    _wait_for(lambda: all((tmp_path / f"there{number}").exists() for number in range(2)))
    for user in users:
        with pytest.raises(InUse), claims.alone():
            pass
        os.kill(user.pid or 0, signal.SIGKILL)
        user.join(PATIENCE)
    with claims.alone():
        pass


def _opens(folder: Path, opened_it: Path) -> None:
    opened(folder)
    opened_it.touch()


def test_who_opens_a_store_that_another_has_alone_waits(tmp_path: Path, started: Callable[..., BaseProcess]) -> None:
    with FileClaims(tmp_path / CLAIMS).alone():
        child = started(_opens, tmp_path, tmp_path / "opened")
        time.sleep(0.2)
        assert not (tmp_path / "opened").exists()
    child.join(PATIENCE)
    assert (tmp_path / "opened").exists()


def test_a_store_is_let_go_with_its_last_reference(tmp_path: Path) -> None:
    claims = FileClaims(tmp_path / CLAIMS)
    store = opened(tmp_path)
    with pytest.raises(InUse), claims.alone():
        pass
    del store
    with claims.alone():
        pass


def test_locks_of_keys_are_forgotten_and_the_stores_own_is_not(tmp_path: Path) -> None:
    claims = FileClaims(tmp_path / CLAIMS)
    with claims.claim("key"):
        pass
    with claims.alone():
        claims.forget()
    assert [file.name for file in (tmp_path / CLAIMS).iterdir()] == [IN_USE]


def _wait_for(claim: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.01)
