"""Which knobs matter: held to closed forms, to slow loops, and to tables whose truth is known."""

import itertools
import math
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import importance as module
from analysis import knobs
from analysis.errors import WrongInput
from analysis.importance import Forests, dependence, importance, learn
from analysis.schema import arrow_schema

FURTHER = {"scope": "string", "images": "int", "noise": "float", "x": "float", "y": "float"}


@pytest.fixture(autouse=True)
def fewer_trees(monkeypatch):
    """The laws hold of any forest, and a small one tells what is told apart here."""
    monkeypatch.setattr(module, "TREES", 24)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    common = {"state": "complete", "network": "vgg16", "data": "digits", "width": 1.0, "seed": 0}
    schema = arrow_schema(FURTHER)
    whole = [{**dict.fromkeys(schema.names), **common, "trial": f"{i:016x}", **row} for i, row in enumerate(rows)]
    return pa.Table.from_pylist(whole, schema=schema)


def made(count: int, accuracy, *, seed: int = 0) -> pa.Table:
    """Recipes of two methods, one of them with a penalty; ``accuracy`` of a recipe says the objective."""
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        row = {"method": ("filter-l1", "slimming")[i % 2], "ratio": chance.random(), "noise": chance.random()}
        if row["method"] == "slimming":
            row |= {"penalty": chance.choice(["l1", "lp", "tl1"]), "lambda": 10 ** chance.uniform(-5, -1)}
            row |= {"p": chance.random()} if row["penalty"] == "lp" else {}
            row |= {"a": chance.random()} if row["penalty"] == "tl1" else {}
        else:
            row |= {"scope": chance.choice(["layer", "global"])}
        rows.append(row | {"val_accuracy": accuracy(row)})
    return table(rows)


class Known:
    """A forest that has learned the truth: in the place of scikit-learn's, where a closed form is to be met."""

    def __init__(self, truth):
        self.truth = truth

    def predict(self, values):
        return self.truth(values)


def known(values: np.ndarray, truth, *, names: str) -> Forests:
    """Trials of one method whose knobs are the columns of ``values``, all of them ordered."""
    codes = {name: np.unique(values[:, i], return_inverse=True)[1] for i, name in enumerate(names)}
    found = knobs.Knobs(
        values=values,
        columns={name: (i,) for i, name in enumerate(names)},
        codes=codes,
        choices={name: tuple(np.unique(values[:, i])) for i, name in enumerate(names)},
        decides={},
    )
    fold = np.random.default_rng(1).permutation(len(values)) % 5
    return Forests("val_accuracy", found, truth(values), (fold,), len(values), 0, module.TREES)


def effects(forests: Forests, truth, sets):
    return forests._effects([(Known(truth), forests.folds[0] == fold) for fold in range(5)], sets)


def test_total_effects_and_interactions_of_a_known_function_have_their_closed_form():
    """Of 3u + v + 4(u − ½)(w − ½), all uniform on [0, 1]: variances 9/12, 1/12, and 16/144 for both u and w."""

    def truth(x):
        return 3 * x[:, 0] + x[:, 1] + 4 * (x[:, 0] - 0.5) * (x[:, 2] - 0.5)

    forests = known(np.random.default_rng(0).random((3_000, 4)), truth, names="uvwz")
    total = 9 / 12 + 1 / 12 + 16 / 144
    found = effects(forests, truth, [("u",), ("v",), ("w",), ("z",), ("u", "w"), ("u", "v"), ("w", "z")])
    assert found["u",].mean == pytest.approx((9 / 12 + 16 / 144) / total, abs=0.04)
    assert found["v",].mean == pytest.approx((1 / 12) / total, abs=0.02)
    assert found["w",].mean == pytest.approx((16 / 144) / total, abs=0.02)
    assert found["u", "w"].mean == pytest.approx((16 / 144) / total, abs=0.04)
    assert found["z",].mean == found["w", "z"].mean == 0.0
    assert found["u", "v"].mean == pytest.approx(0.0, abs=0.04)


