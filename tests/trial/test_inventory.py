"""What is stored, by kind; whether it is whole; and what goes first when room is made."""

import hashlib
import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from analysis.errors import WrongInput
from trial.claims import CLAIMS, IN_USE
from trial.inventory import UNFINISHED, Stage, doomed, remove, stages, verified
from trial.manifest import MANIFEST, STAGES, TENSORS
from trial.store import Product, Store

NOW = 2e9
DAY = 86_400.0


def key(kind: str) -> str:
    """A stage's key as they look: 64 hex digits."""
    return hashlib.sha256(kind.encode()).hexdigest()


def stored(study: Path, **kinds: int) -> Path:
    """A study with one stage of each kind, last used so many days ago; its tensors hold so many bytes and a head."""
    store = Store.of(study)
    for kind, days in kinds.items():
        store.get_or_make(key(kind), lambda days=days: Product({"weight": torch.zeros(250 * days)}), kind=kind)
        used = NOW - days * DAY
        os.utime(study / STAGES / key(kind) / MANIFEST, (used, used))
    return study


def unfinished(study: Path, kind: str = "half") -> None:
    folder = study / STAGES / key(kind)
    folder.mkdir(parents=True)
    (folder / f".{TENSORS}.abcd").write_bytes(bytes(700))


def on_disk(study: Path) -> set[str]:
    return {entry.name for entry in (study / STAGES).iterdir()} - {CLAIMS}


def test_stages_are_listed_by_last_use_with_kind_and_bytes(tmp_path: Path) -> None:
    study = stored(tmp_path, dense=2, cut=9, recovery=5)
    found = stages(study)
    assert [(stage.key, stage.kind, stage.damage) for stage in found] == [
        (key("cut"), "cut", None), (key("recovery"), "recovery", None), (key("dense"), "dense", None),
    ]  # fmt: skip
    assert [NOW - stage.used for stage in found] == [9 * DAY, 5 * DAY, 2 * DAY]
    for stage in found:
        files = (study / STAGES / stage.key).iterdir()
        assert stage.bytes == sum(len(file.read_bytes()) for file in files) > 1000


def test_what_has_no_manifest_is_unfinished_and_no_stage(tmp_path: Path) -> None:
    unfinished(stored(tmp_path, dense=1))
    assert [(stage.key, stage.kind, stage.bytes) for stage in stages(tmp_path) if stage.kind == UNFINISHED] == [
        (key("half"), UNFINISHED, 700)
    ]
    assert [stage.key for stage in verified(tmp_path)] == [key("dense")]


def test_what_else_lies_beside_the_stages_is_left_alone(tmp_path: Path) -> None:
    study = stored(tmp_path, dense=1)
    (study / STAGES / "my-notes").mkdir()
    assert [stage.key for stage in stages(study)] == [key("dense")]
    remove(study, older_than=None, keep=0, now=NOW)
    assert on_disk(study) == {"my-notes"}


