from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from analysis.errors import WorkFailed, WrongInput
from search.beforehand import check_methods
from search.conclusion import conclude, unmoved
from search.spec import Spec
from tests.trial.images import splits

SPEC = """
network: NETWORK
data: digits
search: {methods: METHODS}
"""


def check(methods: str, network: str = "vgg16-bn", *, train: int = 150) -> None:
    given = yaml.safe_load(SPEC.replace("METHODS", methods).replace("NETWORK", network))
    check_methods(Spec.parse(given, where="spec.yaml"), splits(train=train))


def test_a_method_is_refused_before_anything_runs() -> None:
    with pytest.raises(WrongInput, match=r"slimming ranks channels by .* no batch norm: leave slimming out"):
        check("{slimming: any}", "seed-cnn")
    with pytest.raises(WrongInput, match=r"relevance is to read 256 images, and the training part has 150 .*\.images"):
        check("{relevance: any}")
    check("{relevance: {ratio: .5, images: 100}}")
    with pytest.raises(WrongInput, match=r"filter-l1 is to spare 'features.1', and the network's layers are features"):
        check("{filter-l1: {ratio: .5, spare: [features.0, features.1]}}")


def test_a_network_that_does_not_take_the_images_is_refused_before_anything_runs() -> None:
    small = splits()
    large = replace(small, train=replace(small.train, images=torch.zeros(150, 3, 48, 48, dtype=torch.uint8)))
    given = yaml.safe_load(SPEC.replace("METHODS", "{filter-l1: any}").replace("NETWORK", "seed-cnn"))
    spec = Spec.parse(given, where="spec.yaml")
    check_methods(spec, small)
    with pytest.raises(WrongInput, match=r"seed-cnn cannot take images of 3×48×48: .* \(set data\.size") as raised:
        check_methods(spec, large)
    assert "\n" not in str(raised.value)


def row(method: str, share: float | None, state: str = "complete") -> dict[str, object]:
    return {"method": method, "state": state, "scales_near_zero": share}


def test_scales_that_stayed_where_they_were_are_told() -> None:
    assert unmoved([row("slimming", 0.0), row("slimming", 0.0), row("filter-l1", 0.0)]) == ["slimming"]
    assert unmoved([row("slimming", 0.0), row("slimming", 0.25)]) == []
    assert unmoved([row("slimming", None, "failed"), row("taylor", 0.0)]) == []


def test_a_search_whose_trials_all_failed_has_failed_and_says_of_what_most_often(tmp_path: Path) -> None:
    given = yaml.safe_load(SPEC.replace("METHODS", "{filter-l1: any}").replace("NETWORK", "seed-cnn"))
    failed = [row("filter-l1", None, "failed") | {"error": f"RuntimeError: {what}"} for what in ("a", "b", "b")]
    said = f"^all 3 trials failed, most often of RuntimeError: b \\(2×\\); their rows are in {tmp_path}$"
    with pytest.raises(WorkFailed, match=said):
        conclude(tmp_path, Spec.parse(given, where="spec.yaml"), failed)
