"""Repeats against each other: how they are named, what they are worth at one cost, and what may be said."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import prunefront
from analysis import confirmed, repeats, resampling, table
from analysis.contest import contest
from analysis.errors import WrongInput
from analysis.indicators import hypervolume, scales
from analysis.pareto import is_nondominated
from tests.analysis import studies
from tests.analysis.test_confirmed import line

OBJECTIVES = ("val_accuracy", "macs")
BOTH = ["higher", "lower"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five repeats of l1, and five of tl1, which is more accurate by .03."""
    at = tmp_path_factory.mktemp("studies")
    for seed in range(5):
        studies.repeat(at / f"l1-{seed}", seed=seed)
        studies.repeat(at / f"tl1-{seed}", seed=10 + seed, gain=0.03)
    return at


def run(*words):
    return CliRunner().invoke(prunefront.app, [str(word) for word in words])


def read(*arguments, objectives=OBJECTIVES):
    return repeats.read(repeats.groups([str(each) for each in arguments]), objectives)


def test_groups_are_named_listed_and_found(folder):
    groups = repeats.groups(
        [
            f"tl1={folder}/tl1-*",
            f"l1={folder}/l1-0,{folder}/l1-1",
            f"l1={folder}/l1-2",
            f"{folder}/l1-3",
            f"{folder}/l1-[4]",
        ]
    )
    assert {group.name: [path.name for path in group.studies] for group in groups} == {
        "tl1": [f"tl1-{i}" for i in range(5)],
        "l1": ["l1-0", "l1-1", "l1-2"],
        "l1-3": ["l1-3"],
        "l1-4": ["l1-4"],
    }


def literal_hypervolume(rows, kept, scale):
    """Of the first rows of a study, which ended one after the other."""
    values = np.array(
        [
            [row["val_accuracy"], row["macs"]]
            for row in rows[:kept]
            if row["state"] == "complete" and row["val_accuracy"] is not None
        ]
    )
    return hypervolume(values, scale)


def rows_of(study):
    return sorted(table.read(study).to_pylist(), key=lambda row: row["started"])


