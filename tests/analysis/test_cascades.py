"""Document 004's twelve variants: found among a study's trials, compared with the dense network, told and drawn."""

import itertools

import pytest

from analysis import cascades, latency
from analysis.errors import WrongInput
from tests.analysis import studies
from tests.analysis.test_latency import line

SMALLER = {"none": 1.0, "dynamic-int8": 0.25, "static-int8": 0.26, "float16": 0.5}
PRUNED = {"dense": 1.0, "P1": 0.4, "P2": 0.3}
DENSE = studies.DENSE_ROW | {"gzip_bytes": 1_000_000, "val_accuracy": 0.9}


def made():
    """The dense row and eleven trials, in an order of no meaning, with two that are none of the document's."""
    rows = [DENSE]
    for place, (pruned, how) in enumerate(itertools.product(("P2", "dense", "P1"), reversed(SMALLER))):
        if (pruned, how) == ("dense", "none"):
            continue
        polynomial = {"schedule": "polynomial", "initial": 0.0 if pruned == "P1" else 0.5, "ratio": 0.8}
        rows.append(
            DENSE
            | {"trial": f"{place:016x}", "method": "magnitude-global", "quantisation": how, "ratio": 0.0}
            | {"gzip_bytes": int(1_000_000 * PRUNED[pruned] * SMALLER[how]), "val_accuracy": 0.9 - 0.001 * place}
            | ({} if pruned == "dense" else polynomial)
        )
    other = DENSE | {"method": "lamp", "schedule": "one-shot", "ratio": 0.5}
    return [*rows, other | {"trial": "e" * 16}, rows[1] | {"trial": "f" * 16, "state": "failed"}]


@pytest.fixture
def study(tmp_path):
    return studies.write(tmp_path / "study", made())


def test_the_twelve_are_found_and_come_in_the_documents_order(study):
    found = cascades.variants(study)
    assert [(row["pruned"], row["quantisation"]) for row in found] == list(itertools.product(PRUNED, SMALLER))


def test_each_is_held_against_the_dense_float32_network(study):
    for row in cascades.variants(study):
        assert row["smaller"] == pytest.approx(1 / (PRUNED[row["pruned"]] * SMALLER[row["quantisation"]]))
        assert row["lost"] == pytest.approx(0 if row["method"] == "dense" else 0.1 * int(row["trial"], 16))
        assert row["faster"] is None


def test_what_is_slower_by_dynamic_int8_is_said(study):
    found = {(row["pruned"], row["quantisation"]): row["trial"] for row in cascades.variants(study)}
    assert f"not every file was timed: `prunefront latency {study.name} --trials all`" in cascades.told(
        {study.name: cascades.variants(study)}
    )
    slow = {"dynamic-int8": 6.0, "static-int8": 1.0, "float16": 5.0, "none": 4.0}
    latency.add(study, [line(trial, slow[how]) for (_, how), trial in found.items()])
    said = cascades.told({study.name: cascades.variants(study)})
    slower = "dense 1.50 times as long, P1 1.50 times as long, P2 1.50 times as long"
    assert f"study: dynamic int8 is slower than the dense float32 file here: {slower}" in said
    assert "latency on here, threads: 1" in said
    assert "not every file" not in said
    (static,) = (text for text in said.splitlines() if text.startswith("study  P2") and "static-int8" in text)
    assert static.split()[-1] == "4.00×"


def test_the_figure_has_a_mark_for_each_variant_and_a_bar_for_each_time(study):
    timed = cascades.variants(study)[3]["trial"]
    latency.add(study, [line(timed, 2.0)])
    figure = cascades.cascade_figure({"a": cascades.variants(study), "b": cascades.variants(study)})
    assert len(figure.axes) == 4
    assert [len(axes.lines) for axes in figure.axes[::2]] == [12, 12]
    assert [len(axes.patches) for axes in figure.axes[1::2]] == [1, 1]


def test_a_study_of_something_else_is_refused(tmp_path):
    with pytest.raises(WrongInput, match="no complete dense network"):
        cascades.variants(studies.write(tmp_path / "a", [row for row in made() if row["method"] != "dense"]))
    with pytest.raises(WrongInput, match="run the ready spec doc-004-cascades"):
        cascades.variants(studies.write(tmp_path / "b", [DENSE, made()[-2]]))
    with pytest.raises(WrongInput, match=r"a figure is a .png or .svg, got x.bmp"):
        cascades.main([str(tmp_path), "--figure", "x.bmp"])
