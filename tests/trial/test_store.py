import hashlib
import json
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from methods.core.mask import Mask
from trial import store as store_module
from trial.store import MANIFEST, TENSORS, FileClaims, Product, Store, StoreDamaged, write_durably

# A fork has torch loaded already; these children touch tensors of a few numbers, which start no threads.
FORK = multiprocessing.get_context("fork")
PATIENCE = 30.0


def opened(folder: Path) -> Store:
    return Store(folder, FileClaims(folder / "claims"))


def product(number: float = 1.0, *, kept: bool = True) -> Product:
    tensors = {"weight": torch.tensor([[number, -2.0]]), "steps": torch.tensor(3)}
    return Product(tensors, Mask({"weight": torch.tensor([[True, kept]])}), {"epochs": 2, "accuracy": 0.75})


def assert_equal(one: Product, other: Product) -> None:
    assert one.content() == other.content()
    assert one.record == other.record
    assert {name: (t.dtype, t.tolist()) for name, t in one.tensors.items()} == {
        name: (t.dtype, t.tolist()) for name, t in other.tensors.items()
    }
    assert {name: kept.tolist() for name, kept in one.mask.keep.items()} == {
        name: kept.tolist() for name, kept in other.mask.keep.items()
    }


def never() -> Product:
    raise AssertionError("made again")


def test_a_stage_is_made_once_and_read_back(tmp_path: Path) -> None:
    made, was_made = opened(tmp_path).get_or_make("key", product)
    again, made_again = opened(tmp_path).get_or_make("key", never)
    assert (was_made, made_again) == (True, False)
    assert_equal(made, product())
    assert_equal(again, product())


def test_keys_are_apart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for number in range(3):
        store.get_or_make(f"key{number}", lambda number=number: product(number))
    for number in range(3):
        assert_equal(store.get_or_make(f"key{number}", never)[0], product(number))


def test_what_a_maker_returns_is_what_was_read_back(tmp_path: Path) -> None:
    """A tensor that shares memory with a larger one is stored alone."""
    large = torch.arange(12.0).view(3, 4)
    made, _ = opened(tmp_path).get_or_make("key", lambda: Product({"view": large[:, 1:2].T}))
    assert made.tensors["view"].tolist() == [[1.0, 5.0, 9.0]]


def test_a_maker_that_raises_stores_nothing_and_frees_the_key(tmp_path: Path) -> None:
    def fail() -> Product:
        raise ArithmeticError("diverged")

    store = opened(tmp_path)
    for _ in range(2):
        with pytest.raises(ArithmeticError, match="diverged"):
            store.get_or_make("key", fail)
    assert not list(tmp_path.rglob(MANIFEST))
    assert store.get_or_make("key", product)[1]


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


def _hang(there: Path) -> None:
    there.touch()
    time.sleep(PATIENCE * 2)


def _hang_while_making(folder: Path, there: Path) -> None:
    opened(folder).get_or_make("key", lambda: (_hang(there), product())[1])


def _hang_while_writing_tensors(folder: Path, there: Path) -> None:
    store_module.os.fsync = lambda _: _hang(there)
    opened(folder).get_or_make("key", product)


def _hang_before_the_manifest(folder: Path, there: Path) -> None:
    whole = store_module.write_durably
    store_module.write_durably = lambda path, data: _hang(there) if path.name == MANIFEST else whole(path, data)
    opened(folder).get_or_make("key", product)


@pytest.mark.parametrize("hang", [_hang_while_making, _hang_while_writing_tensors, _hang_before_the_manifest])
def test_a_killed_maker_leaves_no_stage_and_blocks_nobody(
    tmp_path: Path, started: Callable[..., BaseProcess], hang: Callable[[Path, Path], None]
) -> None:
    there, folder = tmp_path / "there", tmp_path / "stages"
    maker = started(hang, folder, there)
    _wait_for(there.exists)
    waiting = started(_waits, folder, tmp_path / "waited")
    time.sleep(0.1)
    assert not (tmp_path / "waited").exists(), "the claim was not held"
    os.kill(maker.pid or 0, signal.SIGKILL)
    killed = time.monotonic()
    waiting.join(PATIENCE)
    assert waiting.exitcode == 0
    assert time.monotonic() - killed < 5
    assert (tmp_path / "waited").read_text() == "True"
    assert sorted(file.name for file in (folder / "key").iterdir()) == [MANIFEST, TENSORS], "leftovers of the dead"
    assert_equal(opened(folder).get_or_make("key", never)[0], product())


def _waits(folder: Path, waited: Path) -> None:
    with warnings.catch_warnings():
        # Tensors without a manifest are no stage, and no damage either.
        warnings.simplefilter("error", StoreDamaged)
        _, was_made = opened(folder).get_or_make("key", product)
    waited.write_text(str(was_made))


def _wait_for(claim: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.01)