def test_a_folder_that_is_no_study_is_refused_and_a_study_without_stages_is_empty(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(WrongInput, match="is not a study's folder"):
            stages(folder)
    (tmp_path / "rows").mkdir()
    assert stages(tmp_path) == []
    assert remove(tmp_path, older_than=0.0, keep=None, now=NOW) == []


def test_every_way_to_be_damaged_is_named_and_the_rest_is_whole(tmp_path: Path) -> None:
    study = stored(tmp_path, whole=1, truncated=1, flipped=1, gone=1, said=1, torn=1)
    at = {kind: study / STAGES / key(kind) for kind in ("truncated", "flipped", "gone", "said", "torn")}
    (at["truncated"] / TENSORS).write_bytes((at["truncated"] / TENSORS).read_bytes()[:-1])
    data = bytearray((at["flipped"] / TENSORS).read_bytes())
    data[-1] ^= 1
    (at["flipped"] / TENSORS).write_bytes(data)
    (at["gone"] / TENSORS).unlink()
    (at["said"] / MANIFEST).write_bytes((at["said"] / MANIFEST).read_bytes().replace(b'"said"', b'"sald"'))
    (at["torn"] / MANIFEST).write_bytes((at["torn"] / MANIFEST).read_bytes()[:-9])
    found = {stage.key: stage.damage for stage in verified(study)}
    assert found.pop(key("whole")) is None
    assert found.pop(key("gone")) == "its tensors are gone"
    assert found.pop(key("torn")) == "its manifest is not JSON"
    assert set(found.values()) == {"its checksum is wrong"}
    assert len(found) == 3


def made_up(*used: float, kind: str = "cut") -> list[Stage]:
    return [Stage(f"key{number}", kind, 100, NOW - ago * DAY) for number, ago in enumerate(used)]


def test_by_age_goes_what_was_not_used_for_longer() -> None:
    found = made_up(3, 9, 7, 8)
    gone = doomed(found, older_than=7 * DAY, keep=None, now=NOW)
    assert [stage.key for stage in gone] == ["key1", "key3"]


@pytest.mark.parametrize(("keep", "left"), [(0, 0), (99, 0), (100, 1), (199, 1), (399, 3), (400, 4), (10**9, 4)])
def test_by_size_the_least_recently_used_go_until_the_rest_fits(keep: int, left: int) -> None:
    found = made_up(3, 9, 7, 8)
    gone = doomed(found, older_than=None, keep=keep, now=NOW)
    assert [stage.key for stage in gone] == ["key1", "key3", "key2", "key0"][: 4 - left]
    # A larger room keeps whatever a smaller one keeps.
    assert all(
        {stage.key for stage in doomed(found, older_than=None, keep=larger, now=NOW)}
        <= {stage.key for stage in doomed(found, older_than=None, keep=smaller, now=NOW)}
        for smaller, larger in pairwise([0, 100, 150, 300, 500])
    )


def test_age_and_size_together_remove_what_either_would() -> None:
    found = made_up(3, 9, 7, 8)
    gone = doomed(found, older_than=8.5 * DAY, keep=200, now=NOW)
    assert [stage.key for stage in gone] == ["key1", "key3"]
    assert doomed([], older_than=0.0, keep=0, now=NOW) == []


def test_what_is_unfinished_goes_first_and_always() -> None:
    found = [*made_up(3), Stage("half", UNFINISHED, 100, NOW)]
    assert [stage.key for stage in doomed(found, older_than=None, keep=100, now=NOW)] == ["half"]
    assert [stage.key for stage in doomed(found, older_than=None, keep=0, now=NOW)] == ["half", "key0"]


def test_what_is_removed_is_gone_with_its_lock_and_is_made_again(tmp_path: Path) -> None:
    study = stored(tmp_path, dense=1, cut=9)
    unfinished(study)
    gone = remove(study, older_than=5 * DAY, keep=None, now=NOW)
    assert {stage.key for stage in gone} == {key("cut"), key("half")}
    assert on_disk(study) == {key("dense")}
    assert [file.name for file in (study / STAGES / CLAIMS).iterdir()] == [IN_USE]
    _, made = Store.of(study).get_or_make(key("cut"), lambda: Product({"weight": torch.zeros(3)}))
    assert made


def test_nothing_is_removed_while_a_store_is_open(tmp_path: Path) -> None:
    study = stored(tmp_path, dense=1)
    store = Store.of(study)
    with pytest.raises(WrongInput, match=f"^{study} is in use: .* wait for it, or stop it$"):
        remove(study, older_than=0.0, keep=None, now=NOW)
    assert on_disk(study) == {key("dense")}
    del store
    assert len(remove(study, older_than=0.0, keep=None, now=NOW)) == 1


def test_a_removal_that_is_stopped_half_way_leaves_no_half_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = stored(tmp_path, dense=1)

    def stopped(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", stopped)
        with pytest.raises(KeyboardInterrupt):
            remove(study, older_than=0.0, keep=None, now=NOW)
    assert [file.name for file in (study / STAGES / key("dense")).iterdir()] == [TENSORS]
    assert [stage.kind for stage in stages(study)] == [UNFINISHED]
    assert Store.of(study).get_or_make(key("dense"), lambda: Product({}))[1]
