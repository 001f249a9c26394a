"""What was measured of deployable files shows in a study's rows: of one machine and one thread count at a time."""

import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import prunefront
from analysis import latency, latency_command, table
from analysis.errors import WrongInput
from analysis.schema import LATENCY, MEASURES, SCHEMA_VERSION
from tests.analysis import studies

TIMES = ("latency_ms", "latency_ms_p10", "latency_ms_mean", "latency_ms_std", "latency_ms_64")


def line(trial, ms, *, threads=1, machine="here", when="2026-11-22T01:00:00.000+00:00"):
    return {
        "trial": trial,
        "latency_machine": machine,
        "latency_threads": threads,
        **{name: ms + place for place, name in enumerate(TIMES)},
        "runs": 100,
        "onnxruntime": "1",
        "measured": when,
        "version": "0",
    }


@pytest.fixture
def study(tmp_path):
    made = [studies.DENSE_ROW | {"gzip_bytes": 100, "train_accuracy": 0.9}]
    for place, (method, accuracy, macs) in enumerate((("fpgm", 0.93, 200), ("taylor", 0.91, 50), ("lamp", 0.9, 400))):
        made.append(
            studies.DENSE_ROW
            | {"trial": f"{place:016x}", "method": method, "ratio": 0.5, "val_accuracy": accuracy}
            | {"sparsity": 0.5, "macs": macs}
        )
    return studies.write(tmp_path / "study", made)


def shown(study, *, columns=None):
    return {row["trial"]: row for row in table.read(study, columns=columns).to_pylist()}


def test_the_columns_are_those_of_the_artefact():
    assert tuple(column.name for column in MEASURES if column.taken == "of the artefact") == TIMES
    assert {*TIMES, "latency_machine", "latency_threads"} == set(latency.SHOWN)


def test_what_was_measured_is_in_the_rows_and_null_where_nothing_was(study):
    assert all(row[name] is None for row in shown(study).values() for name in latency.SHOWN)
    latency.add(study, [line("0" * 16, 3.0), line("d" * 16, 9.0)])
    found = shown(study)
    assert [found["0" * 16][name] for name in TIMES] == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert (found["d" * 16]["latency_ms"], found["d" * 16]["latency_machine"]) == (9.0, "here")
    assert all(found[f"{1:016x}"][name] is None for name in latency.SHOWN)


@pytest.mark.parametrize("other", [{"machine": "there"}, {"threads": 2}])
def test_the_machine_and_threads_measured_last_are_shown_never_two_side_by_side(study, other):
    early, late = "2026-11-22T01:00:00.000+00:00", "2026-11-22T02:00:00.000+00:00"
    latency.add(study, [line("0" * 16, 1.0, when=late, **other)])
    latency.add(study, [line("0" * 16, 5.0, when=early), line(f"{1:016x}", 6.0, when=early)])
    found = shown(study)
    assert (found["0" * 16]["latency_ms"], found[f"{1:016x}"]["latency_ms"]) == (1.0, None)
    latency.add(study, [line("0" * 16, 7.0, when="2026-11-22T03:00:00.000+00:00")])
    again = shown(study)
    assert (again["0" * 16]["latency_ms"], again[f"{1:016x}"]["latency_ms"]) == (7.0, 6.0), "this machine's, both"


def test_a_line_of_the_same_trial_machine_and_threads_is_replaced(study):
    latency.add(study, [line("0" * 16, 1.0), line("0" * 16, 1.0, threads=2)])
    latency.add(study, [line("0" * 16, 2.0)])
    assert [(each["latency_ms"], each["latency_threads"]) for each in latency.read(study)] == [(2.0, 1), (1.0, 2)]


def test_what_the_search_took_itself_stays(study):
    path = study / "rows" / f"{'0' * 16}.json"
    own = {"latency_ms": 4.0, "latency_machine": "cluster", "latency_threads": 1}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    latency.add(study, [line("0" * 16, 1.0), line(f"{1:016x}", 2.0)])
    found = shown(study)
    assert (found["0" * 16]["latency_ms"], found["0" * 16]["latency_machine"]) == (4.0, "cluster")
    assert found[f"{1:016x}"]["latency_ms"] is None
    assert shown(study, columns=["trial", "latency_ms_64"])["0" * 16]["latency_ms_64"] is None, "not another machine's"


