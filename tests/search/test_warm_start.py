from pathlib import Path
from typing import Any

import pytest

from analysis.errors import WrongInput
from search.spec import Spec
from search.study import enter
from search.warm_start import others, teach
from trial import rows
from trial.recipe import Recipe, trial_id

RECIPES = (
    {"method": "filter-l1", "ratio": 0.2},
    {"method": "filter-l1", "ratio": 0.4},
    {"method": "taylor", "ratio": 0.4},
)
FINGERPRINT = "f" * 32
SPEC: dict[str, Any] = {
    "network": {"name": "seed-cnn", "width": 0.125},
    "data": {"name": "digits", "images": 300},
    "numerics": {"threads": 1, "dense_threads": 1},
    "search": {
        "methods": {"filter-l1": {"ratio": [0.2, 0.4, 0.6]}, "taylor": {"ratio": [0.4, 0.6]}},
        "objectives": ["val_accuracy", "macs"],
    },
    "workers": 1,
}


def spec(**changed: Any) -> Spec:
    made: Spec = Spec.parse({**SPEC, **changed}, where="spec.yaml")
    return made


def study(
    folder: Path,
    *,
    states: tuple[str, ...] = ("complete",) * 3,
    fingerprint: str = FINGERPRINT,
    measured: dict[str, Any] | None = None,
    **changed: Any,
) -> Path:
    """A finished study of other settings, as its search would have left it."""
    made = spec(**changed)
    folder.mkdir()
    enter(folder, made)
    common = {"state": "complete", "started": "2026", "val_accuracy": 0.5, "macs": 5} | (measured or {})
    dense = trial_id(None, made.experiment(), fingerprint=fingerprint)
    rows.write(folder, rows.blank() | common | {"trial": dense, "method": "dense"})
    for said, state in zip(RECIPES, states, strict=True):
        recipe = Recipe.parse(said, made.experiment(), where="test")
        name = trial_id(recipe, made.experiment(), fingerprint=fingerprint)
        rows.write(folder, rows.blank() | common | recipe.columns() | {"trial": name, "state": state})
    return folder


def taught(tmp_path: Path, *folders: Path, **search: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """What is said of the studies, and what is proposed after them."""
    with_studies = spec(search={**SPEC["search"], "warm_start": [str(folder) for folder in folders], **search})
    sampler = with_studies.sampler()
    found = others(with_studies, study=tmp_path / "own", fingerprint=FINGERPRINT)
    said = [str(each) for each in teach(sampler, with_studies, found, device="here", fingerprint=FINGERPRINT)]
    return said, [dict(proposal[1]) for proposal in iter(sampler.ask, None)]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "grid"])
def test_complete_rows_of_another_study_are_not_run_again(tmp_path: Path, sampler: str) -> None:
    other = study(tmp_path / "a", states=("complete", "stopped", "failed"))
    said, proposed = taught(tmp_path, other, sampler=sampler)
    assert said == [
        f"2 of the 3 trials in {other} taught the sampler, 1 of them is not run again; "
        "they are not on this study's front"
    ]
    assert len(proposed) == 4
    assert {"method": "filter-l1", "ratio": 0.2} not in proposed
    assert {"method": "filter-l1", "ratio": 0.4} in proposed


def test_another_seed_teaches_and_other_recoveries_do_not(tmp_path: Path) -> None:
    seeded = study(tmp_path / "a", seed=7)
    longer = study(tmp_path / "b", recovery={"epochs": 9})
    said, proposed = taught(tmp_path, seeded, longer)
    assert [line[:15] for line in said] == ["3 of the 3 tria", "0 of the 3 tria"]
    assert len(proposed) == 2


def test_a_row_that_lacks_an_objective_is_run(tmp_path: Path) -> None:
    said, proposed = taught(tmp_path, study(tmp_path / "a"), objectives=["val_accuracy", "params"])
    assert said[0].startswith("0 of the 3")
    assert len(proposed) == 5


def test_a_time_taken_on_another_device_does_not_teach(tmp_path: Path) -> None:
    timed = {"search": {**SPEC["search"], "objectives": ["val_accuracy", "torch_latency_ms"]}}
    here = study(tmp_path / "a", measured={"device": "here", "torch_latency_ms": 1.0}, **timed)
    elsewhere = study(tmp_path / "b", measured={"device": "there", "torch_latency_ms": 1.0}, **timed)
    said, _ = taught(tmp_path, here, elsewhere, **timed["search"])
    assert [line[:15] for line in said] == ["3 of the 3 tria", "0 of the 3 tria"]
    said, _ = taught(tmp_path, elsewhere)
    assert said[0].startswith("3 of the 3"), "what does not depend on the device does"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": {"name": "seed-cnn", "width": 0.25}},
         r"another network, seed-cnn × 0.25, and this spec's is seed-cnn × 0.125"),
        ({"fingerprint": "0" * 32}, "has other data, or other code"),
        ({"dense": {"epochs": 3}}, "trained its dense network in another way"),
    ],
)  # fmt: skip
def test_a_study_of_something_else_is_refused_in_one_line(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    other = study(tmp_path / "a", **changed)
    with pytest.raises(WrongInput, match=message) as raised:
        taught(tmp_path, other)
    assert str(other) in str(raised.value)
    assert "search.warm_start.0" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_no_other_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="is not a study"):
        taught(tmp_path, tmp_path / "nowhere")
    with pytest.raises(WrongInput, match="is the study itself"):
        taught(tmp_path, tmp_path / "own")
    without = tmp_path / "empty"
    without.mkdir()
    enter(without, spec())
    with pytest.raises(WrongInput, match="no row of its dense network"):
        taught(tmp_path, without)


def test_folders_are_written_in_full_and_may_change_in_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = spec(search={**SPEC["search"], "warm_start": ["a"]})
    assert first.search.warm_start == (tmp_path / "a",)
    own = tmp_path / "own"
    own.mkdir()
    enter(own, first)
    assert enter(own, spec()).search.warm_start == ()