def test_hypervolumes_are_those_of_what_had_ended_at_each_cost(folder):
    groups = read(f"l1={folder}/l1-*", f"tl1={folder}/tl1-*")
    found = contest(groups, OBJECTIVES)
    every = [rows_of(study) for group in groups for study in group.studies]
    scale = scales(table.read(*[study for group in groups for study in group.studies]), OBJECTIVES)
    assert found.budget == 23
    assert [stand.paid for stand in found.stands if stand.cost == "trials"] == [6, 12, 17, 23]
    for stand in found.stands:
        values = [value for group in groups for value in stand.hypervolumes[group.name]]
        # The dense network, 20 s and 8 epochs, is the first row and no trial; all others take 10 s and run 4 epochs.
        kept = {"trials": 1 + stand.paid, "seconds": (stand.paid - 20) // 10 + 1, "epochs": (stand.paid - 8) // 4 + 1}
        expected = [literal_hypervolume(rows, int(kept[stand.cost]), scale) for rows in every]
        assert values == pytest.approx(expected, abs=1e-12), stand.cost


def test_a_study_is_compared_at_what_the_shortest_one_paid(folder, tmp_path):
    short = studies.repeat(tmp_path / "short", seed=20, count=12)
    found = contest(read(f"l1={folder}/l1-0,{folder}/l1-1", f"{short}"), OBJECTIVES)
    assert found.budget == 11
    (pair,) = found.pairs.values()
    last = [stand for stand in found.stands if stand.cost == "trials"][-1]
    assert (last.paid, pair.probability) == (
        11, sum(value > last.hypervolumes["short"][0] for value in last.hypervolumes["l1"]) / 2,
    )  # fmt: skip


def test_one_repeat_attains_its_front_at_the_common_budget(folder, tmp_path):
    short = studies.repeat(tmp_path / "short", seed=20, count=12)
    found = contest(read(folder / "l1-0", short), OBJECTIVES)
    last = [stand for stand in found.stands if stand.cost == "trials"][-1]
    for name, surfaces in found.surfaces.items():
        assert [each.hypervolume for each in surfaces] == pytest.approx(list(last.hypervolumes[name]) * 3), name


def test_surfaces_border_what_so_many_repeats_attain_within_the_budget(folder):
    groups = read(f"tl1={folder}/tl1-*")
    found = contest(groups, OBJECTIVES)
    fronts = []
    for rows in map(rows_of, groups[0].studies):
        points = np.array([[r["val_accuracy"], r["macs"]] for r in rows if r["state"] == "complete" and r["macs"]])
        fronts.append(points[is_nondominated(points, BOTH)])
    assert [surface.percent for surface in found.surfaces["tl1"]] == [25, 50, 75]
    for surface in found.surfaces["tl1"]:
        for accuracy, macs in surface.points:
            attaining = sum(bool(((one[:, 0] >= accuracy) & (one[:, 1] <= macs)).any()) for one in fronts)
            better = sum(bool(((one[:, 0] > accuracy) & (one[:, 1] < macs)).any()) for one in fronts)
            assert attaining >= math.ceil(surface.percent / 100 * 5) > better
    volumes = [surface.hypervolume for surface in found.surfaces["tl1"]]
    assert volumes == sorted(volumes, reverse=True)
    accuracies = [point[0] for point in found.surfaces["tl1"][0].points]
    assert accuracies == sorted(accuracies, reverse=True)


def test_what_does_not_meet_the_studys_constraints_costs_and_does_not_count(tmp_path):
    study = studies.repeat(tmp_path / "s", seed=1)
    free = contest(read(study), OBJECTIVES)
    (study / "spec.yaml").write_text('search: {constraints: {macs: "<= 100 M"}}')
    bound = contest(read(study), OBJECTIVES)
    assert bound.budget == free.budget
    assert bound.stands[-1].means["s"].mean < free.stands[-1].means["s"].mean


def test_five_repeats_that_do_not_overlap_are_told_apart(folder):
    done = run("compare", f"l1={folder}/l1-*", f"tl1={folder}/tl1-*", "--objectives", "val_accuracy,macs")
    assert done.exit_code == 0, done.output
    assert "one scale for all, from worst to best: val_accuracy 0.1 to 1, macs 3.13e+08 to 0" in done.stdout
    assert "l1 (5 repeats)" in done.stdout
    assert "P(A beats B): that a repeat of A drawn at random has the larger hypervolume at 23 trials" in done.stdout
    assert "P(l1 beats tl1) = 0.00 [0.00, 0.00], p 0.00794 (exact permutation test): tl1 is better" in done.stdout
    assert "attained by" in done.stdout
    document = json.loads(
        run("compare", f"l1={folder}/l1-*", f"tl1={folder}/tl1-*", "--objectives", "val_accuracy,macs", "--json").stdout
    )
    (pair,) = document["pairs"]
    assert (pair["first"], pair["second"], pair["better"]) == ("l1", "tl1", "tl1")
    last = [stand for stand in document["stands"] if stand["cost"] == "trials"][-1]
    volumes = last["hypervolume"]["tl1"]
    assert volumes["mean"] == pytest.approx(sum(volumes["repeats"]) / 5)
    assert f"{volumes['mean']:.3f} [{volumes['low']:.3f}, {volumes['high']:.3f}]" in done.stdout
    curve = document["groups"]["tl1"]["hypervolume"][str(folder / "tl1-0")]["trials"]
    assert [cost for cost, _ in curve] == sorted(cost for cost, _ in curve)
    assert curve[-1][1] == volumes["repeats"][0]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (1, 1, "one repeat each, so nothing can be said about which is better"),
        (3, 1, "one repeat of tl1, so nothing can be said"),
        (3, 3, "too few repeats to say which is better: 3 and 3 give no p below 0.1"),
    ],
)
def test_nothing_is_better_with_few_repeats(folder, first, second, said):
    words = [
        f"{name}=" + ",".join(f"{folder}/{name}-{i}" for i in range(count))
        for name, count in (("l1", first), ("tl1", second))
    ]
    done = run("compare", *words)
    assert done.exit_code == 0, done.output
    assert said in done.stdout
    assert "is better\n" not in done.stdout
    (pair,) = json.loads(run("compare", *words, "--json").stdout)["pairs"]
    assert pair["better"] is None


def test_equal_groups_are_not_told_apart(folder):
    done = run("compare", f"a={folder}/l1-[0-1],{folder}/tl1-[0-1]", f"b={folder}/l1-[2-3],{folder}/tl1-[2-3]")
    assert "(exact permutation test): not told apart" in done.stdout


def test_a_test_that_drew_its_labels_does_not_call_itself_exact(folder, monkeypatch):
    monkeypatch.setattr(resampling, "LABELS", 5)
    words = ("compare", f"a={folder}/l1-[0-1]", f"b={folder}/l1-[2-3]")
    assert "(permutation test, 5 labels drawn): " in run(*words).stdout
    assert json.loads(run(*words, "--json").stdout)["pairs"][0]["labels_drawn"] == 5


def test_confirmed_results_come_with_mean_deviation_and_chance(tmp_path):
    study = studies.repeat(tmp_path / "s", seed=1)
    confirmed.add(study, [line("a" * 16, seed, 0.9 + 0.01 * seed, macs=100) for seed in range(3)])
    confirmed.add(study, [line("b" * 16, seed, 0.8 + 0.01 * seed, macs=300) for seed in range(2)])
    said = run("compare", study, "--objectives", "val_accuracy,macs").stdout
    assert "each objective normal with the mean and deviation of its seeds, networks independent" in said
    (first,) = [text for text in said.splitlines() if "a" * 16 in text]
    assert first.split()[-5:] == ["0.9100", "±", "0.0100", "3", "1.00"]
    (second,) = [text for text in said.splitlines() if "b" * 16 in text]
    assert second.split()[-5:] == ["0.8050", "±", "0.0071", "2", "0.00"]