def test_single_columns_say_what_all_say_and_nothing_else_is_given(study):
    latency.add(study, [line("0" * 16, 3.0)])
    whole = table.read(study)
    for columns in (["latency_ms"], ["method", "latency_ms_std"], ["latency_machine", "trial"]):
        some = table.read(study, columns=columns)
        assert set(some.column_names) == set(columns)
        assert some.to_pylist() == [{name: row[name] for name in columns} for row in whole.to_pylist()]
    assert table.read(study, columns=["method"]).column_names == ["method"]
    assert table.read(study, where="latency_ms < 5", columns=["trial"]).to_pylist() == [{"trial": "0" * 16}]


def test_compacting_leaves_them_where_they_are(study):
    latency.add(study, [line("0" * 16, 3.0)])
    kept = pq.read_table(table.compact(study, {}))
    assert kept["latency_ms"].null_count == len(kept)
    assert shown(study)["0" * 16]["latency_ms"] == 3.0


def test_the_file_has_the_declared_columns_and_our_schema(study):
    latency.add(study, [line("0" * 16, 3.0)])
    kept = pq.read_table(study / latency.PARQUET)
    assert kept.column_names == [column.name for column in LATENCY]
    assert kept.schema.metadata[b"prunefront_schema"] == str(SCHEMA_VERSION).encode()


def test_a_damaged_file_is_named_with_its_cure_and_left(study):
    (study / latency.PARQUET).write_bytes(b"PAR1 and no more")
    for use in (lambda: table.read(study), lambda: latency.add(study, [line("0" * 16, 3.0)])):
        with pytest.raises(WrongInput, match=r"latency.parquet .*delete it and run `prunefront latency` again"):
            use()
    assert (study / latency.PARQUET).read_bytes() == b"PAR1 and no more"
    damage = []
    assert len(table.read(study, damage=damage)) == 4
    assert len(damage) == 1
    assert len(table.read(study, columns=["method"])) == 4, "nobody asked for it"


def test_the_fastest_on_the_front_is_picked_once_it_was_measured(study):
    def picked():
        return CliRunner().invoke(prunefront.app, ["pick", str(study), "--lowest", "latency_ms", "--json"])

    before = picked()
    assert before.exit_code == 2
    assert "`prunefront latency` takes it, of the front's files" in before.stderr
    latency.add(study, [line("d" * 16, 9.0), line("0" * 16, 2.0), line(f"{1:016x}", 3.0)])
    assert json.loads(picked().stdout)["picks"][0]["trial"] == "0" * 16
    shown_front = CliRunner().invoke(
        prunefront.app, ["front", str(study), "--objectives", "val_accuracy,latency_ms", "--json"]
    )
    assert [row["trial"] for row in json.loads(shown_front.stdout)["front"]] == ["d" * 16, "0" * 16]


def test_the_table_is_sorted_by_time_and_says_against_what(study, capsys):
    rows = list(shown(study).values())
    lines = [line("d" * 16, 9.0), line(f"{1:016x}", 4.5), line("0" * 16, 3.0)]
    latency_command.print_latencies(study, rows, lines, as_json=False)
    said = capsys.readouterr().out
    assert [text.split()[0] for text in said.splitlines()[1:4]] == ["0" * 16, f"{1:016x}", "d" * 16]
    assert [text.split()[-1] for text in said.splitlines()[1:4]] == ["3.00×", "2.00×", "1.00×"]
    assert "100 runs each of one image and of 64, in turn, on 1 thread of here, ONNX Runtime 1" in said
    latency_command.print_latencies(study, rows, lines[1:], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["latency_machine"], found["latency_threads"], found["runs"]) == ("here", 1, 100)
    assert [(each["latency_ms"], each["faster"]) for each in found["trials"]] == [(3.0, None), (4.5, None)]


@pytest.mark.parametrize("threads", ["0", "-1", "1025"])
def test_threads_that_there_cannot_be_are_refused(study, threads):
    done = CliRunner().invoke(prunefront.app, ["latency", str(study), "--threads", threads])
    assert (done.exit_code, done.stderr) == (2, f"prunefront: --threads must lie in [1, 1024], got {threads}\n")


def test_where_there_are_no_artefacts_a_line_says_how_to_make_them(study):
    done = CliRunner().invoke(prunefront.app, ["latency", str(study)])
    assert done.exit_code == 2
    assert f"has an artefact in {study}/artefacts: `prunefront run SPEC --set artefacts=front`, or =all" in done.stderr
