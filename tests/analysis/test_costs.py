"""What each method added over cost, and rows that do not say when they ran: one meaning for every command."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import prunefront
from analysis import costs, quality, table
from analysis.errors import WrongInput
from analysis.page.facts import facts
from analysis.quality import Reference
from tests.analysis import studies
from tests.analysis.test_quality import DENSE, OBJECTIVES, net, rows


def literal_volume(entries):
    """Of a scale in quarters, each of the sixteen cells that some complete network dominates."""
    networks = [
        ((row["val_accuracy"] - 0.5) * 8, 4 - row["macs"] / 25) for row in entries if row["state"] == "complete"
    ]
    return sum(any(a > i and m > j for a, m in networks) for i in range(4) for j in range(4)) / 16


def literal_added(table, cost):
    """After each trial that ended, in order: all that was paid, and what is lost when a method's networks go."""
    entries = sorted(
        table.to_pylist(),
        key=lambda row: (datetime.fromisoformat(row["started"]) + timedelta(seconds=row["seconds"]), row["trial"]),
    )
    methods = {row["method"] for row in entries}
    paid, found = 0.0, {0.0: dict.fromkeys(methods, 0.0)}
    for count in range(1, len(entries) + 1):
        row, here = entries[count - 1], entries[:count]
        paid += {
            "trials": float(row["method"] != "dense"),
            "seconds": row["seconds"],
            "epochs": row["epochs"] - row["epochs_reused"],
        }[cost]
        found[paid] = {
            method: literal_volume(here) - literal_volume([each for each in here if each["method"] != method])
            for method in methods
        }
    return found


trials = st.lists(
    st.builds(
        lambda method, state, accuracy, macs, seconds, epochs: net(
            method,
            accuracy / 8,
            macs * 25,
            state=state,
            seconds=float(seconds),
            epochs=epochs,
            epochs_reused=epochs // 2,
        ),
        st.sampled_from(["lamp", "snip", "fpgm"]),
        st.sampled_from(["complete", "complete", "failed"]),
        st.integers(3, 8),
        st.integers(0, 5),
        st.integers(0, 5),
        st.integers(0, 4),
    ),
    max_size=10,
)


@settings(max_examples=50)
@given(trials, st.sampled_from(costs.COSTS))
def test_what_each_method_added_agrees_with_taking_it_away_after_each_trial(made, cost):
    table = rows(DENSE, *made)
    expected = literal_added(table, cost)
    reference = Reference.of(table, OBJECTIVES)
    found = costs.added_over_cost(table, reference, cost=cost)
    assert [each.cost for each in found] == sorted({each.cost for each in found})
    assert (found[0].cost == 0.0, found[-1].cost) == (True, max(expected))
    for paid, known in expected.items():
        latest = [each for each in found if each.cost <= paid][-1].own
        assert latest == pytest.approx(known, abs=1e-12), paid
    last = {each.group: each.own for each in quality.contributions(table, reference)}
    assert found[-1].own == pytest.approx(last, abs=1e-12)


def test_a_method_adds_less_once_another_finds_as_good_a_network():
    table = rows(DENSE, net("lamp", 0.75, 50), net("snip", 0.75, 50), net("snip", 0.75, 25))
    found = costs.added_over_cost(table, Reference.of(table, OBJECTIVES))
    none = {"dense": 0.0, "lamp": 0.0, "snip": 0.0}
    # Scaled (.5, .5), twice, then (.5, .75).
    assert [(each.cost, dict(each.own)) for each in found] == [
        (0.0, none),
        (1.0, none | {"lamp": 0.25}),
        (2.0, none),
        (3.0, none | {"snip": 0.125}),
    ]


def test_groups_of_another_column_and_what_is_no_column():
    table = rows(DENSE | {"p": None}, net("lamp", 0.75, 50, p=0.5)).append_column("q", pa.array(["a", "b"]))
    reference = Reference.of(table, OBJECTIVES)
    assert costs.added_over_cost(table, reference, by="q")[-1].own == {"a": 0.0, "b": 0.25}
    with pytest.raises(WrongInput, match="is not a column"):
        costs.added_over_cost(table, reference, by="z")