def test_the_figure_is_drawn_and_its_ending_is_checked(folder, tmp_path):
    path = tmp_path / "two.png"
    words = ("compare", f"l1={folder}/l1-*", f"tl1={folder}/tl1-*", "--objectives", "val_accuracy,macs", "--figure")
    assert run(*words, path).stdout.endswith(f"\n{path}\n")
    with Image.open(path) as drawn:
        colours = {colour for _, colour in drawn.convert("RGB").getcolors(1 << 24)}
        assert drawn.width > 1_000
    assert {(0, 114, 178), (230, 159, 0)} <= colours  # a line for each group
    wrong = run(*words, tmp_path / "two.pdf")
    assert (wrong.exit_code, "ends in .png or .svg" in wrong.stderr) == (2, True)
    nowhere = run(*words, tmp_path / "nowhere" / "two.svg")
    assert (nowhere.exit_code, "cannot be written" in nowhere.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["FOLDER/nothing-*"], "no study fits"),
        (["a=FOLDER/l1-0", "b=FOLDER/l1-0"], "is named twice"),
        (["FOLDER/l1-0", "OTHER/l1-0"], "two groups are called l1-0: name them, such as first="),
        (["a="], "a group is [NAME=]STUDY[,STUDY …], such as l1=studies/l1-*, got 'a='"),
        (["FOLDER/l1-9"], "there is no study at"),
        (["a=FOLDER/l1-0,OTHER/l1-0"], "have the same seed 0: repeats of a differ in it"),
        (["FOLDER/l1-0", "OTHER/resnet"], "network is vgg16-bn in"),
        (["OTHER/empty"], "empty has no rows yet"),
        (["OTHER/failed"], "is complete with a number for each of val_accuracy, sparsity, macs"),
        (["OTHER/timeless"], "OTHER/timeless: none of the 9 rows says when it started"),
        (["FOLDER/l1-0", "OTHER/timeless"], "OTHER/timeless: none of the 9 rows says when it started"),
        (["OTHER/denseless"], "OTHER/denseless has no complete row of the dense network"),
        (
            ["OTHER/denseless", "b=OTHER/denseless-too"],
            "none of OTHER/denseless, OTHER/denseless-too has a complete row of the dense network",
        ),
        (["OTHER/free", "--over", "epochs"], "OTHER/free paid no epochs: choose another cost with --over"),
        (["a=OTHER/spec-0,OTHER/spec-1"], "search.methods is not the same in"),
        (["FOLDER/l1-0", "--over", "hours"], "'hours' is not a cost"),
        (["FOLDER/l1-0", "--objectives", "val_acuracy"], "did you mean val_accuracy"),
        (["FOLDER/l1-0", "--objectives", "latency_ms"], "with a number for each of latency_ms"),
        ([], "Missing argument"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(folder, tmp_path, words, said):
    studies.repeat(tmp_path / "l1-0", seed=0)
    studies.write(tmp_path / "resnet", [row | {"network": "resnet20"} for row in studies.rows(9)])
    studies.write(tmp_path / "empty", [])
    studies.write(tmp_path / "failed", [row | {"state": "failed"} for row in studies.rows(9)])
    studies.write(tmp_path / "timeless", studies.rows(9))
    for seed, name in enumerate(("denseless", "denseless-too")):
        (studies.repeat(tmp_path / name, seed=seed) / "rows" / f"{studies.DENSE_ROW['trial']}.json").unlink()
    rows = table.read(studies.repeat(tmp_path / "free", seed=0)).to_pylist()
    studies.write(tmp_path / "free", [row | {"epochs": 0, "epochs_reused": 0} for row in rows])
    for seed, methods in enumerate(("[lamp]", "[snip]")):
        study = studies.repeat(tmp_path / f"spec-{seed}", seed=seed)
        (study / "spec.yaml").write_text(f"seed: {seed}\nsearch: {{methods: {methods}, trials: {seed + 5}}}")
    done = run("compare", *[word.replace("FOLDER", str(folder)).replace("OTHER", str(tmp_path)) for word in words])
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert said.replace("OTHER", str(tmp_path)) in done.stderr
    assert done.stderr.count("\n") == 1


def test_repeats_may_differ_in_seed_budget_and_where_the_data_lie(tmp_path):
    for seed in range(2):
        study = studies.repeat(tmp_path / f"s-{seed}", seed=seed)
        (study / "spec.yaml").write_text(
            f"seed: {seed}\nworkers: {seed + 1}\ndata: {{name: digits, folder: at/{seed}}}\n"
            f"search: {{trials: {seed}, storage: 'sqlite:///{seed}.db', loggers: {['mlflow'][:seed]}}}"
        )
    assert len(read(f"s={tmp_path}/s-*")[0]) == 2


def test_no_rows_of_a_running_study_are_touched(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    contest(read(f"l1={folder}/l1-*"), OBJECTIVES)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_more_than_three_objectives_have_no_surfaces_and_say_so(folder):
    said = run("compare", f"l1={folder}/l1-*", "--objectives", "val_accuracy,sparsity,macs,params").stdout
    assert "no attainment surfaces: they are known for 2 and 3 objectives, not for 4" in said


def test_wrong_costs_are_refused_as_a_library(folder):
    with pytest.raises(WrongInput, match="'hours' is not a cost"):
        contest(read(f"{folder}/l1-0"), OBJECTIVES, over="hours")
