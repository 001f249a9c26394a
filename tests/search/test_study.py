import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis import table
from analysis.errors import WorkFailed, WrongInput
from search.spec import Spec
from search.study import differences, enter, own_rows, without_failed
from tests.trial.images import splits
from trial.recipe import Recipe, columns, trial_id
from trial.rows import blank, read_all, writable, write

AIMED = {"methods": {"filter-l1": {"ratio": [0.2, 0.4]}}, "trials": 4, "objectives": ["params", "macs"]}
SMALL: dict[str, Any] = {
    "network": {"name": "seed-cnn", "width": 0.125},
    "data": {"name": "digits", "images": 300},
    "numerics": {"threads": 1, "dense_threads": 2},
    "search": AIMED,
    "workers": 2,
}


def spec(**changed: Any) -> Spec:
    made: Spec = Spec.parse({**SMALL, **changed}, where="spec.yaml")
    return made


def test_a_new_study_freezes_its_spec_and_an_old_one_keeps_it(tmp_path: Path) -> None:
    entered = enter(tmp_path, spec())
    before = (tmp_path / "spec.yaml").read_bytes()
    assert enter(tmp_path, spec()) == entered
    assert (tmp_path / "spec.yaml").read_bytes() == before


def test_budget_and_workers_may_change_and_are_frozen_anew(tmp_path: Path) -> None:
    enter(tmp_path, spec())
    larger = enter(tmp_path, spec(search={**AIMED, "trials": 9}, workers=1))
    assert (larger.search.trials, larger.workers) == (9, 1)
    assert enter(tmp_path, larger) == larger
    assert "trials: 9" in (tmp_path / "spec.yaml").read_text()


def test_numerics_that_are_not_given_are_the_frozen_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: said for name, said in SMALL.items() if name != "numerics"}
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    first = enter(tmp_path, Spec.parse(without, where="spec.yaml"))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(2)), raising=False)
    assert enter(tmp_path, Spec.parse(without, where="spec.yaml")).numerics == first.numerics
    with pytest.raises(WrongInput, match=r"numerics.threads: 4 → 1"):
        enter(tmp_path, spec(numerics={"threads": 1}))


def test_a_new_study_is_probed_once_and_keeps_what_was_chosen(tmp_path: Path) -> None:
    said: list[str] = []
    first = enter(tmp_path, spec(), splits(train=20), say=said.append)
    assert [line.split(":")[0] for line in said] == ["numerics"]
    frozen = yaml.safe_load((tmp_path / "spec.yaml").read_text())["numerics"]
    assert frozen == first.numerics.model_dump()
    # What another probe would choose on another day is not asked.
    other = {"float32": "bfloat16", "bfloat16": "float32"}[first.numerics.precision]
    text = (tmp_path / "spec.yaml").read_text()
    (tmp_path / "spec.yaml").write_text(text.replace(f"precision: {frozen['precision']}", f"precision: {other}"))
    again = enter(tmp_path, spec(), splits(train=20), say=said.append)
    assert again.numerics.precision == other
    assert len(said) == 1


def test_numerics_that_are_given_are_not_probed(tmp_path: Path) -> None:
    said: list[str] = []
    given = {"precision": "bfloat16", "layout": "contiguous"}
    made = enter(tmp_path, spec(numerics=given), splits(train=20), say=said.append)
    assert (made.numerics.precision, made.numerics.layout) == ("bfloat16", "contiguous")
    assert said == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"seed": 1}, "  seed: 0 → 1"),
        ({"network": {"name": "seed-cnn", "width": 0.25}}, "  network.width: 0.125 → 0.25"),
        ({"recovery": {"epochs": 9, "rate": 0.02}}, "  recovery.epochs: 5 → 9"),
        (
            {"search": {**AIMED, "methods": {"filter-l1": {"ratio": 0.5}}}},
            "  search.methods.filter-l1.ratio: [0.2, 0.4] → 0.5",
        ),
        ({"search": {**AIMED, "objectives": ["macs"]}}, "  search.objectives: ['params', 'macs'] → ['macs']"),
        ({"search": {**AIMED, "sampler": "random"}}, "  search.sampler: tpe → random"),
    ],
)  # fmt: skip
def test_another_spec_is_refused_and_the_difference_shown(tmp_path: Path, changed: dict[str, Any], line: str) -> None:
    enter(tmp_path, spec())
    before = (tmp_path / "spec.yaml").read_bytes()
    with pytest.raises(WrongInput, match="belongs to another spec") as raised:
        enter(tmp_path, spec(**changed))
    assert str(raised.value).splitlines()[1:] == [line]
    assert (tmp_path / "spec.yaml").read_bytes() == before


def test_the_same_space_in_other_words_is_no_difference() -> None:
    one = spec(search={"methods": ["random-channels"]})
    other = spec(search={"methods": {"random-channels": {"ratio": {"uniform": [0, 0.95]}}}})
    assert differences(one, other) == []


def test_only_rows_of_this_search_are_its_own(tmp_path: Path) -> None:
    made = enter(tmp_path, spec())
    experiment = made.experiment()
    (tmp_path / "rows").mkdir()

    def leave(recipe: dict[str, Any], trial: str = "") -> str:
        named = trial or trial_id(Recipe.parse(recipe, experiment, where="test"), experiment, fingerprint="data")
        row = blank() | recipe | {"trial": named, "state": "complete", "started": f"2026-{named}"}
        (tmp_path / "rows" / f"{named}.json").write_text(json.dumps(row))
        return named

    own = leave({"method": "filter-l1", "ratio": 0.2})
    leave({"method": "filter-l1", "ratio": 0.3})
    leave({"method": "filter-l1", "ratio": 0.4, "scope": "global"})
    leave({"method": "random-channels", "ratio": 0.2})
    leave({"method": "dense"}, trial_id(None, experiment, fingerprint="data"))
    assert [row["trial"] for row in own_rows(tmp_path, made, experiment, fingerprint="data")] == [own]
    with pytest.raises(WrongInput, match=r"changed since"):
        own_rows(tmp_path, made, experiment, fingerprint="other data")


def test_rows_without_a_spec_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "x.json").write_text("{}")
    with pytest.raises(WrongInput, match=r"holds rows and no spec.yaml"):
        enter(tmp_path, spec())


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOSPC, WorkFailed, "No space left on device while writing .*: 1 finished row is kept there"),
        (errno.EACCES, WrongInput, "cannot write to .*: Permission denied; name another folder with --study"),
        (errno.EROFS, WrongInput, "cannot write to .*: Read-only file system"),
    ],
)
def test_what_stops_writing_is_named(tmp_path: Path, number: int, kind: type[Exception], message: str) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "x.json").write_text("{}")
    with pytest.raises(kind, match=message), writable(tmp_path):
        raise OSError(number, os.strerror(number))


def test_failed_trials_are_forgotten_where_they_are_to_be_tried_again_and_no_others(tmp_path: Path) -> None:
    states = {"a" * 16: "complete", "b" * 16: "failed", "c" * 16: "stopped"}
    for trial, state in states.items():
        write(tmp_path, blank() | {"trial": trial, "state": state, "method": "filter-l1", "started": "now"})
    table.compact(tmp_path, columns())
    kept = without_failed(tmp_path, read_all(tmp_path))
    for rows in (kept, read_all(tmp_path), table.read(tmp_path).to_pylist()):
        assert {row["trial"]: row["state"] for row in rows} == {"a" * 16: "complete", "c" * 16: "stopped"}
    assert without_failed(tmp_path, kept) == kept
