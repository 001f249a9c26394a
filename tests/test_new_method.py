"""The example of CONTRIBUTING.md, taken from it word for word: one file, and the method is everywhere."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import methods
from analysis.schema import arrow_schema
from methods.core.description import card, table
from search.spec import Spec
from trial.experiment import Experiment
from trial.recipe import Recipe, columns
from trial.workbench import Workbench

CONTRIBUTING = Path(__file__).parent.parent / "CONTRIBUTING.md"

SPEC = """
network: {name: vgg16-bn, width: .0625}
data: {name: digits, images: 200}
dense: {epochs: 1}
recovery: none
search:
  methods:
    my-idea: {ratio: .5, power: [1, 4]}
    filter-l1: {ratio: .5}
"""


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The names there were before the file was added."""
    before = set(methods.catalogue())
    assert "power" not in columns()
    example = re.search(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "my_idea.py").write_text(example[1], encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    methods.catalogue.cache_clear()
    yield before
    methods.catalogue.cache_clear()
    sys.modules.pop("methods.my_idea", None)
    vars(methods).pop("my_idea", None)


def test_one_file_is_in_catalogue_space_yaml_columns_and_help(catalogue: set[str]) -> None:
    assert set(methods.catalogue()) == {*catalogue, "my-idea"}
    spec: Spec = Spec.parse(yaml.safe_load(SPEC), where="spec.yaml")
    assert [recipe for recipe in spec.space.recipes() if recipe["method"] == "my-idea"] == [
        {"method": "my-idea", "ratio": 0.5, "power": 1.0},
        {"method": "my-idea", "ratio": 0.5, "power": 4.0},
    ]
    assert columns()["power"] == "float"
    assert "power" in arrow_schema(columns()).names
    shown = card(methods.catalogue()["my-idea"])
    assert "my-idea: Cut the channels whose weights have the smallest power mean." in shown
    assert "power      [1, 8]   default 2.0" in shown
    assert "| `my-idea` | channels | s_i = (mean \\|W[i]\\|^m)^(1/m), m the knob power |" in table()


def test_one_file_is_pruned_with(catalogue: set[str], tmp_path: Path) -> None:  # noqa: ARG001
    spec: Spec = Spec.parse(yaml.safe_load(SPEC), where="spec.yaml")
    experiment: Experiment = spec.experiment()
    bench = Workbench(experiment, tmp_path / "study", study_name="study", worker="here")
    row = bench.run(Recipe.parse({"method": "my-idea", "ratio": 0.5, "power": 4.0}, experiment, where="test"))
    assert (row["state"], row["error"], row["power"], row["apply"]) == ("complete", None, 4.0, "remove")
    assert row["ratio_achieved"] == 0.5


def test_nothing_of_the_added_method_is_left() -> None:
    assert "my-idea" not in methods.catalogue()
    assert "power" not in columns()
