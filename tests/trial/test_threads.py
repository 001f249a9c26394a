"""The threads that two real processes compute with, and that what asks for threads keeps out of what does not."""

import json
import multiprocessing
import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from trial.experiment import Experiment
from trial.recipe import Recipe
from trial.workbench import Workbench

CORES = 2


class Watching(nn.Module):
    """Notes the number of threads in each pass, in training and in evaluation, by what is going on."""

    now = "elsewhere"
    seen: ClassVar[defaultdict[str, set[int]]] = defaultdict(set)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=4)
        self.linear = nn.Linear(4, classes)

    def forward(self, images: Tensor) -> Tensor:
        mode = "trains" if self.training and torch.is_grad_enabled() else "evaluates"
        Watching.seen[f"{Watching.now} {mode}"].add(torch.get_num_threads())
        logits: Tensor = self.linear(self.conv(images).relu().mean((2, 3)))
        return logits


def watching(classes: int) -> nn.Module:
    return Watching(classes)


def work(folder: str, ratio: float, threads: int, dense_threads: int) -> None:
    """What a worker does: the dense network in a thread of its own, as in a cluster, then a trial."""
    given = {
        "network": {"code": "tests.trial.test_threads:watching"},
        "data": {"name": "digits", "images": 60, "validation": 20},
        "dense": {"epochs": 1},
        "recovery": {"epochs": 1},
        "numerics": {"threads": threads, "dense_threads": dense_threads},
    }
    experiment = Experiment.parse(given, where="spec.yaml")
    study = Path(folder)
    bench = Workbench(experiment, study, study_name="study", worker=str(os.getpid()))
    before = torch.get_num_threads()

    def dense() -> None:
        Watching.now = "dense"
        bench.dense()

    thread = threading.Thread(target=dense)
    thread.start()
    thread.join()
    Watching.now = "trial"
    row = bench.run(Recipe.parse({"method": "filter-l1", "ratio": ratio}, experiment, where="recipe"))
    told = {"state": row["state"], "left as it was": before == torch.get_num_threads()}
    seen = {what: sorted(threads) for what, threads in Watching.seen.items()}
    (study / f"seen-{ratio}.json").write_text(json.dumps(seen | told))


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_two_workers_take_the_threads_that_the_study_says_and_dense_training_all(tmp_path: Path, threads: int) -> None:
    """Also more threads than there are cores, which a user may ask for."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(str(tmp_path), ratio, threads, CORES)) for ratio in (0.25, 0.5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    seen = [json.loads((tmp_path / f"seen-{ratio}.json").read_text()) for ratio in (0.25, 0.5)]
    # The dense network is trained by one of the two, which also evaluates it on as many threads; its measures are taken
    # on a trial's, and so is all that a trial does.
    trained = [each["dense trains"] for each in seen if "dense trains" in each]
    assert trained == [[CORES]]
    for each in seen:
        assert each["state"] == "complete"
        assert each["left as it was"]
        assert set(each.get("dense evaluates", [])) <= {CORES, threads}
        assert each["trial trains"] == [threads]
        assert each["trial evaluates"] == [threads]
