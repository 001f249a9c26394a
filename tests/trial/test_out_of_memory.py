"""A device that is too small for all who share it, and one that is too small for a trial alone."""

import sys
import textwrap

import pytest

from trial.experiment import Experiment
from trial.notices import noticed
from trial.recipe import Recipe
from trial.workbench import Workbench

RECIPE = {"method": "filter-l1", "ratio": 0.5}
# What torch raises on a full GPU, as often as the file says, where a cut network is trained.
NETWORK = """
    from pathlib import Path
    import torch
    from torch import nn

    left = Path(__file__).with_name("left")

    class Tiny(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, classes)

        def forward(self, images):
            hidden = self.first(images).relu().mean((2, 3))
            if self.training and hidden.shape[1] == 4 and int(left.read_text()):
                left.write_text(str(int(left.read_text()) - 1))
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self.last(hidden)

    def tiny(classes):
        return Tiny(classes)
"""


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Runs the trial where memory is missing so many times; its row, and what the user is told."""
    (tmp_path / "full_network.py").write_text(textwrap.dedent(NETWORK))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given = {"network": {"code": "full_network:tiny"}, "data": {"name": "digits", "images": 200}}
    given |= {"dense": {"epochs": 1}, "recovery": {"epochs": 1}}
    experiment = Experiment.parse(given, where="spec.yaml")

    def run(times):
        (tmp_path / "left").write_text(str(times))
        bench = Workbench(experiment, tmp_path / f"study{times}", study_name="study", worker="here")
        with noticed() as told:
            return bench.run(Recipe.parse(RECIPE, experiment, where="spec.yaml")), told

    yield run
    del sys.modules["full_network"]


def test_a_trial_that_finds_its_device_full_is_tried_once_more_alone(trial):
    undisturbed, told = trial(0)
    assert told == []
    row, told = trial(1)
    assert told == [f"a trial ran out of the memory of {row['device']}: it is tried once more, alone there"]
    same = ("state", "error", "trial", "val_accuracy", "val_loss", "params", "macs", "bytes")
    assert {name: row[name] for name in same} == {name: undisturbed[name] for name in same}


def test_a_trial_that_is_too_large_alone_fails_and_says_so(trial):
    row, _ = trial(2)
    assert (row["state"], row["error"]) == (
        "failed",
        f"MemoryError: {row['device']} is too small for this trial alone: a smaller batch is another recipe",
    )
