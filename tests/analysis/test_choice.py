"""Which network to ship: picked as by hand, its neighbours, the knee, and what `prunefront pick` prints."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import prunefront
from analysis import confirmed
from analysis.choice import Aim, Within, choose, knee, neighbours
from analysis.constraints import Constraint
from analysis.errors import WrongInput
from analysis.schema import arrow_schema
from tests.analysis import studies
from tests.analysis.test_confirmed import line

BOTH = ["higher", "lower"]


def table(*networks, study="s"):
    """Networks as (method, val_accuracy, macs)."""
    rows = [
        {"study": study, "trial": f"{i:016x}", "state": "complete", "method": m, "val_accuracy": a, "macs": c}
        for i, (m, a, c) in enumerate(networks)
    ]
    schema = arrow_schema()
    return pa.Table.from_pylist([{**dict.fromkeys(schema.names), **row} for row in rows], schema=schema)


def pick(rows, aim, *, bounds=(), within=(), objectives=("val_accuracy", "macs")):
    return choose(rows, aim, objectives=objectives, bounds=bounds, within=within)


networks = st.lists(
    st.tuples(st.just("fpgm"), st.integers(0, 8).map(lambda e: e / 8), st.integers(1, 6)), min_size=1, max_size=12
)


@given(networks, st.integers(0, 8).map(lambda e: e / 8))
def test_the_lowest_within_a_bound_is_found_as_by_hand(given_networks, bound):
    fitting = [(cost, -accuracy) for _, accuracy, cost in given_networks if accuracy >= bound]
    asked = {"bounds": [Constraint("val_accuracy", ">=", bound)]}
    if not fitting:
        with pytest.raises(WrongInput, match=f"none of the {len(given_networks)} networks has val_accuracy >= "):
            pick(table(*given_networks), Aim("lowest", "macs"), **asked)
        return
    found = pick(table(*given_networks), Aim("lowest", "macs"), **asked)
    assert (found.network["macs"][0].as_py(), -found.network["val_accuracy"][0].as_py()) == min(fitting)
    assert found.among == len(fitting)


@given(networks)
def test_neighbours_are_better_by_least_and_lose_least(given_networks):
    front = np.array([(a, float(c)) for _, a, c in given_networks])
    own = front[0]
    spans = [max(np.ptp(front[:, j]), 0.0) or 1.0 for j in (0, 1)]
    accuracy, macs = neighbours(front, own, BOTH)
    better = [i for i, (a, _) in enumerate(front) if a > own[0]]
    if better:
        assert accuracy == min(better, key=lambda i: (front[i][0], max(0.0, front[i][1] - own[1]) / spans[1], i))
    else:
        assert accuracy is None
    cheaper = [i for i, (_, c) in enumerate(front) if c < own[1]]
    if cheaper:
        assert macs == min(cheaper, key=lambda i: (-front[i][1], max(0.0, own[0] - front[i][0]) / spans[0], i))
    else:
        assert macs is None


def test_the_knee_is_farthest_from_the_line_through_both_ends():
    """By hand: the distance of (x, y) from the line through (0, 1) and (1, 0) is (x + y − 1)/√2."""
    shares = [(0.0, 1.0), (0.2, 0.95), (0.6, 0.7), (0.9, 0.3), (1.0, 0.0)]
    values = np.array([(0.5 + 0.4 * x, 300 - 200 * y) for x, y in shares])
    ends = values[0], values[-1]
    direction = (ends[1] - ends[0]) / (0.4, 200)
    distances = []
    for point in values:
        away = (point - ends[0]) / (0.4, 200)
        distances.append(abs(direction[0] * away[1] - direction[1] * away[0]) / math.hypot(*direction))
    assert knee(values, BOTH) == int(np.argmax(distances)) == 2
    assert knee(values * (1, -1), ["higher", "higher"]) == 2
    assert knee(values[::-1], BOTH) == 2
    assert knee(values * (100, 0.01), BOTH) == 2


def test_a_knee_of_three_objectives_and_one_where_an_objective_is_constant():
    corners = np.eye(3)
    assert knee(np.vstack([corners, [[0.6, 0.5, 0.4]]]), ["higher"] * 3) == 3
    flat = np.array([[0.0, 1.0, 7.0], [0.7, 0.7, 7.0], [1.0, 0.0, 7.0]])
    assert knee(flat, ["higher"] * 3) == 1


@pytest.mark.parametrize(
    "points", [[], [(0.5, 2.0)], [(0.5, 2.0), (0.4, 1.0)], [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)],
               [(0.0, 0.0), (0.4, 0.6), (1.0, 1.0)], [(0.5, 2.0), (0.5, 2.0)]],
)  # fmt: skip
def test_few_networks_a_straight_line_and_a_dent_have_no_knee(points):
    assert knee(np.array(points).reshape(-1, 2), BOTH) is None


@pytest.mark.parametrize("count", [1, 2])
def test_a_front_of_fewer_than_three_networks_is_told_what_a_knee_needs(count):
    rows = table(("fpgm", 0.9, 300), ("fpgm", 0.8, 100)).slice(0, count)
    said = f"two objectives and three networks on their front, got val_accuracy, macs and {count} on the front"
    with pytest.raises(WrongInput, match=said):
        pick(rows, Aim("knee"))


def test_within_counts_from_the_dense_network_of_each_study():
    rows = pa.concat_tables(
        [
            table(("dense", 0.937, 300), ("fpgm", 0.927, 100), ("fpgm", 0.926, 50), study="a"),
            table(("dense", 0.80, 300), ("fpgm", 0.79, 20), study="b"),
        ]
    )
    found = pick(rows, Aim("lowest", "macs"), within=[Within("val_accuracy", 0.01)])
    assert (found.network["study"][0].as_py(), found.network["macs"][0].as_py(), found.among) == ("b", 20, 4)
    only_a = rows.slice(0, 3)
    assert pick(only_a, Aim("lowest", "macs"), within=[Within("val_accuracy", 0.01)]).network["macs"][0].as_py() == 100
    assert pick(only_a, Aim("highest", "val_accuracy"), within=[Within("macs", 0.0)]).among == 3
    with pytest.raises(WrongInput, match="b has no complete dense network with val_accuracy"):
        pick(pa.concat_tables([only_a, rows.slice(4, 1)]), Aim("knee"), within=[Within("val_accuracy", 0.01)])


def test_within_holds_as_it_is_written():
    """In binary 1.0 − 0.059 is more than 0.941."""
    assert 1.0 - 0.059 > 0.941
    rows = table(("dense", 1.0, 300), ("fpgm", 0.941, 100))
    assert pick(rows, Aim("lowest", "macs"), within=[Within("val_accuracy", 0.059)]).network["macs"][0].as_py() == 100


def test_what_lies_beyond_the_bounds_is_told_as_a_neighbour():
    rows = table(("dense", 0.95, 300), ("fpgm", 0.91, 100), ("fpgm", 0.89, 90), ("fpgm", 0.90, 100))
    found = pick(rows, Aim("lowest", "macs"), bounds=[Constraint("val_accuracy", ">=", 0.9)])
    assert [(name, other["val_accuracy"][0].as_py()) for name, other in found.next] == [
        ("val_accuracy", 0.95), ("macs", 0.89),
    ]  # fmt: skip


@pytest.fixture
def study(tmp_path):
    return studies.write(tmp_path / "made-up", [row | {"spare": ""} for row in studies.rows(60)])


def run(*words):
    return CliRunner().invoke(prunefront.app, [str(word) for word in words])


def literal(rows, keeps, key):
    complete = [row for row in rows if row["state"] == "complete" and row["val_accuracy"] is not None]
    return min((row for row in complete if keeps(row)), key=key)


def test_pick_prints_recipe_reason_trade_offs_test_and_artefact(study):
    expected = literal(studies.rows(60), lambda row: row["val_accuracy"] >= 0.9, lambda row: row["macs"])
    done = run("pick", study, "--min", "val_accuracy=.9", "--lowest", "macs")
    assert done.exit_code == 0, done.output
    said = done.stdout
    assert said.startswith(f"{expected['trial']} ({expected['method']} ratio")
    assert "networks with val_accuracy >= 0.9\n" in said
    recipe = yaml.safe_load(said.split("RECIPE.yaml", 1)[1].split(":\n", 1)[1].split("\na little", 1)[0])
    known = {name: value for name, value in expected.items() if name in recipe}
    assert known == recipe
    assert "spare" not in recipe
    assert {"method", "ratio", "schedule", "recovery_epochs"} <= recipe.keys()
    assert "\n  val_accuracy " in said.split("a little more of each objective")[1]
    assert f"`prunefront confirm {study} --trials {expected['trial']}`" in said
    assert said.endswith("artefact: none was made yet\n")
    (study / "artefacts" / expected["trial"]).mkdir(parents=True)
    again = run("pick", study, "--min", "val_accuracy=.9", "--lowest", "macs").stdout
    assert again.endswith(f"artefact: {study / 'artefacts' / expected['trial']}\n")


def test_several_aims_and_bounds_at_once_are_one_document(study):
    words = ["--lowest", "macs", "--lowest", "params", "--highest", "sparsity", "--knee", "--max", "macs=200M"]
    done = run("pick", study, *words, "--within", "val_accuracy=5%", "--json")
    document = json.loads(done.stdout)
    assert [each["aim"] for each in document["picks"]] == ["lowest macs", "lowest params", "highest sparsity", "knee"]
    assert document["bounds"] == {"macs": "<= 200000000"}
    assert document["within"] == {"val_accuracy": 0.05}
    expected = literal(
        studies.rows(60), lambda row: row["val_accuracy"] >= 0.887 and row["macs"] <= 2e8, lambda row: row["macs"]
    )
    first = document["picks"][0]
    assert first["trial"] == expected["trial"]
    assert first["recipe"]["method"] == expected["method"]
    assert None not in first["recipe"].values()
    assert list(first["objectives"]) == ["macs", "val_accuracy"]
    for name, other in first["next"].items():
        if other is not None:
            assert other["change"][name] * {"macs": -1, "val_accuracy": 1}[name] > 0
            assert other["change"][name] == other["objectives"][name] - first["objectives"][name]
    assert (first["tested"], first["artefact"]) == (None, None)


def test_a_confirmed_pick_says_its_test_result_and_chance(study):
    expected = literal(studies.rows(60), lambda row: row["val_accuracy"] >= 0.9, lambda row: row["macs"])["trial"]
    lines = [line(expected, seed, 0.9 + 0.01 * seed, macs=100) for seed in range(3)]
    confirmed.add(study, [*lines, *(line("d" * 16, seed, 0.8, macs=300) for seed in range(2))])
    said = run("pick", study, "--min", "val_accuracy=.9", "--lowest", "macs").stdout
    assert "test: test_accuracy 0.9100 ± 0.0100 over 3 seeds; chance of being on the front" in said
    assert "(1.00)" in said


def test_two_studies_are_picked_from_together(study, tmp_path):
    other = studies.write(tmp_path / "other", [row | {"study": "other"} for row in studies.rows(20, seed=3)])
    document = json.loads(run("pick", study, other, "--lowest", "macs", "--min", "val_accuracy=.8", "--json").stdout)
    rows = [row | {"at": str(study)} for row in studies.rows(60)]
    rows += [row | {"at": str(other)} for row in studies.rows(20, seed=3)]
    expected = literal(rows, lambda row: row["val_accuracy"] >= 0.8, lambda row: row["macs"])
    (picked,) = document["picks"]
    assert (picked["study"], picked["trial"]) == (expected["at"], expected["trial"])
    assert {each["study"] for each in picked["next"].values() if each} <= {str(study), str(other)}
    (alone,) = json.loads(run("pick", study, "--lowest", "macs", "--min", "val_accuracy=.8", "--json").stdout)["picks"]
    assert {each["study"] for each in alone["next"].values() if each} == {str(study)}


def test_the_dense_network_has_no_recipe(tmp_path):
    said = run("pick", studies.write(tmp_path / "s", [studies.DENSE_ROW]), "--lowest", "macs").stdout
    assert "recipe: none, this is the dense network" in said
    assert said.count("none on the front is better") == 3


def test_what_the_study_demands_bounds_the_pick_too(study):
    (study / "spec.yaml").write_text(
        'search: {objectives: [val_accuracy, macs], constraints: {val_accuracy: ">= .92"}}'
    )
    expected = literal(studies.rows(60), lambda row: row["val_accuracy"] >= 0.92, lambda row: row["macs"])
    done = run("pick", study, "--lowest", "macs")
    assert done.stdout.startswith(expected["trial"])
    assert "val_accuracy >= 0.92" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to pick by: --lowest MEASURE, --highest MEASURE or --knee"),
        (["--lowest", "mac"], "did you mean macs"),
        (["--lowest", "val_accuracy"], "say --highest val_accuracy"),
        (["--highest", "macs"], "say --lowest macs"),
        (["--lowest", "macs", "--min", "val_accuracy"], "--min takes MEASURE=NUMBER, such as val_accuracy=.01"),
        (["--lowest", "macs", "--min", "val_acc=.9"], "'val_acc' is not a measure: did you mean val_accuracy"),
        (["--lowest", "macs", "--min", "val_accuracy=90"], "val_accuracy lies between 0 and 1"),
        (["--lowest", "macs", "--max", "bytes=2 ms"], "accepted units are B, kB"),
        (["--lowest", "macs", "--within", "val_accuracy=much"], "(--within)"),
        (["--lowest", "macs", "--min", "val_accuracy=.99"], "networks has val_accuracy >= 0.99: val_accuracy reaches"),
        (["--lowest", "latency_ms"], "with a number for each of"),
        (["--lowest", "macs", "--objectives", "macs,macs"], "named twice: name each once (--objectives)"),
        (["--lowest", "macs", "--within", "val_accuracy=-1"], "between 0 and 1: write .9 or 90 %, got '-1' (--within)"),
        (["--lowest", "macs", "--min", "macs=abc"], "macs takes a number, such as 2 M, got 'abc' (--min)"),
        (["--lowest", "macs", "--max", "macs=-3"], "from 0 to 1e+30, got '-3' (--max)"),
        (["--lowest", "macs", "--max", "macs=3 MB"], "got 'MB' in '3 MB' (--max)"),
        (["--knee", "--objectives", "val_accuracy"], "a knee needs two objectives and three networks on their front"),
        (["--knee", "--nonsuch"], "No such option"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(study, words, said):
    done = run("pick", study, *words)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_studies_that_hold_nothing_to_pick_are_said(tmp_path):
    empty = run("pick", studies.write(tmp_path / "a", []), "--lowest", "macs")
    assert (empty.exit_code, "has no rows yet" in empty.stderr) == (2, True)
    failed = run("pick", studies.write(tmp_path / "b", [studies.DENSE_ROW | {"state": "failed"}]), "--lowest", "macs")
    assert (failed.exit_code, "none of the 1 rows is complete" in failed.stderr) == (2, True)
    nowhere = run("pick", tmp_path / "nowhere", "--lowest", "macs")
    assert (nowhere.exit_code, "there is no study" in nowhere.stderr) == (2, True)
