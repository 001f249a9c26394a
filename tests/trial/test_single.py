import sys
from pathlib import Path

import pytest

from analysis.errors import WrongInput
from trial import rows
from trial.frozen import frozen
from trial.plan import Rung
from trial.recipe import Recipe
from trial.single import run_file
from trial.workbench import Workbench

RECIPE = """
network: {{name: vgg16-bn, width: {width}}}
data: {{name: digits, images: 200}}
dense: {{epochs: 1}}
recovery: {{epochs: 1}}
method: filter-l1
ratio: .5
"""


def test_one_folder_holds_trials_of_one_network(tmp_path: Path) -> None:
    """Two widths in one folder gave a front of both, and a hypervolume that meant nothing."""
    recipe, study = tmp_path / "recipe.yaml", tmp_path / "study"
    recipe.write_text(RECIPE.format(width=0.0625))
    assert run_file(recipe, study)["state"] == "complete"
    recipe.write_text(RECIPE.format(width=0.125))
    with pytest.raises(WrongInput, match=r"network in .* is not that of .*experiment.yaml"):
        run_file(recipe, study)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(width=0.0625))
    with pytest.raises(WrongInput, match="cannot write to /sys/prunefront"):
        run_file(recipe, Path("/sys/prunefront"))


def test_a_folder_of_its_own_says_from_then_on_how_its_trials_are_computed(tmp_path: Path) -> None:
    """A second trial that asked for float32 was given the first one's row, in bfloat16."""
    recipe, study = tmp_path / "recipe.yaml", tmp_path / "study"
    recipe.write_text(RECIPE.format(width=0.0625))
    assert run_file(recipe, study)["state"] == "complete"
    recipe.write_text(RECIPE.format(width=0.0625) + "numerics: {precision: bfloat16}")
    with pytest.raises(WrongInput, match=r"numerics in .* is not that of .*experiment.yaml: leave it out"):
        run_file(recipe, study)
    recipe.write_text("{method: filter-l1, ratio: .5}")
    assert run_file(recipe, study)["precision"] == "float32"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("torch.zeros(len(images), 7)", r"own:net must return logits of shape \(1, 10\) .* it returned \(1, 7\)"),
        ("(images, images)", "own:net must return a tensor of logits, it returned a tuple"),
        ("self.absent(images)", "own:net cannot take images of 3×32×32: .*absent"),
        ("torch.zeros(len(images), 10)", "own:net has no parameter that asks for a gradient"),
    ],
)
def test_a_network_that_cannot_be_trained_is_named_before_anything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returned: str, message: str
) -> None:
    code = f"class Net(torch.nn.Module):\n    def forward(self, images):\n        return {returned}\n"
    (tmp_path / "own.py").write_text(f"import torch\n{code}def net(classes):\n    return Net()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own", raising=False)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(width=1).replace("{name: vgg16-bn, width: 1}", '{code: "own:net"}'))
    with pytest.raises(WrongInput, match=message):
        run_file(recipe, tmp_path / "study")
    assert not (tmp_path / "study" / "rows").exists()


def test_a_trial_that_a_search_stopped_is_taken_up_where_it_was(tmp_path: Path) -> None:
    """Its recovery was trained anew: links that end at rungs were not looked for."""
    study, recipe = tmp_path / "study", tmp_path / "recipe.yaml"
    study.mkdir()
    said = RECIPE.format(width=0.0625).replace("recovery: {epochs: 1}", "recovery: {epochs: 3}")
    knobs = {"method": "filter-l1", "ratio": 0.5}
    spec = said.partition("method:")[0] + "search: {methods: {filter-l1: any}, rungs: [1]}\n"
    (study / "spec.yaml").write_text(spec)
    known = frozen(study)
    assert known is not None
    bench = Workbench(known[0], study, study_name="study", worker="here")
    steps = bench.steps(Recipe.parse(knobs, bench.experiment, where="test"), rungs=(1,))
    rung = next(step for step in steps if isinstance(step, Rung))
    rows.write(study, rung.known)
    steps.close()
    recipe.write_text("{method: filter-l1, ratio: .5}")
    row = run_file(recipe, study)
    # One of the dense network and three of recovery; the first two were there.
    assert (row["state"], row["epochs"], row["epochs_reused"]) == ("complete", 4, 2)
