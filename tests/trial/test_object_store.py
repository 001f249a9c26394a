"""The store of stages, and rows, on an object store."""

import json
from pathlib import Path

import pytest
import torch

from analysis import object_path
from analysis.errors import WorkFailed
from tests import s3
from trial import rows
from trial.claims import CLAIMS, FileClaims, OwnClaims, claims_at
from trial.epoch_log import EpochLog
from trial.inventory import remove, stages, verified
from trial.manifest import MANIFEST, STAGES, TENSORS
from trial.store import Product, Store, StoreDamaged

KEY = "ab" * 32


def product(value: float = 1.0) -> Product:
    return Product({"weight": torch.full((200,), value)}, record={"value": value})


def test_a_stage_is_put_tensors_first_manifest_last_and_read_back_by_others(bucket: Path, s3_server: s3.Server) -> None:
    before = len(s3_server.proxy.requests)
    made, was_made = Store.of(bucket).get_or_make(KEY, product, kind="dense")
    assert was_made
    put = [path.rpartition("/")[2] for method, path in s3_server.proxy.requests[before:] if method == "PUT"]
    assert put == [TENSORS, MANIFEST]
    again, was_made = Store.of(bucket).get_or_make(KEY, pytest.fail)
    assert not was_made
    assert again.content() == made.content() == product().content()


@pytest.mark.parametrize("name", [TENSORS, MANIFEST])
def test_a_stage_whose_put_breaks_for_good_is_no_stage_and_is_made_by_the_next(
    bucket: Path, s3_server: s3.Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(object_path, "ATTEMPTS", 2)
    s3_server.proxy.fail("broken", path=name, times=100)
    with pytest.raises(OSError, match=name):
        Store.of(bucket).get_or_make(KEY, product)
    assert not (bucket / STAGES / KEY / MANIFEST).exists()
    s3_server.proxy.forgive()
    assert Store.of(bucket).get_or_make(KEY, product)[1]
    assert not Store.of(bucket).get_or_make(KEY, pytest.fail)[1]


def test_two_makers_who_do_not_see_one_another_leave_one_whole_stage(bucket: Path) -> None:
    def meanwhile() -> Product:
        assert Store.of(bucket).get_or_make(KEY, product)[1]
        return product()

    assert Store.of(bucket).get_or_make(KEY, meanwhile)[1]
    assert [stage.damage for stage in verified(bucket)] == [None]


def test_a_damaged_stage_is_made_again(bucket: Path) -> None:
    Store.of(bucket).get_or_make(KEY, product)
    (bucket / STAGES / KEY / TENSORS).write_bytes(b"other")
    assert [stage.damage for stage in verified(bucket)] == ["its checksum is wrong"]
    with pytest.warns(StoreDamaged, match="made again"):
        assert Store.of(bucket).get_or_make(KEY, product)[1]
    assert [stage.damage for stage in verified(bucket)] == [None]


def test_stages_are_listed_and_removed(bucket: Path) -> None:
    for number in range(3):
        Store.of(bucket).get_or_make(f"{number:064x}", product, kind="cut")
    (bucket / STAGES / ("f" * 64) / TENSORS).write_bytes(b"half")
    found = {stage.key[-1]: stage.kind for stage in stages(bucket)}
    assert found == {"0": "cut", "1": "cut", "2": "cut", "f": "unfinished"}
    assert len(remove(bucket, older_than=None, keep=0, now=0.0)) == 4
    assert stages(bucket) == []
    assert Store.of(bucket).get_or_make(f"{0:064x}", product)[1]


def test_locks_are_taken_where_there_are_any(bucket: Path, tmp_path: Path) -> None:
    assert isinstance(claims_at(tmp_path / CLAIMS), FileClaims)
    claims = claims_at(bucket / CLAIMS)
    assert isinstance(claims, OwnClaims)
    with claims.claim("a"), claims.claim("b"):
        pass


def test_a_row_replaces_the_one_before_or_leaves_it(
    bucket: Path, s3_server: s3.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_path, "ATTEMPTS", 2)
    row = rows.blank() | {"trial": "a" * 16, "method": "dense", "state": "failed", "started": "2026-01-01"}
    rows.write(bucket, row)
    s3_server.proxy.fail("broken", path="rows/", times=100)
    with pytest.raises(WorkFailed, match="1 finished row is kept there"), rows.writable(bucket):
        rows.write(bucket, row | {"state": "complete", "error": "x" * 5000})
    assert rows.read(bucket, "a" * 16) == row
    s3_server.proxy.forgive()
    rows.write(bucket, row | {"state": "complete"})
    assert [each["state"] for each in rows.read_all(bucket)] == ["complete"]
    assert json.loads((bucket / "rows" / f"{'a' * 16}.json").read_bytes())["state"] == "complete"
    rows.remove(bucket, row)
    assert rows.read(bucket, "a" * 16) is None


def test_epochs_are_noted_with_few_puts_and_all_of_them_when_a_training_ends(
    bucket: Path, s3_server: s3.Server
) -> None:
    log, before = EpochLog(bucket), len(s3_server.proxy.requests)
    for epoch in range(20):
        log.note("k" * 64, epoch)
    log.keep()
    log.keep()
    assert len([method for method, _ in s3_server.proxy.requests[before:] if method == "PUT"]) == 2
    texts = [path.read_text() for path in (bucket / "epochs").iterdir()]
    assert texts == ["".join(f"{'k' * 16} {epoch}\n" for epoch in range(20))]
