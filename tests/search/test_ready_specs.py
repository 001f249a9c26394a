"""The ready specs: each can be checked and run, at full size and in its profile for two cores."""

from pathlib import Path
from typing import Any

import pytest

from methods import catalogue
from search.check import describe
from search.sampler import Sampler
from search.spec import load, ready
from trial.recipe import Recipe
from trial.workbench import Workbench
from trial.yaml_file import read

DOCUMENTS = [f"doc-00{number}" for number in range(5)]
CASCADES = "doc-004-cascades"
ON_DIGITS = "data=digits"
"""As a user without CIFAR-10 would ask; the whole section is replaced."""


def profiles(name: str) -> list[str]:
    return list(read(ready()[name]).get("profiles", {}))


CASES = [(name, profile) for name in ready() for profile in (None, *profiles(name))]
HEAVY = {("doc-001", None)}
"""138 million weights are drawn."""


def settings_of(profile: str | None) -> list[str]:
    return [ON_DIGITS, *([f"profile={profile}"] if profile else [])]


def test_the_ready_specs_are_these() -> None:
    expected = {"all-methods", "channel-methods", "demo", "seed-cnn-cifar10", "vgg16-cifar10", *DOCUMENTS, CASCADES}
    assert set(ready()) == expected
    assert all(profiles(name) == ["small"] for name in ["all-methods", *DOCUMENTS, CASCADES])


@pytest.mark.parametrize(
    ("name", "profile"), [pytest.param(*case, marks=[pytest.mark.slow] if case in HEAVY else []) for case in CASES]
)
def test_a_ready_spec_passes_the_check_without_a_warning(name: str, profile: str | None) -> None:
    said = describe(name, settings=settings_of(profile))
    assert said.startswith(f"{name}-{profile} is valid" if profile else f"{name} is valid")
    assert "warning" not in said


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_tries_its_whole_grid(name: str) -> None:
    spec, _ = load(name)
    assert spec.space.size == spec.search.trials


@pytest.mark.parametrize("name", ["all-methods", *DOCUMENTS])
def test_a_small_profile_costs_a_small_part(name: str) -> None:
    full, _ = load(name)
    small, _ = load(name, settings=["profile=small"])
    assert small.data.images is not None
    assert small.budget < full.budget
    assert small.dense.epochs < full.dense.epochs


@pytest.mark.parametrize("network", ["seed-cnn", "{name: vgg16-bn, width: .25}"])
def test_the_cascades_are_three_networks_times_four_ways_to_quantise(network: str) -> None:
    spec, _ = load(CASCADES, settings=[ON_DIGITS, f"network={network}"])
    recipes = list(spec.recipes())
    found = {(each["ratio"], each.get("initial"), each["quantisation"]) for each in recipes}
    ways = {"none", "dynamic-int8", "static-int8", "float16"}
    networks = ((0, None), (0.8, 0), (0.8, 0.5))
    # The dense network as it is has a row of its own.
    assert found == {(*one, how) for one in networks for how in ways} - {(0, None, "none")}
    assert spec.budget == len(recipes) == 11


def test_all_methods_are_all_methods() -> None:
    assert set(load("all-methods")[0].space.methods.options) == set(catalogue())


def test_documents_are_as_they_say() -> None:
    """What shared notes on the documents give in numbers."""
    specs: dict[str, Any] = {name: load(name)[0] for name in DOCUMENTS}
    relevance = specs["doc-001"]
    assert (relevance.network.weights, relevance.network.freeze) == ("imagenet", "dense")
    assert (relevance.data.validation, relevance.dense.batch, relevance.dense.epochs) == (0.2, 20, 30)
    assert relevance.recovery.epochs == 0
    slimming = specs["doc-002"]
    assert (slimming.network.name, slimming.network.scales, slimming.data.validation) == ("vgg19-bn", 0.5, 5000)
    for training in (slimming.dense, slimming.sparsity):
        said = (training.batch, training.epochs, training.rate, training.schedule, training.momentum)
        assert (*said, training.weight_decay) == (64, 20, 0.1, "step", 0.9, 1e-4)
    assert slimming.recovery.epochs == 15
    assert slimming.recovery.training(slimming.dense).rate == 0.1
    assert slimming.space.parents == 18
    assert specs["doc-003"].space.largest("rounds", 1) == 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all-methods", *DOCUMENTS])
def test_trials_of_a_small_profile_run_on_digits(name: str, tmp_path: Path) -> None:
    spec, _ = load(name, settings=["profile=small", "data={name: digits, images: 400}", "dense.epochs=1"])
    workbench = Workbench(spec.experiment(), tmp_path / "study", study_name="study", worker="here")
    assert workbench.dense()["state"] == "complete"
    sampler = Sampler(spec.space, spec.search.objectives, seed=spec.seed, sampler="random")
    for _ in range(3):
        asked = sampler.ask()
        assert asked is not None
        number, flat = asked
        row = workbench.run(Recipe.parse(flat, spec.experiment(), where=name))
        sampler.tell(number, row)
        assert row["state"] == "complete", (flat, row["error"])
