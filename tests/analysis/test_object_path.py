"""Paths on an object store: over HTTP, against a real server, with requests that fail."""

import errno
import pickle
import threading
import time
from pathlib import Path

import pytest

from analysis import confirmed, curves, epochs, object_path, repeats, report, table
from analysis.durable import write_durably
from analysis.errors import WrongInput
from analysis.front_command import Wish, print_front
from analysis.object_path import ObjectPath, each, path_of, scan
from analysis.schema import CONFIRMED
from tests import s3
from tests.analysis import studies


def test_wildcards_in_every_part_find_the_studies_that_they_find_on_a_disk(bucket: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, bucket):
        for name in ("runs-1/l1-0", "runs-1/l1-1", "runs-2/l1-0", "runs-2/tl1", "other/l1-0", "runs-2/l1-7/deeper"):
            (folder / name / "rows").mkdir(parents=True)
            write_durably(folder / name / "rows" / "a.json", b"{}")
        write_durably(folder / "runs-3", b"a file, and no folder")
    for pattern in (
        *("runs-*/l1-0", "runs-?/l1-[01]", "*/l1-0", "runs-1/*", "runs-?/l1-*/deeper", "*/*/dee?er", "r*-2/tl1"),
        *("runs-2/l1-0", "?????/l1-0"),
    ):
        found = [
            [path.relative_to(folder).parts for path in repeats.groups([f"{folder}/{pattern}"])[0].studies]
            for folder in (tmp_path, bucket)
        ]
        assert found[0] == found[1], pattern
        assert found[0], pattern
    assert [len(each) for each in repeats.groups([f"l1={bucket}/runs-?/l1-0", f"{bucket}/runs-2/tl1"])] == [2, 1]
    assert list(bucket.glob("runs-?/nobody")) == list(bucket.glob("nobody/*")) == list(bucket.glob("runs-3/*")) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("BUCKET/r?ns-*/nobody", "no study fits 'BUCKET/r.ns-.*/nobody'"),
        ("s3://b*/study", "a bucket is named in full, got 's3://b"),
        ("s3://bucket/study?secret=planted", "and nothing else"),
    ],
)
def test_a_glob_that_fits_nothing_is_one_line(bucket: Path, typed: str, said: str) -> None:
    with pytest.raises(WrongInput, match=said.replace("BUCKET", str(bucket))) as refused:
        repeats.groups([typed.replace("BUCKET", str(bucket))])
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("typed", ["studies/a", "/tmp/a", "a:b", "C:/x", "."])
def test_what_names_no_store_is_a_path_of_this_machine(typed: str) -> None:
    assert path_of(typed) == Path(typed)
    assert not isinstance(path_of(typed), ObjectPath)


def test_a_path_keeps_its_address_through_everything_that_a_path_goes_through() -> None:
    study = path_of("s3://bucket/some/study/")
    assert str(study) == "s3://bucket/some/study"
    assert path_of(str(Path("s3://bucket/some/study"))) == study, "a Path makes one slash of two"
    below = study / "rows" / "a.json"
    assert (str(below), below.stem, below.parent.parent) == ("s3://bucket/some/study/rows/a.json", "a", study)
    assert str(pickle.loads(pickle.dumps(below))) == str(below)
    assert str(below.with_name("b.json")) == "s3://bucket/some/study/rows/b.json"
    assert study.resolve() == study.absolute() == study.expanduser() == study
    assert study.name == "study"


@pytest.mark.parametrize(
    "typed",
    [
        "s3://KEY:planted-secret@bucket/study",
        "s3://bucket/study?secret_key=planted-secret",
        "gs://bucket/study#planted-secret",
        "http://planted-secret/study",
        "s3://bucket",
        "s3://bucket/../other",
        "s3://bucket//study",
    ],
)
def test_an_address_is_bucket_and_name_alone_and_what_may_be_a_secret_is_not_repeated(typed: str) -> None:
    with pytest.raises(WrongInput) as refused:
        path_of(typed)
    assert "planted-secret" not in str(refused.value)


