import json
import os

import pyarrow.parquet as pq
import pytest

from analysis import schema, table
from analysis.errors import WrongInput
from tests.analysis import studies

KNOBS = {"ratio": "float", "scope": "string", "keep_min": "int"}


def by_trial(found):
    return {row["trial"]: row for row in found.to_pylist()}


def age(path, seconds):
    """Set the file's time back, as if it had been written earlier."""
    then = path.stat().st_mtime_ns - seconds * 10**9
    os.utime(path, ns=(then, then))


@pytest.fixture
def study(tmp_path):
    folder = studies.write(tmp_path / "study", studies.rows(12))
    for path in (folder / "rows").iterdir():
        age(path, 60)
    return folder


def test_rows_are_read_as_written(study):
    found = by_trial(table.read(study))
    for row in studies.rows(12):
        assert {name: found[row["trial"]].get(name) for name in row} == row


def test_compacting_changes_nothing_that_is_read(study):
    before = by_trial(table.read(study))
    path = table.compact(study, KNOBS)
    assert path == study / "trials.parquet"
    compacted = by_trial(pq.read_table(path))
    assert {trial: row | {"keep_min": None} for trial, row in before.items()} == compacted
    assert by_trial(table.read(study)) == compacted
    assert [path.name for path in study.iterdir() if path.name.startswith(".")] == []


def test_compacted_columns_and_version_are_those_of_the_schema(study):
    found = pq.read_schema(table.compact(study, KNOBS))
    assert found.names == schema.arrow_schema(KNOBS).names
    assert found.metadata[b"prunefront_schema"] == str(schema.SCHEMA_VERSION).encode()


def test_a_new_row_and_a_replaced_row_win_over_the_parquet_file(study):
    table.compact(study, KNOBS)
    new = studies.DENSE_ROW | {"trial": "e" * 16, "val_accuracy": 0.5}
    replaced = studies.DENSE_ROW | {"val_accuracy": 0.9}
    studies.write(study, [new, replaced])
    age(study / "rows" / f"{new['trial']}.json", 600)  # copied with its old date: read because its trial is missing
    found = by_trial(table.read(study))
    assert len(found) == 13
    assert found["e" * 16]["val_accuracy"] == 0.5
    assert found["d" * 16]["val_accuracy"] == 0.9


def test_rows_older_than_the_parquet_file_are_not_opened(study):
    table.compact(study, KNOBS)
    path = study / "rows" / f"{1:016x}.json"
    then = path.stat().st_mtime_ns
    path.write_text("not JSON")
    os.utime(path, ns=(then, then))
    assert len(table.read(study)) == 12


def test_a_row_replaced_in_the_nanosecond_of_the_compaction_wins(study):
    parquet = table.compact(study, KNOBS)
    studies.write(study, [studies.DENSE_ROW | {"val_accuracy": 0.9}])
    same = parquet.stat().st_mtime_ns
    os.utime(study / "rows" / f"{'d' * 16}.json", ns=(same, same))
    assert by_trial(table.read(study))["d" * 16]["val_accuracy"] == 0.9


def test_compacting_twice_and_after_new_rows_keeps_everything(study):
    table.compact(study, KNOBS)
    studies.write(study, [studies.DENSE_ROW | {"trial": "e" * 16, "keep_min": 3}])
    table.compact(study, KNOBS)
    found = by_trial(pq.read_table(table.compact(study, KNOBS)))
    assert len(found) == 13
    assert found["e" * 16]["keep_min"] == 3


def test_compacting_repairs_a_damaged_parquet_file(study):
    parquet = table.compact(study, KNOBS)
    damaged = parquet.read_bytes()[:-100]
    parquet.write_bytes(damaged)
    assert len(pq.read_table(table.compact(study, KNOBS))) == 12
    assert (study / table.UNREADABLE).read_bytes() == damaged, "it may have held rows that nobody else has"


@pytest.mark.parametrize("without", ["rows", "rows/*"])
def test_compacting_where_there_are_no_row_files_loses_no_row(study, without):
    parquet = table.compact(study, KNOBS)
    for row in (study / "rows").iterdir():
        row.unlink()
    if without == "rows":
        (study / "rows").rmdir()
    assert len(pq.read_table(table.compact(study, KNOBS))) == 12
    newer = pq.read_table(parquet).replace_schema_metadata({"prunefront_schema": str(schema.SCHEMA_VERSION + 1)})
    pq.write_table(newer, study.parent / "newer.parquet")
    for whole in (parquet.read_bytes()[:-100], (study.parent / "newer.parquet").read_bytes()):
        parquet.write_bytes(whole)
        with pytest.raises(WrongInput, match=r"trials\.parquet"):
            table.compact(study, KNOBS)
        assert parquet.read_bytes() == whole


