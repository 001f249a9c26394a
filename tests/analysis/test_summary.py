import io

import pyarrow as pa
import pytest

from analysis import front_table, table
from analysis.errors import WrongInput
from analysis.summary import DEFAULT_OBJECTIVES, study_objectives, summarise
from tests.analysis import studies


def made(*rows):
    full = {"trial": None, "ratio": None, "lambda": None, "scope": None, "bytes": None, "latency_ms": None}
    return pa.Table.from_pylist([full | {"state": "complete", "classes": 10} | row for row in rows])


DENSE = {"trial": "0", "method": "dense", "val_accuracy": 0.9, "sparsity": 0.0, "macs": 1000}
HALF = {
    "trial": "1",
    "method": "lamp",
    "val_accuracy": 0.55,
    "sparsity": 0.5,
    "macs": 500,
    "ratio": 0.5,
    "scope": "x",
}


def test_the_numbers_of_a_small_study():
    beaten = HALF | {"trial": "2", "val_accuracy": 0.5}
    failed = HALF | {"trial": "3", "state": "failed", "val_accuracy": None}
    unmeasured = HALF | {"trial": "4", "macs": None}
    summary = summarise(made(DENSE, HALF, beaten, failed, unmeasured), ["val_accuracy", "macs"])
    assert (summary.total, summary.complete, summary.left_out, summary.compared) == (5, 4, 1, 3)
    assert summary.front["trial"].to_pylist() == ["0", "1"]
    assert summary.hypervolume == pytest.approx(0.25)
    assert front_table.lines(summary) == [
        "2 of 3 networks are on the front; normalised hypervolume 0.250 (objectives val_accuracy, macs)",
        "1 complete network lacks an objective (or it is not finite) and took no part",
        "1 of 5 rows did not complete and took no part",
    ]


def test_a_filter_does_not_move_the_scale():
    whole = made(DENSE, HALF)
    pruned = table.where(whole, "method == 'lamp'")
    assert summarise(pruned, ["val_accuracy", "macs"], reference=whole).hypervolume == pytest.approx(0.25)
    alone = summarise(pruned, ["val_accuracy", "macs"])
    assert alone.hypervolume is None
    assert "hypervolume not given: the study has no complete row of the dense network" in front_table.lines(alone)[1]


def test_an_empty_table_gives_an_empty_front():
    summary = summarise(made(DENSE, HALF).slice(0, 0), ["val_accuracy", "macs"])
    assert (len(summary.front), summary.total, summary.complete, summary.left_out) == (0, 0, 0, 0)
    assert summarise(made(DENSE).slice(0, 0), ["macs"], reference=made(DENSE)).hypervolume == 0.0


def test_knobs_that_differ_are_columns_and_those_that_do_not_are_said_once():
    other = HALF | {"trial": "2", "val_accuracy": 0.4, "macs": 400, "lambda": 1e-4}
    summary = summarise(made(DENSE, HALF, other), ["val_accuracy", "macs"])
    content = front_table.cells(summary)
    assert content.headers == ["trial", "method", "ratio", "lambda", "val_accuracy", "macs"]
    assert content.shared == {"scope": "x"}
    assert content.rows[0] == ["0", "dense", "", "", "0.9000", "1 k"]
    assert content.rows[2] == ["2", "lamp", "0.5", "0.0001", "0.4000", "400"]


def test_plain_text_is_aligned_and_the_terminal_shows_the_same_cells():
    from rich.console import Console

    summary = summarise(table_of_many(), ["val_accuracy", "sparsity", "macs"])
    first, *rest = front_table.plain(summary).split("\n\n")[0].split("\n")
    assert len(rest) == len(summary.front)
    assert {len(line) for line in [first, *rest]} == {len(first)}
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(front_table.drawn(front_table.cells(summary), bold=summary.objectives))
    drawn = console.export_text()
    assert all(text in drawn for row in front_table.cells(summary).rows for text in row)


def test_knobs_that_a_narrow_terminal_has_no_room_for_are_named(capsys, monkeypatch):
    """At 80 columns they were squeezed to nothing, and nobody was told."""
    summary = summarise(table_of_many(), ["val_accuracy", "sparsity", "macs"])
    headers = front_table.cells(summary).headers
    for columns in ("80", "400"):
        monkeypatch.setenv("COLUMNS", columns)
        front_table.show(summary)
        table, *said = capsys.readouterr().out.split("no room for ")
        left_out = said[0].partition(":")[0].split(", ") if said else []
        assert bool(left_out) == (columns == "80")
        assert [name for name in headers if name not in left_out] == table.split("\n")[1].split()
    alone = summarise(made(HALF, HALF | {"val_accuracy": 0.1}), ["val_accuracy", "macs"])
    assert front_table.lines(alone)[0].startswith("1 of 2 networks is on the front")


def table_of_many():
    return pa.Table.from_pylist([dict.fromkeys(studies.rows(2)[1]) | row for row in studies.rows(60)])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("macs", 0, "0"),
        ("macs", 999, "999"),
        ("macs", 999_499, "999 k"),
        ("macs", 999_500, "1 M"),
        ("macs", 12_345_678, "12.3 M"),
        ("macs", 1_880_000_000, "1.88 G"),
        ("macs", 12_300 * 10**12, "12300 T"),
        ("bytes", 512, "512 B"),
        ("gzip_bytes", 45_600, "45.6 kB"),
        ("latency_ms", 1.2345, "1.23 ms"),
        ("val_accuracy", 0.91235, "0.9123"),
        ("lambda", 1e-5, "1e-05"),
        ("penalty", "l1", "l1"),
        ("macs", None, ""),
    ],
)
def test_values_are_written_as_people_write_them(name, value, text):
    assert front_table.human(name, value) == text


def test_objectives_come_from_the_spec_or_are_the_usual_ones(tmp_path):
    assert study_objectives(tmp_path) == DEFAULT_OBJECTIVES
    spec = tmp_path / "spec.yaml"
    for text in ("", "search: {trials: 3}\n", "search:\n", "# nothing\n"):
        spec.write_text(text)
        assert study_objectives(tmp_path) == DEFAULT_OBJECTIVES
    spec.write_text("search:\n  objectives: [val_accuracy, latency_ms]\n")
    assert study_objectives(tmp_path) == ("val_accuracy", "latency_ms")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("search: [", "cannot be read as YAML"),
        ("search: {objectives: macs}", "must be a list of measures, got 'macs'"),
        ("search: {objectives: [mac]}", "did you mean macs.*search.objectives"),
        ("search: {objectives: []}", "at least one"),
        ("search: 3", "search takes a mapping.*got 3 "),
        ("search: [objectives]", r"search takes a mapping.*got \['objectives'\] "),
        ("- search", r"a spec is a mapping of sections such as search, got \['search'\]"),
        ("just words", "a spec is a mapping"),
    ],
)
def test_a_wrong_spec_is_named(tmp_path, text, said):
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(WrongInput, match=said) as caught:
        study_objectives(tmp_path)
    assert "spec.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
