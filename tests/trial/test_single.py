from pathlib import Path

import pytest

from analysis.errors import WrongInput
from trial.single import run_file

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
    with pytest.raises(WrongInput, match="holds trials of another network"):
        run_file(recipe, study)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(width=0.0625))
    with pytest.raises(WrongInput, match="cannot write to /sys/prunefront"):
        run_file(recipe, Path("/sys/prunefront"))
