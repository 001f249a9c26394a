"""What all workers of a machine begin with crosses the network once for that machine."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.errors import WrongInput
from tests import s3
from trial.data.cache import cache_folder, decoded_once
from trial.data.source import Decoded
from trial.near import read_once
from trial.store import Product, Store

NETWORK = Product({"weight": torch.arange(1000.0)}, record={"curve": []})
MACHINES = 2
WORKERS = 4


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Be on a machine of that name, its disk empty at first."""

    def on(name: str) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    on("first")
    return on


def at_once(work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.needs("s3")
def test_from_an_object_store_a_shared_network_comes_once_for_each_machine(
    bucket: Path, s3_server: s3.Server, machine: Callable[[str], None]
) -> None:
    def fetched(key: str, since: int) -> int:
        requests = s3_server.proxy.requests[since:]
        return sum(method == "GET" and key in path and "tensors" in path for method, path in requests)

    def read(key: str, kind: str) -> None:
        def never() -> Product:
            raise AssertionError("it is stored")

        found, made = Store.of(bucket).get_or_make(key, never, kind=kind)  # a worker of its own
        assert not made
        assert torch.equal(found.tensors["weight"], NETWORK.tensors["weight"])

    for key, kind in (("d" * 64, "dense"), ("c" * 64, "cut")):
        Store.of(bucket).get_or_make(key, lambda: NETWORK, kind=kind)
    for name in ("second", "third"):
        machine(name)
        since = len(s3_server.proxy.requests)
        at_once(lambda: read("d" * 64, "dense"))
        at_once(lambda: read("d" * 64, "dense"))
        assert fetched("d" * 64, since) == 1
        # What is one trial's own is not kept on the machine.
        at_once(lambda: read("c" * 64, "cut"))
        assert fetched("c" * 64, since) == WORKERS
    # A copy that was damaged is fetched again.
    (copy,) = (path for path in (cache_folder() / "stages").iterdir() if path.suffix != ".lock")
    copy.write_bytes(b"damaged")
    since = len(s3_server.proxy.requests)
    read("d" * 64, "dense")
    read("d" * 64, "dense")
    assert fetched("d" * 64, since) == 1


def test_on_a_disk_nothing_is_copied(tmp_path: Path) -> None:
    Store.of(tmp_path / "study").get_or_make("d" * 64, lambda: NETWORK, kind="dense")
    Store.of(tmp_path / "study").get_or_make("d" * 64, lambda: NETWORK, kind="dense")
    assert not (cache_folder() / "stages").exists()


def test_many_workers_that_start_at_once_decode_data_once(tmp_path: Path) -> None:
    decoded = []
    file = tmp_path / "file"
    file.touch()

    def decode() -> Decoded:
        time.sleep(0.05)
        decoded.append(1)
        return Decoded(np.zeros((2, 3, 4, 4), np.uint8), np.arange(2, dtype=np.int64), ("a", "b"))

    at_once(lambda: decoded_once([file], decode, name="made-up", part="train"))
    assert len(decoded) == 1


def test_without_a_disk_to_keep_it_on_it_is_fetched_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    fetched = []

    def fetch() -> bytes:
        fetched.append(1)
        return b"data"

    for _ in range(2):
        assert read_once("a" * 64, fetch=fetch, is_whole=lambda data: data == b"data") == b"data"
    assert len(fetched) == 2


def test_what_was_fetched_and_is_not_whole_is_not_kept() -> None:
    answers = iter([b"cut", b"data"])
    for given in (b"cut", b"data", b"data"):
        assert read_once("a" * 64, fetch=lambda: next(answers), is_whole=lambda data: data == b"data") == given


def test_copies_have_a_limit_and_go_in_order_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trial.near.MOST_BYTES", 20)
    fetched = []

    def ask(name: str) -> None:
        read_once(name, fetch=lambda: fetched.append(name) or bytes(10), is_whole=lambda data: len(data) == 10)  # type: ignore[func-returns-value]

    for age, name in enumerate("abac"):
        ask(name)
        os.utime(cache_folder() / "stages" / name, (age, age))
    assert fetched == ["a", "b", "c"]
    ask("a")
    assert fetched == ["a", "b", "c"]
    ask("b")
    assert fetched == ["a", "b", "c", "b"]


def test_a_copy_whose_date_cannot_be_set_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def ask() -> bytes:
        return read_once("b" * 64, fetch=lambda: fetched.append(1) or b"data", is_whole=lambda data: data == b"data")  # type: ignore[func-returns-value]

    def not_ours(*_: object) -> None:
        raise PermissionError

    ask()
    monkeypatch.setattr("trial.near.os.utime", not_ours)
    assert ask() == b"data"
    assert len(fetched) == 1


def test_who_has_no_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(WrongInput, match="has no home folder, and HOME is not set: set it, or XDG_CACHE_HOME"):
        cache_folder()
