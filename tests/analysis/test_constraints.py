import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import prunefront
from analysis import front_table, plots, table
from analysis.constraints import Constraint, listed, met, parse
from analysis.errors import WrongInput
from analysis.schema import OBJECTIVES
from analysis.selection import chosen
from analysis.summary import study_constraints, summarise
from tests.analysis import studies


def one(measure: str, said: object) -> Constraint:
    (constraint,) = parse({measure: said}, where="spec.yaml: search.constraints")
    return constraint


@pytest.mark.parametrize(
    ("measure", "said", "relation", "bound"),
    [
        ("val_accuracy", ">= .9", ">=", 0.9),
        ("val_accuracy", ">90%", ">", 0.9),
        ("sparsity", " >= 99.9 % ", ">=", 0.999),
        ("gzip_bytes", "<= 2 MB", "<=", 2e6),
        ("gzip_bytes", "<2MiB", "<", 2 * 2**20),
        ("bytes", "<= 1.5 GB", "<=", 1.5e9),
        ("bytes", "<= 3 KiB", "<=", 3072),
        ("bytes", "<= 7", "<=", 7),
        ("peak_memory", "< 1 GiB", "<", 2**30),
        ("macs", "<= 10 M", "<=", 1e7),
        ("macs", "<= 10 MACs", "<=", 10),
        ("params", "< 1.5k", "<", 1500),
        ("macs", "<= 2 G", "<=", 2e9),
        ("torch_latency_ms", "< 500 us", "<", 0.5),
        ("torch_latency_ms", "< 500 μs", "<", 0.5),
        ("torch_latency_ms", "<= 3 ms", "<=", 3),
        ("torch_latency_ms", "<= .2 s", "<=", 200),
        ("val_loss", "<= 1e-1", "<=", 0.1),
    ],
)  # fmt: skip
def test_a_bound_is_read_with_its_unit(measure: str, said: str, relation: str, bound: float) -> None:
    assert one(measure, said) == Constraint(measure, relation, bound)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([">= .9"], r"takes a mapping from measures to comparisons.*got \['>= .9'\] \(spec.yaml: search.constraints\)"),
        ({"val_acuracy": ">= .9"}, r"not a measure: did you mean val_accuracy.*constraints.val_acuracy"),
        ({"val_loss_before": "<= 1"}, "val_loss_before is not measured in every trial"),
        ({"val_accuracy": 0.9}, r'takes >=, <=, > or < and a number, such as ">= .9", got 0.9 .*val_accuracy'),
        ({"val_accuracy": "= .9"}, r"takes >=, <=, > or <.*got '= .9'"),
        ({"val_accuracy": ">= "}, "takes >=, <=, > or <"),
        ({"val_accuracy": ">= .9 or so"}, "takes >=, <=, > or <"),
        ({"val_accuracy": None}, "takes >=, <=, > or <.*got None"),
        ({"val_accuracy": ">= 90"}, "lies between 0 and 1: write .9 or 90 %, got '>= 90'"),
        ({"val_accuracy": ">= 2 MB"}, "val_accuracy is a share: accepted units are %, got 'MB'"),
        ({"gzip_bytes": "<= 2 ms"}, r'accepted units are B, kB, MB, GB, TB, KiB, MiB, GiB, got \'ms\''),
        ({"gzip_bytes": "<= 2 mb"}, "got 'mb'"),
        ({"macs": "<= 2 MB"}, "accepted units are k, M, G, T, got 'MB'"),
        ({"params": "<= 2 %"}, "params is a count: accepted units are k, M, G, T"),
        ({"torch_latency_ms": "<= 2 min"}, "accepted units are us, µs, ms, s, got 'min'"),
        ({"val_loss": "<= 2 %"}, "val_loss is in nats: accepted units are none"),
        ({"macs": "<= -2 M"}, "from 0 to 1e[+]30"),
        ({"macs": "<= 1e999999999"}, "from 0 to 1e[+]30"),
        ({"val_accuracy": ">= nan"}, "takes >=, <=, > or <"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(given: object, message: str) -> None:
    with pytest.raises(WrongInput, match=message) as raised:
        parse(given, where="spec.yaml: search.constraints")
    assert "\n" not in str(raised.value)


@given(st.sampled_from(OBJECTIVES), st.sampled_from([">=", "<=", ">", "<"]), st.floats(0, 1))
def test_what_is_written_reads_back_equal(measure: str, relation: str, bound: float) -> None:
    constraint = Constraint(measure, relation, bound)
    assert one(measure, constraint.written) == constraint


@given(st.sampled_from([">=", "<=", ">", "<"]), st.floats(0, 10), st.floats(0, 10))
def test_a_network_meets_a_bound_exactly_where_it_violates_it_by_nothing(
    relation: str, bound: float, value: float
) -> None:
    constraint = Constraint("val_loss", relation, bound)
    literally = {">=": value >= bound, "<=": value <= bound, ">": value > bound, "<": value < bound}[relation]
    assert constraint.holds(value) == literally == (constraint.violation(value) <= 0)
    rows = pa.table({"val_loss": [value, None, math.nan]})
    assert met(rows, [constraint]).tolist() == [literally, False, False]


def test_a_violation_is_a_share_of_the_bound_and_nan_is_none() -> None:
    assert one("macs", "<= 4 M").violation(5e6) == pytest.approx(0.25)
    assert one("val_accuracy", ">= .8").violation(0.6) == pytest.approx(0.25)
    assert one("macs", "<= 4 M").violation(4e6) == 0
    assert one("macs", "< 4 M").violation(4e6) > 0
    with pytest.raises(ValueError, match="NaN"):
        one("macs", "<= 4 M").violation(math.nan)
    assert met(pa.table({"macs": [1.0, 2.0]}), []).tolist() == [True, True]


def test_constraints_are_said_in_units_that_suit_them() -> None:
    said = {"val_accuracy": ">= 90%", "gzip_bytes": "<= 2000000", "macs": "< 5e6", "torch_latency_ms": "< 200 us"}
    assert listed(parse(said, where="")) == (
        "val_accuracy >= 0.9 and gzip_bytes <= 2 MB and macs < 5 M and torch_latency_ms < 0.2 ms"
    )


@pytest.fixture
def study(tmp_path: Path) -> Path:
    made = studies.write(tmp_path / "made-up", studies.rows(60))
    bounds = {"val_accuracy": ">= 85 %", "macs": "<= 200 M"}
    spec = {"search": {"objectives": ["val_accuracy", "macs"], "constraints": bounds}}
    (made / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return made


def test_the_front_is_that_of_the_rows_that_meet_the_constraints(study: Path) -> None:
    rows, constraints = table.read(study), study_constraints(study)
    summary = summarise(rows, ("val_accuracy", "macs"), constraints=constraints)
    complete = [row for row in rows.to_pylist() if row["state"] == "complete"]
    meeting = [row for row in complete if row["val_accuracy"] >= 0.85 and row["macs"] <= 200e6]
    assert 0 < len(meeting) < len(complete)
    front = {
        row["trial"]
        for row in meeting
        if not any(
            other["val_accuracy"] >= row["val_accuracy"] and other["macs"] <= row["macs"]
            and (other["val_accuracy"], other["macs"]) != (row["val_accuracy"], row["macs"])
            for other in meeting
        )
    }  # fmt: skip
    assert set(summary.front["trial"].to_pylist()) == front
    assert (summary.compared, summary.unmet) == (len(meeting), len(complete) - len(meeting))
    said = front_table.lines(summary)[-1]
    assert said == f"{summary.unmet} networks do not meet val_accuracy >= 0.85 and macs <= 200 M and took no part"
    assert {row["trial"] for row in chosen(study, "front")} == front | {"d" * 16}


def test_the_command_line_says_who_was_left_out_and_where_nobody_is_left(study: Path) -> None:
    run = CliRunner().invoke
    done = run(prunefront.app, ["front", str(study)])
    assert done.exit_code == 0
    assert "do not meet val_accuracy >= 0.85 and macs <= 200 M and took no part" in done.stdout
    document = json.loads(run(prunefront.app, ["front", str(study), "--json"]).stdout)
    assert document["constraints"] == {"val_accuracy": ">= 0.85", "macs": "<= 200000000"}
    assert document["unmet"] > 0
    (study / "spec.yaml").write_text("search: {constraints: {macs: '< 1 k'}}")
    done = run(prunefront.app, ["front", str(study)])
    assert done.exit_code == 2
    assert "none of the networks meets macs < 1 k" in done.stderr
    assert done.stderr.count("\n") == 1
    (study / "spec.yaml").write_text("search: {constraints: {macs: many}}")
    assert "spec.yaml: search.constraints.macs" in run(prunefront.app, ["front", str(study)]).stderr


def test_the_figure_draws_the_front_of_those_that_meet_the_constraints(study: Path) -> None:
    rows, constraints = table.read(study), study_constraints(study)
    figure = plots.front_figure(rows, constraints=constraints)
    (line,) = figure.axes[1].lines[:1]
    drawn = {round(float(y), 6) for y in np.asarray(line.get_ydata())}
    summary = summarise(rows, ("val_accuracy", "macs"), constraints=constraints)
    assert {round(value, 6) for value in summary.front["val_accuracy"].to_pylist()} <= drawn
    plots.front_figure(rows, constraints=[Constraint("macs", "<", 1.0)])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_one_objective_is_enough_for_front_hypervolume_and_tables(name: str) -> None:
    rows = [studies.DENSE_ROW | {name: value, "trial": str(value)} for value in (0.5, 0.25, 0.75)]
    rows[1] |= {"method": "lamp"}
    rows[2] |= {"method": "lamp"}
    summary = summarise(pa.Table.from_pylist(rows), (name,))
    best = max if name in {"val_accuracy", "train_accuracy", "sparsity"} else min
    assert summary.front[name].to_pylist() == [best(0.5, 0.25, 0.75)]
    scale = {"sparsity": 0.75, "val_accuracy": (0.75 - 0.1) / 0.9, "train_accuracy": (0.75 - 0.1) / 0.9}
    assert summary.hypervolume == pytest.approx(scale.get(name, 0.5))
    assert name in front_table.plain(summary)