def test_effects_agree_with_the_formula_written_out():
    """Trial by trial: the squared error with the donor's knob less that without, by twice the variance."""
    values = np.random.default_rng(3).random((40, 2))

    def truth(x):
        return x[:, 0] * x[:, 1]

    def guess(x):
        return 0.7 * x[:, 0] * x[:, 1] + 0.2 * x[:, 1] ** 2

    forests = known(values, truth, names="uv")
    (found,) = effects(forests, guess, [("u", "v")]).values()
    chance = np.random.default_rng(0)
    cycles = [module._cycle(np.zeros(40, dtype=int), chance) for _ in range(8)]
    by_fold = []
    for fold in range(5):
        unseen = [i for i in range(40) if forests.folds[0][i] == fold]
        risen = 0.0
        for i, donors in itertools.product(unseen, cycles):
            (u, v), (other_u, other_v) = values[i], values[donors[i]]
            before = (u * v - guess(np.array([[u, v]]))[0]) ** 2
            for sign, point in ((1, (other_u, v)), (1, (u, other_v)), (-1, (other_u, other_v))):
                risen += sign * ((u * v - guess(np.array([point]))[0]) ** 2 - before)
        by_fold.append(risen / (len(unseen) * 8) / (2 * np.var(truth(values))))
    mean = sum(by_fold) / 5
    std = math.sqrt((1 / 5 + 1 / 4) * sum((each - mean) ** 2 for each in by_fold) / 4)
    assert found.mean == pytest.approx(mean, abs=1e-12)
    assert found.std == pytest.approx(std, abs=1e-12)
    assert found.high - found.mean == pytest.approx(2.7764451 * std, rel=1e-6)  # Student's t, 4 degrees of freedom


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=30), st.integers(0, 9))
def test_exchanges_are_a_permutation_within_strata_that_leaves_nobody_alone_in_place(strata, seed):
    given_strata = np.array(strata)
    donors = module._cycle(given_strata, np.random.default_rng(seed))
    assert sorted(donors) == list(range(len(strata)))
    for row, donor in enumerate(donors):
        alone = strata[row] == -1 or strata.count(strata[row]) == 1
        assert strata[donor] == strata[row]
        assert (donor == row) == alone


def test_a_dominant_knob_an_irrelevant_one_and_the_forests_quality_are_told():
    found = importance(made(80, lambda row: 0.9 - 0.5 * row["ratio"] ** 2), "val_accuracy")
    assert found.explained > 0.9
    assert next(iter(found.knobs)) == "ratio"
    assert found.knobs["ratio"].mean > 0.7
    assert found.knobs["ratio"].is_seen
    assert found.knobs["noise"].low < 0 < found.knobs["noise"].high
    assert found.knobs["ratio"].trials == 80
    assert found.knobs["p"].trials < found.knobs["lambda"].trials == 40


def test_a_pure_interaction_is_seen_though_neither_knob_does_anything_alone():
    """An exclusive or of two knobs: given one, the mean over the other is ½ whatever it is."""

    def accuracy(row):
        return float((row["x"] > 0.5) != (row["y"] > 0.5))

    chance = random.Random(5)
    rows = [
        {"method": "lamp", "x": chance.random(), "y": chance.random(), "ratio": chance.random()} for _ in range(160)
    ]
    found = importance(table([row | {"val_accuracy": accuracy(row)} for row in rows]), "val_accuracy")
    assert found.explained > 0.5
    (first, effect), *others = found.pairs.items()
    assert set(first) == {"x", "y"}
    assert effect.is_seen
    assert effect.mean > 0.4
    assert all(abs(other.mean) < 0.1 for _, other in others)
    assert found.knobs["ratio"].low < 0 < found.knobs["ratio"].high


def test_a_forest_that_learns_nothing_says_so():
    chance = random.Random(1)
    found = importance(made(40, lambda _: chance.gauss(0.8, 0.01)), "val_accuracy", pairs=False)
    assert found.explained < 0.1


