"""Files of older versions, as they were written, and what is read of them."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import declared, migration, schema, table
from analysis.errors import WrongInput
from analysis.migration import Change, Value
from tests.analysis import studies

OLD = Path(__file__).parent / "version-1"
"""Of a search of 2026-11-21: its trials.parquet, and two of its rows."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_a_study_of_version_1_is_read_as_this_version_would_have_written_it(old: Path) -> None:
    before = {row["trial"]: row for row in pq.read_table(old / "trials.parquet").to_pylist()}
    assert {row["rounds"] for row in before.values() if row["method"] != "dense"} == {1}
    found = {row["trial"]: row for row in table.read(old).to_pylist()}
    assert found.keys() == before.keys()
    for trial, row in found.items():
        assert row["rounds"] is None
        assert row["control"] == (None if row["method"] == "dense" else "none")
        assert (row["floored"], row["ratio_reason"], row["scales_near_zero"]) == (None, None, None)
        for name in before[trial].keys() - {"rounds"}:
            assert row[name] == before[trial][name], name


def test_rows_and_parquet_of_an_older_version_say_the_same(old: Path, tmp_path: Path) -> None:
    compacted = {row["trial"]: row for row in table.read(old).to_pylist()}
    shutil.copytree(OLD / "rows", tmp_path / "rows-alone" / "rows")
    rows = table.read(tmp_path / "rows-alone").to_pylist()
    assert len(rows) == 2
    assert all(compacted[row["trial"]] == row for row in rows)


def test_a_change_needs_no_column_that_was_not_asked_for(old: Path) -> None:
    found = table.read(old, columns=["rounds", "control"])
    assert found.column_names == ["rounds", "control"]
    assert found["rounds"].null_count == len(found)
    assert sorted(set(found["control"].to_pylist()), key=str) == [None, "none"]


def test_a_column_that_a_change_brings_is_there_for_whoever_asks_for_it_alone(old: Path) -> None:
    assert "control" not in pq.read_schema(old / "trials.parquet").names
    every = {row["trial"]: row["control"] for row in table.read(old).to_pylist()}
    assert set(every.values()) == {None, "none"}
    for columns in (["trial", "control"], lambda name: name in {"trial", "control"}):
        found = table.read(old, columns=columns)
        assert {row["trial"]: row["control"] for row in found.to_pylist()} == every
    some = next(iter(every))
    assert table.read(old, columns=["control"], trials=[some])["control"].to_pylist() == [every[some]]


def test_compacting_brings_a_study_up_to_date(old: Path) -> None:
    before = {row["trial"]: row for row in table.read(old).to_pylist()}
    written = pq.read_table(table.compact(old, {"control": "string"}))
    assert written.schema.metadata[b"prunefront_schema"] == str(schema.SCHEMA_VERSION).encode()
    assert {row["trial"]: row for row in written.to_pylist()} == before


def test_a_row_names_its_version_and_one_of_a_newer_one_is_refused(tmp_path: Path) -> None:
    from trial import rows

    rows.write(tmp_path, dict(studies.DENSE_ROW))
    path = tmp_path / "rows" / f"{studies.DENSE_ROW['trial']}.json"
    assert json.loads(path.read_text())["schema"] == schema.SCHEMA_VERSION
    assert "schema" not in table.read(tmp_path).column_names
    path.write_text(json.dumps({**studies.DENSE_ROW, "schema": schema.SCHEMA_VERSION + 1}))
    with pytest.raises(WrongInput, match="written by a newer one"):
        table.read(tmp_path)


@pytest.mark.parametrize("said", ["0", "-1", "1.5", "x", "", "9" * 5000, True])
def test_what_is_no_version_is_said(said: object) -> None:
    with pytest.raises(WrongInput, match="accepted are 1 to") as caught:
        schema.readable(said, where="here")
    assert len(str(caught.value)) < 200


CHANGES = {
    1: Change(
        renamed={"time": "seconds"},
        values=(
            Value("rounds", "int", old=1, new=None, beside=("schedule", "one-shot")),
            Value("control", "string", old=None, new="none", except_beside=("method", "dense")),
        ),
    ),
    2: Change(renamed={"control": "check"}, values=(Value("check", "string", old="scratch", new="fresh"),)),
}
"""Two versions that followed one another: what the first renamed the second has by its new name."""

values = st.fixed_dictionaries(
    {
        "time": st.none() | st.floats(0, 9),
        "rounds": st.none() | st.integers(0, 2),
        "schedule": st.sampled_from([None, "one-shot", "stepwise"]),
        "control": st.sampled_from([None, "none", "scratch"]),
        "method": st.sampled_from([None, "dense", "lamp"]),
    }
)
KINDS = {"time": pa.float64(), "rounds": pa.int64()} | dict.fromkeys(["schedule", "control", "method"], pa.string())


@given(st.lists(values, min_size=1, max_size=6))
def test_a_table_goes_through_the_changes_that_its_rows_go_through(rows: list[dict[str, object]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "CHANGES", CHANGES)
        patch.setattr(migration, "SCHEMA_VERSION", 3)
        given_ = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in KINDS.items()})
        for version in (1, 2, 3):
            found = declared.migrated(given_, version).to_pylist()
            assert found == [migration.migrated_row(row, version) for row in rows]
        # Whatever is asked for by today's name is the same when only what it needs is read.
        whole = declared.migrated(given_, 1)
        for name in whole.column_names:
            part = declared.migrated(given_.select(sorted(migration.older_names({name}, 1))), 1)
            assert part[name].to_pylist() == whole[name].to_pylist()


def test_every_older_version_has_its_change() -> None:
    assert sorted(migration.CHANGES) == list(range(1, schema.SCHEMA_VERSION))
