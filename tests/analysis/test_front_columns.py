"""`prunefront front` reads the columns that it needs, and says what it would say had it read them all."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import prunefront
from analysis import front_table, latency, table
from analysis.errors import WrongInput
from analysis.groups import grouped
from analysis.summary import study_constraints, summarise, thin_summary
from tests.analysis import studies
from tests.analysis.test_latency import line

OBJECTIVES = ("val_accuracy", "sparsity", "macs")


def run(*words):
    return CliRunner().invoke(prunefront.app, ["front", *map(str, words)])


@pytest.fixture
def study(tmp_path):
    """Compacted, with rows that are newer, a further knob, a constraint, and latencies that were measured later."""
    made = [row | {"worker": f"host{i}:1", "error": row.get("error")} for i, row in enumerate(studies.rows(80))]
    place = studies.write(tmp_path / "made-up", made)
    table.compact(place, {})
    newer = [
        row | {"trial": f"{i:015x}f", "strange_knob": i / 7, "odd": i % 2}
        for i, row in enumerate(studies.rows(30, seed=3)[1:])
    ]
    studies.write(place, newer)
    (place / "spec.yaml").write_text("search: {constraints: {val_accuracy: '>= .6'}}")
    latency.add(place, [line(row["trial"], 1.0 + i) for i, row in enumerate(made)])
    return place


@pytest.mark.parametrize("options", [{}, {"where": "worker != 'host3:1'"}, {"ranks": 3}, {"thin": 0.1}], ids=str)
def test_the_front_is_that_of_a_table_of_all_columns(study, options):
    rows = table.read(study)
    kept = table.where(rows, options["where"]) if "where" in options else rows
    demanded, ranks = study_constraints(study), options.get("ranks", 1)
    expected = summarise(kept, OBJECTIVES, reference=rows, constraints=demanded, ranks=ranks)
    if "thin" in options:
        expected = thin_summary(expected, epsilon=options["thin"], scale_of=rows)
    assert {"strange_knob", "latency_ms"} <= set(expected.front.column_names)
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert run(study, *words).stdout == front_table.plain(expected) + "\n"
    found = json.loads(run(study, *words, "--json").stdout)
    told = front_table.document(expected, study=str(study), where=options.get("where"))
    assert found == json.loads(json.dumps(told))
    assert [list(row) for row in found["front"]] == [list(row) for row in told["front"]], "columns are in their order"


def test_groups_of_several_studies_are_those_of_a_table_of_all_columns(study, tmp_path):
    other = studies.write(tmp_path / "other", studies.rows(40, seed=5))
    rows = table.read(study, other)
    said = run(study, other, "--by", "study,odd,worker", "--json")
    groups = grouped(rows, ["study", "odd", "worker"])
    found = {tuple(each["group"].values()): each["front"] for each in json.loads(said.stdout)["groups"]}
    assert found.keys() == groups.keys()
    for name, group in groups.items():
        expected = summarise(group, OBJECTIVES, reference=rows, constraints=study_constraints(study))
        told = front_table.document(replace(expected, named=("study",)))
        assert [list(row.items()) for row in found[name]] == [list(row.items()) for row in told["front"]], name


def test_pages_of_a_column_that_is_not_shown_may_be_damaged(study):
    path = study / table.PARQUET
    for row in (study / table.ROWS).iterdir():
        row.unlink()
    whole = path.read_bytes()
    before = run(study).stdout
    for column, is_needed in (("worker", False), ("val_loss", False), ("ratio", True), ("macs", True)):
        _damage(path, column)
        with pytest.raises(WrongInput, match="cannot be read as Parquet"):
            table.read(study, columns=[column])
        done = run(study)
        assert (done.exit_code, done.stdout) == ((2, "") if is_needed else (0, before)), column
        path.write_bytes(whole)


def _damage(path: Path, column: str) -> None:
    group = pq.ParquetFile(path).metadata.row_group(0)
    (chunk,) = (each for each in map(group.column, range(group.num_columns)) if each.path_in_schema == column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    held = bytearray(path.read_bytes())
    held[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(held)


@pytest.mark.parametrize(("groups", "batch"), list(product((7, 1000), (5, 1000))))
def test_the_rows_of_some_trials_are_those_of_a_table_of_all(study, monkeypatch, groups, batch):
    whole = pq.read_table(study / table.PARQUET)
    pq.write_table(whole, study / table.PARQUET, row_group_size=groups)
    monkeypatch.setattr("analysis.parquet.BATCH", batch)
    everything = table.read(study)
    for trials in ([], ["nobody"], everything["trial"].to_pylist()[::9], everything["trial"].to_pylist()):
        own = [trial in trials for trial in everything["trial"].to_pylist()]
        expected = [row for row, is_own in zip(everything.to_pylist(), own, strict=True) if is_own]
        found = table.read(study, trials=trials)
        assert found.to_pylist() == expected
        assert set(found.column_names) <= set(everything.column_names)
        few = table.read(study, columns=["macs", "latency_ms"], where="ratio > .3", trials=trials)
        kept = [row for row in expected if (row["ratio"] or 0) > 0.3]
        assert few.to_pylist() == [{name: row[name] for name in ("macs", "latency_ms")} for row in kept]


def test_latencies_that_the_search_took_hide_those_measured_later_whatever_trials_are_read(study):
    made = studies.rows(80)
    studies.write(study, [made[7] | {"latency_ms": 3.5, "latency_machine": "elsewhere"}])
    everything = table.read(study)
    assert pc.count(everything["latency_ms"]).as_py() == 1
    other = table.read(study, trials=[made[9]["trial"]])
    assert other["latency_ms"].to_pylist() == [None]