def _damage(file: Path, change: Callable[[bytes], bytes]) -> None:
    before = file.read_bytes()
    file.write_bytes(change(before))
    assert file.read_bytes() != before


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: bytes(byte ^ (1 << at % 8) if place == at // 8 else byte for place, byte in enumerate(data))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (TENSORS, lambda data: data[:-1]),
        (TENSORS, lambda _: b""),
        (TENSORS, flip(3)),
        (TENSORS, lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        (MANIFEST, lambda data: data[: len(data) // 2]),
        (MANIFEST, lambda _: b""),
        (MANIFEST, lambda _: b"[]"),
        (MANIFEST, lambda _: b"null"),
        (MANIFEST, lambda _: b"\xff\xfe"),
        (MANIFEST, lambda data: json.dumps({**json.loads(data), "sha256": "0" * 64}).encode()),
        (MANIFEST, lambda data: data.replace(b"0.75", b"0.95")),
        (MANIFEST, lambda data: json.dumps({"sha256": json.loads(data)["sha256"]}).encode()),
    ],
)
def test_damage_is_seen_and_the_stage_made_again(tmp_path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    store = opened(tmp_path)
    store.get_or_make("key", product)
    _damage(tmp_path / "key" / name, change)
    with pytest.warns(StoreDamaged, match="stage key is damaged"):
        again, was_made = store.get_or_make("key", product)
    assert was_made
    assert_equal(again, product())
    with warnings.catch_warnings():
        warnings.simplefilter("error", StoreDamaged)
        assert_equal(store.get_or_make("key", never)[0], product())


def test_no_single_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    """An accuracy in the manifest was once under no checksum."""
    store = opened(tmp_path)
    store.get_or_make("key", product)
    for name in (TENSORS, MANIFEST):
        file = tmp_path / "key" / name
        whole = file.read_bytes()
        for at in range(0, 8 * len(whole), 29):
            file.write_bytes(flip(at)(whole))
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found, was_made = store.get_or_make("key", product)
            assert_equal(found, product())
            assert was_made == bool(said), f"bit {at} of {name}"
            file.write_bytes(whole)


def test_tensors_that_are_gone_are_made_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.get_or_make("key", product)
    (tmp_path / "key" / TENSORS).unlink()
    assert store.get_or_make("key", product)[1]


def test_equal_networks_have_equal_content() -> None:
    tensors = {"b": torch.tensor([3.0]), "a": torch.tensor([1.0, 2.0])}
    content = Product(tensors).content()
    assert content == Product(dict(reversed(tensors.items()))).content()
    assert content == Product(tensors, record={"epochs": 3}).content(), "the record is no part of the network"
    strided = torch.tensor([[1.0, 9.0], [2.0, 9.0]])[:, 0]
    assert content == Product(tensors | {"a": strided}).content()


@pytest.mark.parametrize(
    "other",
    [
        Product({"a": torch.tensor([1.0, 2.0000002])}),
        Product({"a": torch.tensor([2.0, 1.0])}),
        Product({"a": torch.tensor([[1.0, 2.0]])}),
        Product({"a": torch.tensor([1.0, 2.0], dtype=torch.float64)}),
        Product({"c": torch.tensor([1.0, 2.0])}),
        Product({"a": torch.tensor([1.0, 2.0])}, Mask({"a": torch.tensor([True, True])})),
    ],
)
def test_any_change_of_a_network_changes_its_content(other: Product) -> None:
    assert other.content() != Product({"a": torch.tensor([1.0, 2.0])}).content()


def test_a_record_is_returned_as_it_will_be_read(tmp_path: Path) -> None:
    store = opened(tmp_path)
    made = store.get_or_make("key", lambda: Product({}, record={"shape": (1, 2), "by place": {10: "a", 9: "b"}}))[0]
    assert made.record == {"shape": [1, 2], "by place": {"10": "a", "9": "b"}}
    assert store.get_or_make("key", never)[0].record == made.record


def test_a_stage_of_an_older_version_without_a_kind_is_read_and_checked(tmp_path: Path) -> None:
    """Manifests once said record and checksum alone, the checksum of tensors and record."""
    store = opened(tmp_path)
    store.get_or_make("key", product)
    tensors, manifest = (tmp_path / "key" / name for name in (TENSORS, MANIFEST))
    record = product().record
    summed = hashlib.sha256(tensors.read_bytes() + json.dumps(record, sort_keys=True).encode()).hexdigest()
    manifest.write_text(json.dumps({"sha256": summed, "record": record}))
    with warnings.catch_warnings():
        warnings.simplefilter("error", StoreDamaged)
        assert_equal(store.get_or_make("key", never)[0], product())
    _damage(manifest, lambda data: data.replace(b"0.75", b"0.95"))
    with pytest.warns(StoreDamaged):
        assert store.get_or_make("key", product)[1]


def test_a_stage_that_is_read_counts_as_used(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.get_or_make("key", product)
    os.utime(tmp_path / "key" / MANIFEST, (1e9, 1e9))
    before = time.time()
    store.get_or_make("key", never)
    assert (tmp_path / "key" / MANIFEST).stat().st_mtime >= before - 1


def test_one_bit_of_a_mask_changes_the_content() -> None:
    assert product(kept=True).content() != product(kept=False).content()


def test_bytes_are_read_back_equal() -> None:
    made = product(kept=False)
    assert_equal(Product.from_bytes(made.to_bytes(), made.record), made)


def test_write_durably_replaces_and_can_be_read_by_others(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"first", b""):
        write_durably(file, content)
        assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "file"
    write_durably(file, b"old")
    monkeypatch.setattr(store_module.os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(file, b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
