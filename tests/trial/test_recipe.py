import json
import os
import subprocess
import sys
from typing import Any

import pytest

import methods
from analysis.errors import WrongInput
from tests.methods.examples import settings
from trial.experiment import Experiment
from trial.recipe import Recipe, digest, trial_id

GIVEN: dict[str, Any] = {
    "network": {"name": "seed-cnn", "width": 0.5},
    "data": {"name": "digits", "validation": 0.1},
    "dense": {"epochs": 2},
    "recovery": {"epochs": 1, "rate": 0.1},
}
SLIMMING = {"method": "slimming", "ratio": 0.5, "penalty": "lp", "lambda": 1e-4, "p": 0.5}
FINGERPRINT = "0123456789abcdef0123456789abcdef"
PINNED = {"slimming": "32c8e56bd9bf2200", "dense": "318a84e7736aade2"}


def experiment(**changes: Any) -> Experiment:
    made: Experiment = Experiment.parse(GIVEN | changes, where="spec.yaml")
    return made


def named(given: dict[str, Any] | None = None, *, fingerprint: str = FINGERPRINT, **changes: Any) -> str:
    within = experiment(**changes)
    recipe = Recipe.parse(SLIMMING if given is None else given, within, where="spec.yaml")
    return trial_id(recipe, within, fingerprint=fingerprint)


def dense(**changes: Any) -> str:
    return trial_id(None, experiment(**changes), fingerprint=FINGERPRINT)


def test_names_are_pinned() -> None:
    """A trial that has a row is never run again, and is found by its name alone.

    When these change, every study made before becomes a study of trials that nobody asked for. So a change has to be
    meant: then say so in CHANGELOG.md, and pin the new names.
    """
    assert {"slimming": named(), "dense": dense()} == PINNED


def test_names_are_the_same_in_another_process() -> None:
    program = "from tests.trial.test_recipe import dense, named; print(named(), dense())"
    # Strings hash differently there, so a set or a hash() in the name would show.
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": other, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.split() == [named(), dense()]


def test_a_name_is_16_hex_digits() -> None:
    assert len(named()) == 16
    assert set(named()) <= set("0123456789abcdef")


def test_the_order_of_keys_does_not_matter() -> None:
    assert named(dict(reversed(SLIMMING.items()))) == named()
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest([1, 2]) != digest([2, 1])


@pytest.mark.parametrize("owner", methods.catalogue().values(), ids=methods.catalogue())
def test_every_knob_tells_recipes_apart(owner: type[Any]) -> None:
    every = list({json.dumps(given, sort_keys=True): given for given in settings(owner)}.values())
    assert len(every) > 1
    names = {named({"method": owner.name(), **given}) for given in every}
    assert len(names) == len(every)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "seed-cnn"},
        {"network": {"name": "vgg16-bn", "width": 0.5}},
        {"seed": 1},
        {"dense": {"epochs": 3}},
        {"recovery": {"epochs": 1, "rate": 0.03}},
        {"sparsity": {"epochs": 4}},
        {"fingerprint": "another"},
    ],
    ids=str,
)
def test_whatever_changes_the_outcome_changes_the_name(changes: dict[str, Any]) -> None:
    assert named(**changes) != named()


def test_sparsity_training_tells_apart_only_where_it_is_trained() -> None:
    plain = {"method": "filter-l1", "ratio": 0.5}
    assert named(plain, sparsity={"epochs": 4}) == named(plain)


def test_dense_is_a_trial_of_its_own_whatever_recovery_is() -> None:
    assert dense() == dense(recovery={"epochs": 7})
    assert dense() != dense(dense={"epochs": 7})
    assert dense() != named()


def test_a_default_written_out_is_the_same_recipe() -> None:
    assert named({"method": "filter-l1", "ratio": 0.5, "scope": "layer"}) == named(
        {"method": "filter-l1", "ratio": 0.5}
    )


def test_whole_and_decimal_numbers_are_one() -> None:
    assert named(SLIMMING | {"ratio": 0}) == named(SLIMMING | {"ratio": 0.0})


def test_knobs_undo_parse() -> None:
    recipe = Recipe.parse(SLIMMING, experiment(), where="spec.yaml")
    assert recipe.knobs() == SLIMMING | {"spare": "", "keep_min": 1, "round_to": 1}
    assert Recipe.parse(recipe.knobs(), experiment(), where="spec.yaml") == recipe
    assert Recipe.parse(recipe.columns(), experiment(), where="spec.yaml") == recipe
    assert recipe.columns() == recipe.knobs() | {
        "schedule": "one-shot",
        "apply": "remove",
        "control": "none",
        "quantisation": "none",
        "recovery_epochs": 1,
        "recovery_rate": 0.1,
        "recovery_schedule": "one-cycle",
        "recovery_label_smoothing": 0.0,
        "recovery_augment": True,
        "recovery_distillation": 0.0,
        "recovery_recalibrate": 0,
    }
    json.dumps(recipe.identity(), allow_nan=False)


def test_weights_are_masked_and_channels_removed() -> None:
    for name, owner in methods.catalogue().items():
        recipe = Recipe.parse({"method": name, **next(settings(owner))}, experiment(), where="spec.yaml")
        assert recipe.course.apply == {"weight": "mask", "channel": "remove"}[owner.unit]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "method is missing: accepted: channel-lasso, "),
        ({"method": "slimmin"}, "'slimmin' is not a method: did you mean slimming? Accepted: "),
        ({"method": "filter-l1"}, "filter-l1 needs ratio: [0, 0.95] (spec.yaml: filter-l1.ratio)"),
        (
            {"method": "filter-l1", "ratio": 1.7},
            "ratio must lie in [0, 0.95], got 1.7 (spec.yaml: filter-l1.ratio)",
        ),
        ({"method": "filter-l1", "ratio": "half"}, "ratio must be a number in [0, 0.95], got 'half'"),
        (
            {"method": "filter-l1", "ratio": 0.5, "scop": "layer"},
            "filter-l1 has no knob 'scop': did you mean scope? Accepted: ratio, spare, keep_min, round_to, scope, li",
        ),
        (
            {"method": "slimming", "ratio": 0.5, "penalty": "l2"},
            "penalty got 'l2': accepted: l1, lp, tl1",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_mistakes_are_named_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongInput) as refused:
        Recipe.parse(given, experiment(), where="spec.yaml")
    assert str(refused.value).startswith(said)
    assert "spec.yaml: " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_json_cannot_say_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest({"ratio": float("nan")})