def test_nothing_on_a_disk_is_opened_by_a_path_that_lies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = path_of("s3://bucket/study")
    with pytest.raises(TypeError, match="not a file of this machine"):
        open(study)  # noqa: PTH123, SIM115  # what a library would do
    with pytest.raises(TypeError, match="not a file of this machine"):
        study.rename("elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_a_store_has_what_a_folder_would_have(bucket: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, bucket):
        for name, data in (("a.json", b"one"), (".hidden.json", b""), ("b.txt", b"three")):
            (folder / "rows").mkdir(exist_ok=True)
            write_durably(folder / "rows" / name, data)
    seen = []
    for folder in (tmp_path, bucket):
        rows = folder / "rows"
        with pytest.raises(FileNotFoundError):
            (folder / "absent").read_bytes()
        with pytest.raises(FileNotFoundError):
            (folder / "absent").stat()
        with pytest.raises(FileNotFoundError):
            (folder / "absent").unlink()
        with pytest.raises(FileNotFoundError):
            scan(folder / "absent")
        (folder / "absent").unlink(missing_ok=True)
        seen.append(
            (
                sorted(path.relative_to(folder).parts for path in folder.glob("rows/[!.]*.json")),
                sorted(path.name for path in rows.iterdir()),
                sorted((entry.name, entry.stat().st_size, entry.is_dir()) for entry in scan(rows)),
                list(folder.glob("absent/*")),
                [(path.exists(), path.is_file(), path.is_dir()) for path in (rows, rows / "a.json", folder / "absent")],
                (rows / "a.json").stat().st_size,
                list(each(lambda path: path.read_text(), [rows / "b.txt", rows / "a.json"], at=folder)),
                (rows / ".hidden.json").read_bytes(),
            )
        )
        (rows / "a.json").unlink()
        assert not (rows / "a.json").exists()
    assert seen[0] == seen[1]
    assert abs((bucket / "rows" / "b.txt").stat().st_mtime - time.time()) < 300


@pytest.mark.parametrize(("kind", "times"), [("503", 3), ("broken", 2), ("lost", 1), ("slow", 1)])
def test_a_put_that_fails_on_the_way_is_put_again_until_it_is_there(
    bucket: Path, s3_server: s3.Server, kind: s3.Kind, times: int
) -> None:
    path = bucket / "object"
    s3_server.proxy.fail(kind, path="object", times=times, seconds=0.5)
    write_durably(path, b"whole" * 1000)
    assert s3_server.proxy.left == 0
    assert path.read_bytes() == b"whole" * 1000


@pytest.mark.parametrize("kind", ["503", "broken"])
def test_a_put_that_fails_for_good_leaves_what_was_there(
    bucket: Path, s3_server: s3.Server, monkeypatch: pytest.MonkeyPatch, kind: s3.Kind
) -> None:
    monkeypatch.setattr(object_path, "ATTEMPTS", 3)
    new, old = bucket / "new", bucket / "old"
    write_durably(old, b"before")
    s3_server.proxy.fail(kind, times=100)
    for path in (old, new):
        with pytest.raises(OSError, match="object") as failed:
            write_durably(path, b"afterwards" * 1000)
        assert failed.value.errno == errno.EIO
        assert s3.SECRET not in str(failed.value)
        assert "\n" not in str(failed.value)
    assert old.read_bytes() == b"before"
    assert not new.exists()


def test_a_large_object_that_breaks_between_two_of_its_parts_is_not_there(
    bucket: Path, s3_server: s3.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_path, "ATTEMPTS", 2)
    s3_server.proxy.fail("503", path="partNumber=2", times=100)
    with pytest.raises(OSError, match="large"):
        write_durably(bucket / "large", b"0123456789" * 1_200_000)
    assert not (bucket / "large").exists()
    s3_server.proxy.forgive()
    write_durably(bucket / "large", b"0123456789" * 1_200_000)
    assert (bucket / "large").read_bytes() == b"0123456789" * 1_200_000


@pytest.mark.parametrize("other", [b"longer" * 100, b"x"])
def test_what_is_read_is_one_version_though_another_is_put_meanwhile(
    bucket: Path, s3_server: s3.Server, other: bytes
) -> None:
    path = bucket / "driver.json"
    path.write_bytes(b"before" * 10)
    read: list[bytes] = []
    # The size is asked for first: the bytes come late, when the object is another one.
    s3_server.proxy.fail("slow", method="GET", path="driver.json", seconds=1.5)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    while s3_server.proxy.left:
        time.sleep(0.01)
    path.write_bytes(other)
    reader.join()
    assert read == [other]


def test_a_bucket_that_is_not_there_and_one_that_refuses_are_named(bucket: Path, s3_server: s3.Server) -> None:
    with pytest.raises(PermissionError, match="there is no bucket absent"):
        (path_of("s3://absent/study") / "a").write_bytes(b"")
    s3_server.proxy.fail("403")
    with pytest.raises(PermissionError, match="the store refuses"):
        (bucket / "a").write_bytes(b"")


def test_a_table_is_the_same_from_a_store_as_from_a_disk(bucket: Path, tmp_path: Path) -> None:
    made = studies.rows(12)
    for study in (bucket, tmp_path):
        studies.write(study, made)
    assert table.read(bucket).sort_by("trial").equals(table.read(tmp_path).sort_by("trial"))
    for study in (bucket, tmp_path):
        table.compact(study, {})
    assert table.read(bucket).sort_by("trial").equals(table.read(tmp_path).sort_by("trial"))
    (bucket / "rows" / "broken.json").write_bytes(b"{")
    damage: list[str] = []
    assert len(table.read(bucket, damage=damage)) == 12
    assert len(damage) == 1
    assert f"{bucket}/rows/broken.json is not JSON" in damage[0]


def test_of_a_compacted_study_only_newer_rows_are_read(
    bucket: Path, s3_server: s3.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_PUT_NS", 0)
    made = studies.rows(8)
    studies.write(bucket, made)
    time.sleep(1.1)  # a store's dates are whole seconds
    table.compact(bucket, {})

    def read() -> tuple[list[str], dict[str, object]]:
        before = len(s3_server.proxy.requests)
        found = {row["trial"]: row["val_accuracy"] for row in table.read(bucket).to_pylist()}
        asked = s3_server.proxy.requests[before:]
        return sorted(Path(path).stem for method, path in asked if method == "GET" and ".json" in path), found

    assert read()[0] == []
    new = made[3] | {"trial": "f" * 16}
    studies.write(bucket, [made[1] | {"val_accuracy": 0.5}, new])
    asked, found = read()
    assert asked == sorted([made[1]["trial"], "f" * 16])
    assert len(found) == 9
    assert found[made[1]["trial"]] == 0.5
    table.compact(bucket, {})
    assert read()[1] == found


def test_a_front_and_its_figures_come_from_a_store_and_go_there(
    bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for study in (bucket, tmp_path / bucket.name):
        studies.write(study, studies.rows(12))
        print_front([study], Wish(), as_json=False)
        printed.append(capsys.readouterr().out)
        for path in report.write_figures(study):
            assert path.read_bytes()
    assert printed[0] == printed[1]
    assert (bucket / "figures" / "front.svg").read_bytes() == (
        tmp_path / bucket.name / "figures" / "front.svg"
    ).read_bytes()


def test_what_else_a_study_holds_is_read_from_a_store(bucket: Path) -> None:
    (bucket / "curves" / "a.json").write_text('{"epochs": [{"trial": "a", "epoch": 1}], "spans": []}')
    curves.compact(bucket)
    assert curves.read(bucket)["trial"].to_pylist() == ["a"]
    (bucket / "epochs" / "host-1.txt").write_text("k 1\nk 2\n")
    (bucket / "epochs" / "host-2.txt").write_text("k 2\nk")
    assert epochs.counted(bucket) == epochs.Epochs(3, 2)
    line = dict.fromkeys(column.name for column in CONFIRMED)
    for seed in (0, 1):
        confirmed.add(bucket, [line | {"trial": "a", "seed": seed, "state": "complete", "test_accuracy": 0.5}])
    assert [each["seeds"] for each in confirmed.read(bucket)] == [2, 2]
