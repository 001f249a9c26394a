"""What a report says, before a browser shows it."""

import base64
import hashlib
import json
import math
import random
import re
import statistics

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from analysis import confirmed, curves, indicators, pareto, table
from analysis.constraints import Constraint
from analysis.errors import WrongInput
from analysis.page import learning as learning_module
from analysis.page import matters as matters_module
from analysis.page import page
from analysis.page.columns import compact
from analysis.page.controls import against_random, against_scratch
from analysis.page.facts import SHAPES, facts
from analysis.page.learning import learning
from analysis.page.matters import matters
from analysis.page.progress import progress
from analysis.page.widths import widths
from analysis.plots import SHAPES as MARKS
from tests.analysis import studies
from tests.analysis.test_confirmed import line


def decoded(column, count):
    """As report.js reads a column."""
    if "same" in column:
        return [column["same"]] * count
    if "codes" in column:
        return [None if code < 0 else column["names"][code] for code in column["codes"]]
    return column["values"]


def test_compact_columns_read_back_as_the_table_nan_as_null(tmp_path):
    rows = studies.rows(60)
    rows[3] |= {"val_loss": float("nan"), "train_accuracy": float("inf")}
    found = table.read(studies.write(tmp_path / "made-up", rows))
    columns = compact(found)
    for name in found.column_names:
        values = found[name].to_pylist()
        known = [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
        assert decoded(columns.get(name, {"same": None}), len(found)) == known, name
    assert columns["network"] == {"same": "vgg16-bn"}
    assert "codes" in columns["method"]
    assert "worker" not in columns


def test_knobs_keep_every_digit_and_measures_six():
    knob, measure = 0.00012345678901234, 0.93712345678
    columns = compact(pa.table({"lambda": [knob, 1.0], "val_loss": [measure, 1.0], "macs": [123456789012, 1]}))
    assert columns["lambda"]["values"] == [knob, 1.0]
    assert columns["val_loss"]["values"] == [0.937123, 1]
    assert columns["macs"]["values"] == [123456789012, 1]


def started(rows, *, seed):
    """Rows that ended in a random order, with what they cost."""
    chance = random.Random(seed)
    minutes = list(range(len(rows)))
    chance.shuffle(minutes)
    for row, minute in zip(rows, minutes, strict=True):
        row |= {"started": f"2026-11-22T{minute // 60:02d}:{minute % 60:02d}:00.000+00:00", "seconds": 30.0 + minute}
        row |= {"epochs": 12, "epochs_reused": 0 if row["method"] == "dense" else 8}
    return rows


@pytest.mark.parametrize("constraints", [(), (Constraint("sparsity", ">=", 0.3),)])
def test_progress_is_the_hypervolume_of_what_had_ended_by_then(tmp_path, constraints):
    rows = started(studies.rows(60), seed=5)
    names = ("val_accuracy", "sparsity", "macs")
    found = progress(table.read(studies.write(tmp_path / "made-up", rows)), names, constraints=constraints)
    scales = indicators.scales(table.read(tmp_path / "made-up"), names)
    ended = sorted(rows, key=lambda row: (row["started"], row["seconds"]))
    for place in range(1, len(ended) + 1):
        by_then = [
            [row[name] for name in names]
            for row in ended[:place]
            if row["state"] == "complete" and (not constraints or row["sparsity"] >= 0.3)
        ]
        expected = indicators.hypervolume(np.array(by_then, dtype=float).reshape(-1, 3), scales)
        for cost, spent in (
            ("seconds", sum(row["seconds"] for row in ended[:place])),
            ("epochs", sum(row["epochs"] - row["epochs_reused"] for row in ended[:place])),
        ):
            reached = [level for at, level in zip(found[cost], found["hypervolume"], strict=True) if at <= spent + 0.05]
            assert (reached or [0.0])[-1] == pytest.approx(expected, abs=1e-6)
    assert found["trials"][-1] == 59  # the dense network is no trial
    assert found["hypervolume"] == sorted(found["hypervolume"])


def test_progress_needs_a_scale(tmp_path):
    rows = table.read(studies.write(tmp_path / "made-up", studies.rows(9)[1:]))
    with pytest.raises(WrongInput, match="dense"):
        progress(rows, ("val_accuracy", "macs"))


def test_methods_are_held_against_random_networks_of_like_sparsity():
    rows = studies.rows(200)
    random_ones = [row for row in rows if row["method"] == "random-channels" and row["state"] == "complete"]
    expected = {}
    for row in rows:
        near = [one["val_accuracy"] for one in random_ones if abs(one["sparsity"] - row["sparsity"]) <= 0.025]
        if row["state"] == "complete" and row["method"] not in {"dense", "random-channels"} and near:
            expected.setdefault(row["method"], []).append(row["val_accuracy"] - statistics.fmean(near))
    found = {row["method"]: row for row in against_random(rows)}
    assert found.keys() == expected.keys() == {"filter-l1", "magnitude-global", "slimming"}
    for method, differences in expected.items():
        assert found[method]["networks"] == len(differences)
        assert found[method]["above"] == sum(one > 0 for one in differences)
        assert found[method]["median"] == pytest.approx(statistics.median(differences))
        low, _, high = statistics.quantiles(differences, n=4, method="inclusive")
        assert (found[method]["low"], found[method]["high"]) == (pytest.approx(low), pytest.approx(high))


def test_no_random_networks_no_comparison_and_one_network_has_its_own_quartiles():
    rows = [row for row in studies.rows(40) if row["method"] != "random-channels"]
    assert against_random(rows) == []
    row = studies.DENSE_ROW | {"method": "lamp", "val_accuracy": 0.75, "sparsity": 0.5}
    (only,) = against_random([row, row | {"method": "random-channels", "val_accuracy": 0.5, "sparsity": 0.52}])
    assert (only["low"], only["median"], only["high"], only["above"]) == (0.25, 0.25, 0.25, 1)


def test_a_pair_differs_in_nothing_but_control():
    recipe = studies.DENSE_ROW | {"method": "taylor", "ratio": 0.5, "lambda": None}
    rows = [
        recipe | {"trial": "a", "control": "none", "val_accuracy": 0.9, "seconds": 1.0},
        recipe | {"trial": "b", "control": "scratch", "val_accuracy": 0.8, "seconds": 2.0},
        recipe | {"trial": "c", "control": "scratch", "ratio": 0.6},
        recipe | {"trial": "d", "control": "none", "seed": 1},
        recipe | {"trial": "e", "control": "none", "ratio": 0.6, "state": "failed"},
    ]
    assert against_scratch(rows) == [
        {"method": "taylor", "ratio": 0.5, "trials": ["a", "b"], "recovered": 0.9, "scratch": 0.8}
    ]


def epochs(trial, count, *, stage="recovery"):
    cut = {"trial": trial, "stage": "cut", "round": 1, "epoch": 0, "val_accuracy": 0.1}
    return [
        cut,
        *({"trial": trial, "stage": stage, "round": 1, "epoch": n, "val_accuracy": n / 10} for n in range(count)),
    ]


def written_curves(study, lines):
    (study / "curves").mkdir(parents=True)
    for trial, its_own in lines.items():
        (study / "curves" / f"{trial}.json").write_text(json.dumps(its_own))
    return study


def test_curves_are_kept_in_the_order_asked_for_until_the_room_is_used_up(tmp_path, monkeypatch):
    study = written_curves(tmp_path, {name: epochs(name, 3) for name in "abc"})
    monkeypatch.setattr(learning_module, "EPOCHS", 8)
    found, said = learning(study, ["c", "a", "b"], dense=[])
    assert list(found) == ["c", "a"]
    assert said == ["2 of 3 learning curves are on this page"]
    assert found["c"] == {"runs": [["cut", 1, 1], ["recovery", 1, 3]], "val_accuracy": [0.1, 0.0, 0.1, 0.2]}


def test_compacted_curves_are_those_of_the_files(tmp_path):
    lines = {name: epochs(name, count) for name, count in (("a", 3), ("b", 1), ("d", 2))}
    lines["d"][1] |= {"stage": "dense", "round": 0, "val_loss": math.inf}
    lines["b"][0] |= {"round": None}
    names = ["d", "b", "nobody", "a"]
    apart = learning(written_curves(tmp_path / "files", lines), names, dense=["d"])
    study = written_curves(tmp_path / "compacted", lines)
    curves.compact(study)
    for path in (study / "curves").iterdir():
        path.unlink()
    assert learning(study, names, dense=["d"]) == apart
    assert list(apart[0]) == ["d", "b", "a"]
    curves.compact(study)
    assert learning(study, names, dense=["d"]) == ({}, [])


def test_dense_training_is_shown_for_the_dense_network_alone_and_damage_costs_one_curve(tmp_path):
    study = written_curves(tmp_path, {name: epochs(name, 2, stage="dense") for name in "abd"})
    (study / "curves" / "b.json").write_text("{")
    found, _ = learning(study, ["d", "a", "b"], dense=["d"])
    assert [found["d"]["runs"], found["a"]["runs"]] == [[["cut", 1, 1], ["dense", 1, 2]], [["cut", 1, 1]]]
    assert "b" not in found


def test_widths_are_those_of_the_dense_network_and_of_the_last_cut(tmp_path):
    def stage(key, layers, record):
        folder = tmp_path / "stages" / (key + "0" * 48)
        folder.mkdir(parents=True)
        save_file(
            {f"{name}.weight": torch.zeros(shape) for name, shape in layers.items()}, folder / "tensors.safetensors"
        )
        (folder / "manifest.json").write_text(json.dumps({"kind": "cut", "record": record}))

    stage("d" * 16, {"conv.10": (8, 3, 3, 3), "conv.9": (4, 8, 3, 3), "norm": (8,)}, {})
    stage("a" * 16, {"conv.10": (6, 3, 3, 3), "conv.9": (4, 6, 3, 3), "norm": (6,)}, {"past": {}})
    stage(
        "b" * 16,
        {"conv.10": (5, 3, 3, 3), "conv.9": (4, 5, 3, 3), "norm": (5,)},
        {"past": {"channels": {"conv.9": [0]}}},
    )
    spans = [
        {"stage": name, "key": key * 16}
        for name, key in (("dense", "d"), ("cut", "a"), ("recovery", "c"), ("cut", "b"))
    ]
    written_curves(tmp_path, {"one": {"epochs": [], "spans": spans}, "gone": {"epochs": [], "spans": spans[:1]}})
    assert widths(tmp_path, ["gone", "one", "none"]) == {"one": [("conv.9", 4, 3), ("conv.10", 8, 5)]}
    (tmp_path / "stages" / ("b" * 16 + "0" * 48) / "tensors.safetensors").write_bytes(b"\xff" * 20)
    assert widths(tmp_path, ["one"]) == {}


def test_widths_of_a_study_without_stages_are_not_known(tmp_path):
    assert widths(written_curves(tmp_path, {}), ["one"]) == {}


def test_failures_are_grouped_by_what_they_say_numbers_aside(tmp_path):
    rows = studies.rows(18)
    for place, error in ((1, "OutOfMemory: 12 MB of 3.5e9"), (2, "OutOfMemory: 7 MB of 4"), (3, "NaN in layer 3")):
        rows[place] |= {"state": "failed", "error": error}
    (study,) = facts([studies.write(tmp_path / "made-up", rows)])["studies"]
    told = {group["error"]: (group["count"], group["trials"]) for group in study["failures"]}
    assert told["OutOfMemory: 12 MB of 3.5e9"] == (2, [rows[1]["trial"], rows[2]["trial"]])
    assert told["NaN in layer 3"] == (1, [rows[3]["trial"]])
    assert [group["count"] for group in study["failures"]] == sorted((c for c, _ in told.values()), reverse=True)


def test_facts_of_several_studies_name_them_apart_and_mark_each_front(tmp_path):
    one = studies.write(tmp_path / "a" / "same", studies.rows(18))
    other = studies.write(tmp_path / "b" / "same", studies.rows(18, seed=1))
    found = facts([one, other])
    assert [study["name"] for study in found["studies"]] == [str(one), str(other)]
    front = decoded(found["columns"]["_front"], found["rows"])
    place = decoded(found["columns"]["_study"], found["rows"])
    trials = decoded(found["columns"]["trial"], found["rows"])
    for number, study in enumerate((one, other)):
        own = {trial for trial, at, is_front in zip(trials, place, front, strict=True) if at == number and is_front}
        assert own == set(pareto.front(table.read(study), ["val_accuracy", "sparsity", "macs"])["trial"].to_pylist())
    for again in (one, one / ".." / "same"):
        with pytest.raises(WrongInput, match="named twice"):
            facts([one, again])


def test_columns_of_two_kinds_are_one_line(tmp_path):
    one = studies.write(tmp_path / "one", [row | {"strength": 2} for row in studies.rows(9)])
    other = studies.write(tmp_path / "other", [row | {"strength": "much"} for row in studies.rows(9, seed=1)])
    with pytest.raises(WrongInput, match="column strength holds int values in one and string values in other"):
        facts([one, other])


def test_confirmed_is_what_was_trained_anew_over_seeds(tmp_path):
    study = studies.write(tmp_path / "made-up", studies.rows(9))
    known = {"trial": studies.DENSE_ROW["trial"], "bytes": 1}
    anew = [line(seed=seed, accuracy=accuracy, **known) for seed, accuracy in enumerate((0.8, 0.9))]
    confirmed.add(study, [*anew, line(seed=0, accuracy=0.99, as_trained=True, **known)])
    (told,) = facts([study])["studies"]
    assert told["confirmed"] == {
        known["trial"]: {"mean": pytest.approx(0.85), "std": pytest.approx(statistics.stdev((0.8, 0.9))), "seeds": 2}
    }


def test_importance_names_the_knob_that_decides_or_says_why_it_cannot():
    rows = table_of(
        [row | {"val_accuracy": 1 - row["ratio"]} for row in studies.rows(60)[1:] if row["state"] == "complete"]
    )
    (told,) = matters(rows, ["val_accuracy"])
    assert told["knobs"][0]["name"] == "ratio"
    assert told["knobs"][0]["low"] > 0
    (few,) = matters(rows.slice(0, 5), ["val_accuracy"])
    assert few["knobs"] == []
    assert "at least 20" in few["note"]


def test_importance_draws_from_what_it_can_learn_from(monkeypatch):
    monkeypatch.setattr(matters_module, "LOOKED_AT", 40)
    rows = studies.rows(120)
    for row in rows[61:]:
        row |= {"state": "failed"}
    (told,) = matters(table_of(rows), ["val_accuracy"])
    known = sum(row["state"] == "complete" for row in rows[1:])
    assert f"(40 of {known} looked at)" in told["note"]


def table_of(rows):
    names = dict.fromkeys(name for row in studies.rows(60) for name in row) | {"width": None, "data": None}
    return pa.Table.from_pylist([names | row for row in rows])


def test_every_mark_of_the_figures_has_one_on_the_page():
    assert set(SHAPES) == {*MARKS, "o", "*"}
    assert len(set(SHAPES.values())) == len(SHAPES)


def test_data_cannot_end_the_script_that_holds_it():
    evil = {"name": "</script><!--<script>", "other": "\u2028&amp;"}
    text = page(evil, title="</title><b>")
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert "<" not in held
    assert json.loads(held) == evil
    assert "<title>&lt;/title&gt;&lt;b&gt;</title>" in text


def test_the_policy_names_the_scripts_by_their_hashes_and_nothing_else():
    text = page({}, title="{{data}}")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    scripts = [text[found.end() : text.index("</script>", found.end())] for found in re.finditer("<script>", text)]
    assert len(scripts) == 2
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "<title>{{data}}</title>" in text  # what was inserted is not looked through again


def test_reading_leaves_a_study_as_it_was(tmp_path):
    study = studies.write(tmp_path / "made-up", studies.rows(18))
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    facts([study])
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before