def test_a_knob_counts_as_much_as_its_logarithm():
    """What decides at a thousandth of a range is missed by trees that draw their thresholds evenly over it."""
    rows = made(60, lambda row: 0.9 if row.get("lambda", 1) > 1e-4 else 0.5)
    logged = [row | {"lambda": row["lambda"] and math.log(row["lambda"])} for row in rows.to_pylist()]
    plain = importance(rows, "val_accuracy", pairs=False)
    assert plain == importance(table(logged), "val_accuracy", pairs=False)
    assert plain.knobs["lambda"].mean > 0


def test_knobs_that_do_not_apply_are_neither_moved_nor_made_up():
    found = knobs.of(made(200, lambda _: 0.5))
    assert found.decides == {"lambda": "method", "penalty": "method", "scope": "method", "p": "penalty", "a": "penalty"}
    assert set(found.moved("penalty")) == {"penalty", "p", "a"}
    assert set(found.moved("method")) == {"method", "penalty", "lambda", "p", "a", "scope"}
    assert found.above("p") == ["penalty", "method"]
    chance = np.random.default_rng(0)

    def patterns(values):
        """What applies, together with what decides on it."""
        deciding = [place for name in ("method", "penalty") for place in found.columns[name]]
        return {(*np.nan_to_num(row[deciding], nan=-1.0), *np.isnan(row)) for row in values}

    for knob in found.codes:
        donors = module._cycle(found.strata(knob), chance)
        changed = found.exchanged([knob], donors)
        absent = ~found.applies(knob)
        assert patterns(changed) <= patterns(found.values), knob
        assert np.array_equal(changed[absent], found.values[absent], equal_nan=True), knob
        if knob != "method":
            method = found.codes["method"]
            assert (method[donors] == method).all(), knob


def test_a_knob_that_differs_between_methods_only_is_theirs():
    rows = [{"method": name, "images": count, "ratio": i / 30} for i in range(30) for name, count in
            (("taylor", 128), ("snip", 256))]  # fmt: skip
    assert set(knobs.of(table(rows)).codes) == {"method", "ratio"}


def test_rounds_follow_the_schedule_and_not_the_method():
    rows = [
        {"method": method, "schedule": schedule, "rounds": rounds, "ratio": i / 9}
        for i in range(10)
        for method in ("fpgm", "lamp", "snip")
        for schedule, rounds in (("one-shot", None), ("stepwise", 3 + i % 2))
    ]
    assert knobs.of(table(rows)).decides == {"rounds": "schedule"}
    by_chance = [
        row | {"statistic": "mean" if row["schedule"] == "one-shot" else ("max", "sum")[i // 2 % 2]}
        for i, row in enumerate(rows)
    ]
    assert knobs.of(table(by_chance)).decides["rounds"] == "schedule"


def test_repeats_of_a_recipe_are_unseen_together():
    rows = [
        {"method": "fpgm", "ratio": i / 40, "seed": seed, "val_accuracy": i / 40 + seed / 1e3}
        for seed in range(3)
        for i in range(40)
    ]
    (folds, *_) = learn(table(rows), "val_accuracy").folds
    assert (folds[:40] == folds[40:80]).all()
    assert sorted(np.bincount(folds).tolist()) == [24] * 5


def test_the_same_seed_gives_the_same_numbers_and_the_table_is_left():
    rows = made(50, lambda row: row["ratio"] ** 2)
    before = rows.to_pylist()
    assert importance(rows, "val_accuracy", seed=4) == importance(rows, "val_accuracy", seed=4)
    assert rows.to_pylist() == before


def test_dependence_has_the_slope_of_what_was_learned_within_each_method():
    """Accuracy falls with ratio by .4 under one method and by 0 under the other; lambda is slimming's alone."""
    rows = made(300, lambda row: 0.9 - (0.4 * row["ratio"] if row["method"] == "slimming" else 0.0))
    flat, steep = dependence(rows, "val_accuracy", "ratio")
    assert (flat.group, steep.group) == ("filter-l1", "slimming")
    slopes = [np.polyfit(curve.values[2:-2], curve.means[2:-2], 1)[0] for curve in (flat, steep)]
    assert slopes[0] == pytest.approx(0.0, abs=0.04)
    assert slopes[1] == pytest.approx(-0.4, abs=0.06)
    assert list(steep.values) == sorted(steep.values)
    assert len(steep.values) == len(steep.means) == len(steep.stds) == module.GRID
    assert [curve.group for curve in dependence(rows, "val_accuracy", "lambda")] == ["slimming"]
    (whole,) = dependence(rows, "val_accuracy", "ratio", by=None)
    assert whole.trials == 300


def test_dependence_on_a_name_brings_along_what_it_decides():
    rows = made(300, lambda row: {"l1": 0.5, "lp": 0.6 + 0.1 * row.get("p", 0), "tl1": 0.9}.get(row.get("penalty"), 0))
    (curve,) = dependence(rows, "val_accuracy", "penalty")
    assert curve.values == ("l1", "lp", "tl1")
    assert curve.means == pytest.approx((0.5, 0.65, 0.9), abs=0.04)


def test_dependence_is_the_mean_prediction_with_the_value_set():
    """Row by row through the same forests."""
    learned = learn(made(60, lambda row: row["ratio"] + row["noise"]), "val_accuracy")
    (curve,) = learned.dependence("ratio", by=None)
    (place,) = learned.knobs.columns["ratio"]
    at = learned.knobs.choices["ratio"].index(curve.values[3])
    rank = learned.knobs.values[learned.knobs.codes["ratio"] == at, place][0]
    means = []
    for forest, _ in itertools.islice(learned._grown(), 5):
        single = []
        for row in learned.knobs.values:
            changed = row.copy()
            changed[place] = rank
            single.append(forest.predict(changed[None])[0])
        means.append(sum(single) / 60)
    assert curve.means[3] == pytest.approx(np.mean(means), abs=1e-12)
    assert curve.stds[3] == pytest.approx(np.std(means, ddof=1), abs=1e-12)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.floats(-1, 1), st.booleans()), min_size=1, max_size=12))
