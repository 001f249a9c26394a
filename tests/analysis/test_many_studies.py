"""Several studies at once, and what of them is read."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import parquet, table
from analysis.errors import WrongInput
from analysis.object_path import ObjectPath
from analysis.schema import COLUMNS, Kind
from analysis.schema_page import page
from tests.analysis import studies

ROOT = Path(__file__).parents[2]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    one = studies.write(tmp_path / "one", studies.rows(12))
    other = studies.write(tmp_path / "other", [row | {"strength": 2} for row in studies.rows(9, seed=1)])
    return one, other


def test_several_studies_are_one_table_that_tells_them_apart(two: tuple[Path, Path]) -> None:
    found = table.read(*two)
    assert len(found) == 21
    assert found["study"].to_pylist() == ["one"] * 12 + ["other"] * 9
    assert found["strength"].to_pylist() == [None] * 12 + [2] * 9
    alone = [table.read(each).to_pylist() for each in two]
    for row, known in zip(found.to_pylist(), [*alone[0], *alone[1]], strict=True):
        assert {name: row[name] for name in known if name != "study"} == {
            name: value for name, value in known.items() if name != "study"
        }


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    places = [studies.write(tmp_path / name / "run", studies.rows(3)) for name in "ab"]
    assert table.labels(places) == [str(place) for place in places]
    assert table.labels([places[0], tmp_path / "c"]) == ["run", "c"]
    with pytest.raises(WrongInput, match="named twice"):
        table.read(places[0], tmp_path / "b" / ".." / "a" / "run")
    with pytest.raises(WrongInput, match="at least one study"):
        table.read()


def test_where_and_columns_give_what_the_whole_table_has(two: tuple[Path, Path]) -> None:
    table.compact(two[0], {"scope": "string"})
    expression = "strength == 2 or scope is not None and ratio >= .3"
    whole = table.where(table.read(*two), expression)
    found = table.read(*two, columns=["trial", "macs", "nonsuch"], where=expression)
    assert found.column_names == ["trial", "macs"]
    assert 0 < len(found) < 21
    assert found.to_pylist() == whole.select(["trial", "macs"]).to_pylist()


def test_a_wrong_name_in_where_is_answered_with_all_columns(two: tuple[Path, Path]) -> None:
    with pytest.raises(WrongInput, match="did you mean strength"):
        table.read(*two, columns=["trial"], where="strenght > 1")


def test_columns_of_two_kinds_do_not_go_together(two: tuple[Path, Path]) -> None:
    third = studies.write(two[0].parent / "third", [studies.DENSE_ROW | {"strength": "much"}])
    with pytest.raises(WrongInput, match="column strength holds int values in other and string values in third"):
        table.read(*two, third)
    half = studies.write(two[0].parent / "half", [studies.DENSE_ROW | {"strength": 0.5}])
    assert table.read(*two, half)["strength"].to_pylist()[-1] == 0.5
    assert table.read(half, two[1])["strength"].type == pa.float64()
    assert len(table.read(*two, third, columns=["trial"])) == 22


def test_only_the_columns_that_are_needed_come_from_the_file(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    table.compact(two[0], {})
    asked: list[list[str]] = []
    real = pq.ParquetFile.read

    def read(self: pq.ParquetFile, columns: list[str] | None = None) -> pa.Table:
        asked.append(sorted(columns or ["all"]))
        return real(self, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read", read)
    table.read(two[0], columns=["macs"], where="ratio > .5")
    assert asked == [["macs", "ratio", "trial"]]


def test_a_study_without_rows_adds_none(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "spec.yaml").write_text("")
    assert len(table.read(*two, tmp_path / "begun")) == 21


def test_pandas_polars_and_duckdb_read_what_we_write(tmp_path: Path) -> None:
    import duckdb
    import pandas as pd
    import polars as pl

    made = studies.rows(40)
    path = table.compact(studies.write(tmp_path / "study", made), {"scope": "string"})
    best = {
        method: max(r["val_accuracy"] for r in made if r["method"] == method and r["state"] == "complete")
        for method in {row["method"] for row in made}
    }
    frame = pd.read_parquet(path)
    complete = frame[frame["state"] == "complete"]
    assert complete.groupby("method")["val_accuracy"].max().to_dict() == best
    assert list(frame.columns) == pq.read_schema(path).names

    columns = pl.read_parquet(path)
    assert columns.columns == list(frame.columns)
    assert columns.schema["macs"] == pl.Int64
    assert columns.schema["lambda"] == pl.Float64
    grouped = columns.filter(pl.col("state") == "complete").group_by("method").agg(pl.col("val_accuracy").max())
    assert dict(grouped.iter_rows()) == best

    found = duckdb.sql(
        f"SELECT method, max(val_accuracy) FROM '{path}' WHERE state = 'complete' GROUP BY method"
    ).fetchall()
    assert dict(found) == best
    described = {row[0]: row[1] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
    types = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}
    assert {each.name: described[each.name] for each in COLUMNS} == {each.name: types[each.kind] for each in COLUMNS}
    penalised = duckdb.sql(f"""SELECT count(*) FROM '{path}' WHERE "lambda" > 0""").fetchall()
    assert penalised == [(sum(row.get("lambda") is not None for row in made),)]


def test_the_page_of_the_columns_is_made_from_the_schema() -> None:
    assert (ROOT / "docs" / "schema.md").read_text() == page(), "python -m analysis.schema_page > docs/schema.md"
    assert all(f"| `{column.name}` | " in page() for column in COLUMNS)


WRITER = """
import os, sys
from pathlib import Path
from analysis import table
from tests.analysis import studies
study, last = Path(sys.argv[1]), int(sys.argv[2])
for count, row in enumerate(studies.rows(last)):
    place = study / "rows" / f".{row['trial']}.tmp"
    studies.write(study / "aside", [row])
    (study / "aside" / "rows" / f"{row['trial']}.json").rename(study / "rows" / f"{row['trial']}.json")
    print(count + 1, flush=True)
    if count % 5 == 4:
        table.compact(study, {"scope": "string"})
    if count % 7 == 6:  # as a search does that tries failed trials again
        gone = study / "rows" / "f.json"
        gone.write_text('{"method": "lamp", "state": "failed"}')
        gone.unlink()