def test_compacting_that_fails_leaves_the_old_file(study):
    parquet = table.compact(study, KNOBS)
    before = parquet.read_bytes()
    (study / "rows" / "bad.json").write_text("{")
    with pytest.raises(WrongInput):
        table.compact(study, KNOBS)
    assert parquet.read_bytes() == before
    assert sorted(path.name for path in study.iterdir()) == ["rows", "trials.parquet"]


def test_temporary_files_are_ignored(study):
    (study / "rows" / ".0001.json").write_text("{")
    (study / "rows" / "notes.txt").write_text("hello")
    assert len(table.read(study)) == 12


def test_only_the_columns_asked_for_are_read_and_merged(study):
    table.compact(study, KNOBS)
    studies.write(study, [studies.DENSE_ROW | {"trial": "e" * 16}])
    found = table.read(study, columns=["macs", "state", "nonsuch"])
    assert found.column_names == ["state", "macs"]
    assert len(found) == 13


def test_a_further_column_takes_the_kind_that_holds_all_its_values(tmp_path):
    made = [studies.DENSE_ROW | {"trial": str(i), "strength": value} for i, value in enumerate([1, None, 0.5])]
    assert table.read(studies.write(tmp_path, made))["strength"].to_pylist() == [1.0, None, 0.5]


def test_a_study_that_has_only_begun_has_no_rows(tmp_path):
    (tmp_path / "spec.yaml").write_text("")
    found = table.read(tmp_path)
    assert len(found) == 0
    assert found.column_names == schema.arrow_schema().names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[1]", "one JSON object, got list"),
        ('{"val_accuracy": "high"}', "column val_accuracy holds float values, got 'high'"),
        ('{"macs": 1.5}', "column macs holds int values, got 1.5"),
        ('{"macs": true}', "column macs holds int values, got True"),
        ('{"macs": 1e30}', "column macs holds int values"),
        ('{"method": 3}', "column method holds string values, got 3"),
        ('{"scope": ["a"]}', "column scope holds string values"),
        ('{"further": {"a": 1}}', "column further holds string values"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path, text, said):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "abc.json").write_text(text)
    with pytest.raises(WrongInput, match=said) as caught:
        table.read(tmp_path)
    assert "abc.json" in str(caught.value)


def test_whole_floats_fill_integer_columns(tmp_path):
    """A JSON writer in another language writes 300.0 for 300."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "abc.json").write_text(json.dumps({"macs": 300.0}))
    assert table.read(tmp_path)["macs"].to_pylist() == [300]


def test_another_schema_version_is_refused(study):
    path = table.compact(study, KNOBS)
    old = pq.read_table(path)
    pq.write_table(old.replace_schema_metadata({"prunefront_schema": "99"}), path)
    with pytest.raises(WrongInput, match="schema version 99"):
        table.read(study)


@pytest.mark.parametrize("keep", [0, 3, 100, -8, -1])
def test_a_truncated_parquet_file_is_named_with_the_cure(study, keep):
    path = table.compact(study, KNOBS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WrongInput, match=r"trials\.parquet cannot be read as Parquet.*delete it") as caught:
        table.read(study)
    assert "\n" not in str(caught.value)


def test_deleting_a_damaged_parquet_file_is_no_cure_where_it_is_all_there_is(study):
    path = table.compact(study, KNOBS)
    path.write_bytes(path.read_bytes()[:-1])
    for row in (study / "rows").iterdir():
        row.unlink()
    with pytest.raises(WrongInput, match=r"take it from a copy, there are no rows in rows/") as caught:
        table.read(study)
    assert "delete it" not in str(caught.value)


def test_a_missing_study_is_answered_with_the_nearest_one(study):
    with pytest.raises(WrongInput, match="did you mean study"):
        table.read(study.with_name("stuby"))
    with pytest.raises(WrongInput, match="accepted is a folder"):
        table.read(study / "nowhere" / "at-all")
    with pytest.raises(WrongInput, match="is a file"):
        table.read(study / "rows" / f"{'d' * 16}.json")
    with pytest.raises(WrongInput, match="is not a study"):
        table.read(study / "rows")