def test_codes_and_choices_say_the_table(rows):
    found = knobs.of(table([{"method": m, "ratio": r, "scope": "x" if s else None} for m, r, s in rows]))
    for name in found.codes:
        said = [None if code == -1 else found.choices[name][code] for code in found.codes[name]]
        assert said == [{"method": m, "ratio": r, "scope": "x" if s else None}[name] for m, r, s in rows]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "none of the 0 rows is a complete, pruned network with val_accuracy"),
        ([{"method": "dense", "val_accuracy": 0.9}], "none of the 1 rows is a complete, pruned network"),
        ([{"method": "fpgm", "ratio": 0.5, "val_accuracy": math.nan}], "none of the 1 rows"),
        ([{"method": "fpgm", "ratio": 0.5, "val_accuracy": i / 30} for i in range(30)], "no knob varies"),
        ([{"method": "fpgm", "ratio": i / 30, "val_accuracy": i / 30} for i in range(19)], "at least 20 .* got 19"),
        ([{"method": "fpgm", "ratio": i / 30, "val_accuracy": 0.1} for i in range(30)], "is 0.1 in all 30 networks"),
        (
            [{"method": "fpgm", "ratio": i / 30, "network": f"n{i % 2}", "val_accuracy": 0.1} for i in range(30)],
            "got network n0 and n1: choose one with --where \"network == 'n0'\"",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_one_line(rows, said):
    with pytest.raises(WrongInput, match=said) as caught:
        importance(table(rows), "val_accuracy")
    assert "\n" not in str(caught.value)


def test_unknown_names_are_said():
    rows = made(40, lambda row: row["ratio"])
    with pytest.raises(WrongInput, match="did you mean val_accuracy"):
        importance(rows, "val_acuracy")
    with pytest.raises(WrongInput, match=r"'rato' is not a knob that varies .*did you mean ratio"):
        dependence(rows, "val_accuracy", "rato")


def test_many_trials_are_drawn_from():
    rows = made(1_300, lambda row: row["ratio"])
    learned = learn(rows, "val_accuracy")
    assert (len(learned.target), learned.of) == (module.MOST, 1_300)