"""


def test_a_study_is_read_while_it_is_written_and_not_disturbed(tmp_path: Path) -> None:
    last = 120
    (tmp_path / "rows").mkdir()
    program = [sys.executable, "-c", WRITER, str(tmp_path), str(last)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        os.set_blocking(writer.stdout.fileno(), False)
        written, looked, seen = 0, 0, 0
        while writer.poll() is None:
            written = max([written, *(int(line) for line in writer.stdout.readlines())])
            found = table.read(tmp_path, columns=["trial", "state"])
            trials = [name for name in found["trial"].to_pylist() if name != "f"]
            assert len(trials) == len(set(trials))
            assert len(trials) >= max(written, seen), "what was there before is there"
            looked, seen = looked + 1, len(trials)
    assert writer.returncode == 0
    assert looked > 3
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert len([name for name in table.read(tmp_path)["trial"].to_pylist() if name != "f"]) == last
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before, "reading writes nothing"


@pytest.mark.needs("s3")
def test_of_a_large_object_only_parts_are_fetched(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: dict[str, Kind] = {"note": "string", "scope": "string"}
    made = [row | {"note": row["trial"] * 400} for row in studies.rows(30)]
    studies.write(bucket, made)
    table.compact(bucket, kinds)
    for row in made:
        (bucket / "rows" / f"{row['trial']}.json").unlink()
    small = table.read(bucket, columns=["trial", "macs"]).to_pylist()
    assert {row["trial"]: row["macs"] for row in small} == {row["trial"]: row["macs"] for row in made}

    whole: list[Path] = []
    real = ObjectPath.read_bytes

    def read_bytes(self: ObjectPath) -> bytes:
        whole.append(self)
        return real(self)

    monkeypatch.setattr(parquet, "LARGE", 1)
    monkeypatch.setattr(ObjectPath, "read_bytes", read_bytes)
    assert table.read(bucket, columns=["trial", "macs"]).to_pylist() == small
    assert whole == []

    path = bucket / "trials.parquet"
    path.write_bytes(real(path)[:-9])  # type: ignore[arg-type]  # it is one
    with pytest.raises(WrongInput, match="truncated or damaged"):
        table.read(bucket, columns=["trial"])
    path.unlink()
