"""Includes, profiles, settings and the environment: what a spec's mapping is made of."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.errors import WrongInput
from search.sources import gather, merged
from search.spec import Spec, load

BASE = {
    "network": "seed-cnn",
    "data": {"name": "digits", "images": 300},
    "search": {"methods": {"filter-l1": {"ratio": [0.2, 0.4], "scope": "layer"}}, "trials": 4},
    "workers": 2,
}


def write(folder: Path, name: str, content: Any) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def settings_of(name: str, *settings: str) -> dict[str, Any]:
    return gather(name, settings=settings, model=Spec)[0]


def refusal(name: str, *settings: str) -> str:
    with pytest.raises(WrongInput) as raised:
        load(name, settings=settings)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def literal_merge(base: Any, over: Any) -> Any:
    """Key by key, the slow way: over every path of either side."""
    if not (isinstance(base, dict) and isinstance(over, dict)) or "uniform" in over or "log" in over:
        return over
    return {key: literal_merge(base[key], over[key]) if key in base and key in over else {**base, **over}[key]
            for key in {**base, **over}}  # fmt: skip


@pytest.mark.parametrize(
    ("base", "over"),
    [
        ({"a": {"b": 1, "c": [1, 2]}, "d": 3}, {"a": {"c": [9]}, "e": {"f": 1}}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": 2}}),
        ({"a": 1}, {"a": {"b": 2}}),
        ({"r": {"uniform": [0.1, 0.5], "step": 0.1}}, {"r": {"log": [0.1, 0.5]}}),
        ({"r": {"uniform": [0.1, 0.5], "step": 0.1}}, {"r": {"step": 0.2}}),
        ({"r": {"uniform": [0.1, 0.5], "step": 0.1}}, {"r": {"uniform": [0.2, 0.3]}}),
        ({}, {"a": {}}),
        ({"a": {"b": 1}}, {}),
    ],
)
def test_mappings_are_merged_and_all_else_replaced(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = yaml.safe_dump([base, over])
    assert merged(base, over) == literal_merge(base, over)
    assert yaml.safe_dump([base, over]) == before


def test_a_spec_is_laid_over_what_it_includes_in_order(tmp_path: Path) -> None:
    write(tmp_path, "deep/first.yaml", BASE)
    write(tmp_path, "deep/second.yaml", {"include": "first.yaml", "seed": 5, "data": {"images": 200}})
    write(tmp_path, "third.yaml", {"search": {"trials": 7}, "seed": 6})
    name = write(
        tmp_path,
        "spec.yaml",
        {"include": ["deep/second.yaml", "third.yaml"], "network": {"width": 0.25}, "workers": 1},
    )
    spec, called = load(name)
    assert called == "spec"
    assert (spec.network.name, spec.network.width, spec.workers) == ("seed-cnn", 0.25, 1)
    assert (spec.data.name, spec.data.images, spec.search.trials, spec.seed) == ("digits", 200, 7, 6)
    assert set(spec.space.methods.options) == {"filter-l1"}


def test_a_ready_spec_can_be_included_by_name_and_one_file_twice(tmp_path: Path) -> None:
    write(tmp_path, "left.yaml", {"include": "demo", "seed": 1})
    write(tmp_path, "right.yaml", {"include": "demo"})
    spec, _ = load(write(tmp_path, "spec.yaml", {"include": ["left.yaml", "right.yaml"], "search": {"trials": 3}}))
    demo, _ = load("demo")
    assert spec.space == demo.space
    assert (spec.search.trials, spec.seed) == (3, 1)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"spec.yaml": {"include": "spec.yaml"}}, "includes go round in a circle: spec.yaml → spec.yaml"),
        (
            {"spec.yaml": {"include": "a.yaml"}, "a.yaml": {"include": ["b.yaml"]}, "b.yaml": {"include": "a.yaml"}},
            "includes go round in a circle: a.yaml → b.yaml → a.yaml",
        ),
        ({"spec.yaml": {"include": "missing.yaml"}}, "cannot include missing.yaml: there is no file"),
        ({"spec.yaml": {"include": ["demo", "demmo"]}}, "cannot include demmo"),
        ({"spec.yaml": {"include": 3}}, "include takes a file, a ready spec's name, or a list of them, got 3"),
        ({"spec.yaml": {"include": []}}, "include takes a file"),
        ({"spec.yaml": {"include": None}}, "include takes a file"),
        ({"spec.yaml": {"include": "a.yaml"}, "a.yaml": "[1, 2]"}, "must hold a mapping of settings, got list"),
        ({"spec.yaml": {"include": "a.yaml"}, "a.yaml": "a: ["}, "is not YAML"),
        ({"spec.yaml": {"include": "${NOWHERE_AT_ALL}/a.yaml"}}, "NOWHERE_AT_ALL is not set in the environment"),
    ],
)
def test_an_include_that_cannot_be_is_refused_with_its_place(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    for name, content in files.items():
        write(tmp_path, name, content)
    refused = refusal(str(tmp_path / "spec.yaml"))
    assert message in refused
    assert ".yaml: include)" in refused


def test_a_mistake_in_an_included_file_names_it(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", {**BASE, "serach": 1})
    assert "spec.yaml with base.yaml: serach)" in refusal(write(tmp_path, "spec.yaml", {"include": "base.yaml"}))


def profiled(folder: Path, **further: Any) -> str:
    small = {"data": {"images": 150}, "search": {"methods": {"filter-l1": {"ratio": 0.3}}}, "network": {"width": 0.25}}
    return write(folder, "spec.yaml", {**BASE, "profiles": {"small": small, "large": {"seed": 9}}, **further})


def test_a_profile_is_merged_over_the_spec_and_under_settings(tmp_path: Path) -> None:
    name = profiled(tmp_path)
    plain, called = load(name)
    assert (plain.data.images, plain.network.width, called) == (300, 1.0, "spec")
    small, called = load(name, settings=["search.trials=1", "profile=small", "network.width=.5"])
    assert (small.data.images, small.data.name, small.network.width, small.search.trials) == (150, "digits", 0.5, 1)
    assert small.space.written() == {"filter-l1": {"ratio": 0.3, "scope": "layer"}}
    assert called == "spec-small"
    # What is frozen is the merged spec, which says nothing of profiles.
    assert Spec.parse(small.model_dump(mode="json"), where="frozen") == small


def test_a_spec_can_choose_its_profile_and_a_setting_another_or_none(tmp_path: Path) -> None:
    name = profiled(tmp_path, profile="small")
    assert load(name)[0].data.images == 150
    assert load(name, settings=["profile=large"])[0].seed == 9
    assert load(name, settings=["profiles.small.seed=3"])[0].seed == 3
    assert load(name, settings=["profile=null"])[0] == load(profiled(tmp_path))[0]


def test_profiles_of_an_included_spec_can_be_chosen_and_changed(tmp_path: Path) -> None:
    Path(profiled(tmp_path)).rename(tmp_path / "base.yaml")
    name = write(tmp_path, "spec.yaml", {"include": "base.yaml", "profiles": {"small": {"seed": 4}}, "workers": 1})
    spec, _ = load(name, settings=["profile=small"])
    assert (spec.seed, spec.data.images, spec.workers) == (4, 150, 1)


@pytest.mark.parametrize(
    ("further", "settings", "message"),
    [
        ({}, ["profile=smal"], "'smal' is not a profile: did you mean small? Accepted: "),
        ({}, ["profile=[small]"], "is not a profile"),
        ({"profiles": {}}, ["profile=small"], "'small' is not a profile: this spec has none"),
        ({"profiles": ["small"]}, [], "profiles take a mapping from names to settings"),
        ({"profiles": {"small": 3}}, [], "profiles take a mapping from names to settings"),
        ({"profiles": {"small": {"include": "demo"}}}, [], "it has no include (spec.yaml: profiles.small.include)"),
        ({"profiles": {"small": {"serach": 1}}}, ["profile=small"], "(spec.yaml, profile small: serach)"),
        ({}, ["include=demo"], "include stands in a spec's file"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, further: dict[str, Any], settings: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    profiled(tmp_path, **further)
    assert message in refusal("spec.yaml", *settings)


def test_variables_and_home_are_filled_in_where_a_setting_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGES", str(tmp_path / "images"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    name = write(tmp_path, "spec.yaml", {**BASE, "data": {"name": "parquet", "folder": "${IMAGES}/mine"}})
    assert load(name)[0].data.folder == tmp_path / "images" / "mine"
    assert load(name, settings=["data.folder=$IMAGES"])[0].data.folder == tmp_path / "images"
    spec, _ = load(name, settings=["data.folder=~/mine", "network.weights=${IMAGES}.safetensors"])
    assert spec.data.folder == tmp_path / "home" / "mine"
    assert spec.network.weights == tmp_path / "images.safetensors"
    # Only there: elsewhere a dollar is a dollar.
    assert settings_of(name, "data.label=${IMAGES}", "network=${NOT_SET}")["data"]["label"] == "${IMAGES}"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("${NOWHERE_AT_ALL}/x", "NOWHERE_AT_ALL is not set in the environment"),
        ("a/$NOWHERE_AT_ALL", "NOWHERE_AT_ALL is not set in the environment"),
        ("${}/x", "${} is not set in the environment"),
        ("~nobody-at-all/x", "begins with no user's home folder"),
    ],
)
def test_an_unset_variable_is_refused_by_name(tmp_path: Path, folder: str, message: str) -> None:
    name = write(tmp_path, "spec.yaml", {**BASE, "data": {"name": "parquet", "folder": folder}})
    refused = refusal(name)
    assert message in refused
    assert refused.endswith("spec.yaml: data.folder)")


def test_a_setting_changes_one_of_two_sections_that_an_alias_makes_one(tmp_path: Path) -> None:
    text = "dense: &both {epochs: 2}\nrecovery: *both\n" + yaml.safe_dump(BASE)
    spec, _ = load(write(tmp_path, "spec.yaml", text), settings=["recovery.epochs=7"])
    assert (spec.dense.epochs, spec.recovery.epochs) == (2, 7)


def test_a_mapping_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert "holds itself" in refusal(write(tmp_path, "spec.yaml", "data: &d\n  more: *d\n" + "network: seed-cnn\n"))