def run(*words):
    return CliRunner().invoke(prunefront.app, [str(word) for word in words])


@pytest.fixture
def pair(tmp_path):
    """Two studies that say when their trials ran."""
    return [studies.repeat(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two"))]


def test_front_tells_what_each_method_added_over_epochs(pair):
    words = ("front", pair[0], "--objectives", "val_accuracy,macs", "--indicators", "--over", "epochs")
    found = json.loads(run(*words, "--json").stdout)
    assert found["added"]["cost"] == "epochs"
    assert found["added"]["points"][0] == {"cost": 0.0, "own": dict.fromkeys(["dense", *studies.METHODS], 0.0)}
    last = found["added"]["points"][-1]
    assert last["cost"] == 8 + 23 * 4
    assert last["own"] == pytest.approx({each["group"]: each["own"] for each in found["contributions"]})
    lines = run(*words).stdout.splitlines()
    at = lines.index("own, of each method, over epochs: what the front of all by then would have lost without it")
    best = max(last["own"], key=last["own"].get)
    assert lines[at + 1].split()[:2] == ["epochs", best]
    assert "added" not in json.loads(run(*words[:4], "--json", "--over", "epochs").stdout)


def test_each_study_has_its_own_clock_by_study(pair):
    """Together their trials ran side by side: what was paid is counted study by study."""
    words = ("--objectives", "val_accuracy,macs", "--over", "seconds", "--json")
    found = json.loads(run("front", *pair, "--by", "study", *words).stdout)
    assert [group["group"]["study"] for group in found["groups"]] == ["one", "two"]
    both = table.read(*pair)
    reference = Reference.of(both, ("val_accuracy", "macs"), scale_of=both)
    for study, group in zip(pair, found["groups"], strict=True):
        assert group["over"]["points"][-1]["cost"] == 20 + 23 * 10
        alone = costs.over_cost(table.read(study), reference, cost="seconds")
        assert [(each["cost"], each["hypervolume"]) for each in group["over"]["points"]] == [
            (each.cost, each.indicators.hypervolume) for each in alone
        ]
    refused = run("front", *pair, *words)
    assert refused.exit_code == 2
    assert "--over counts what one study paid" in refused.stderr


def test_without_a_start_no_command_draws_a_curve(tmp_path):
    """In which order its trials ended nobody knows: front and compare refuse, a report says why it has none."""
    study = studies.write(tmp_path / "timeless", studies.rows(20))
    says = "none of the 20 rows says when it started"
    for words in (("front", study, "--over", "trials"), ("compare", study)):
        refused = run(*words)
        assert refused.exit_code == 2, words
        assert says in refused.stderr
    (told,) = facts([study])["studies"]
    assert told["progress"] is None
    assert told["hypervolume"] is not None
    assert [note for note in told["notes"] if note.startswith(f"hypervolume over cost not given: {says}")]


def test_a_row_that_does_not_say_when_it_started_ended_last_everywhere(tmp_path):
    study = studies.repeat(tmp_path / "one", seed=1)
    best = {"val_accuracy": 0.99, "sparsity": 0.99, "macs": 1, "trial": "0" * 16, "started": None, "seconds": math.inf}
    studies.write(study, [studies.DENSE_ROW | best | {"method": "lamp", "epochs": 0, "epochs_reused": 0}])
    found = table.read(study)
    names = ("val_accuracy", "sparsity", "macs")
    grown = costs.over_cost(found, Reference.of(found, names))
    assert grown[-1].cost == 24
    assert grown[-2].indicators.hypervolume < 0.9 < grown[-1].indicators.hypervolume
    (told,) = facts([Path(study)])["studies"]
    assert told["progress"]["hypervolume"][-1] == pytest.approx(grown[-1].indicators.hypervolume, abs=1e-6)
    assert told["progress"]["trials"][-2:] == [24, 24]
    compared = json.loads(run("compare", study, "--json").stdout)["groups"]["one"]["hypervolume"][str(study)]["trials"]
    assert compared == [[each.cost, pytest.approx(each.indicators.hypervolume)] for each in grown]
