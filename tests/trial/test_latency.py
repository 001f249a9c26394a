"""What is timed, how, and when a trial is timed; how long it takes is not for a test to say."""

import json
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from analysis.schema import MEASURES
from tests.trial.test_workbench import opened
from tests.trial.workbenches import complete, run
from trial import cutting, latency, rows, stages
from trial.latency import PASSES, WARM_UP, machine, torch_latency_ms

TINY: dict[str, Any] = {"network": {"name": "seed-cnn", "width": 0.125}}
FILTER: dict[str, Any] = {"method": "filter-l1", "ratio": 0.5}


# Channels 4, 4, 8, 8 and 512: ⌊r·n⌋ is the same for .5 and .501.


class Watched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append((tuple(images.shape), self.training, torch.is_inference_mode_enabled()))
        return images


def test_one_image_in_eval_and_inference_mode_after_a_warm_up() -> None:
    network = Watched().train()
    assert torch_latency_ms(network, torch.zeros(1, 3, 4, 4)) > 0
    assert network.seen == [((1, 3, 4, 4), False, True)] * (WARM_UP + PASSES)
    assert network.training


def test_it_is_the_median_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that says how long each pass took: warm-up passes do not read it, and an odd one does not count."""
    durations = iter([0.002] * (PASSES - 1) + [9.0])
    clock, started = [0.0], [False]

    def read() -> float:
        clock[0] += next(durations) if started[0] else 0.0
        started[0] = not started[0]
        return clock[0]

    monkeypatch.setattr(latency.time, "perf_counter", read)
    assert torch_latency_ms(nn.Identity(), torch.zeros(1, 3, 4, 4)) == pytest.approx(2.0)


def timings(study: Path) -> int:
    records = [json.loads(file.read_bytes())["record"] for file in (study / "stages").rglob("manifest.json")]
    return sum("torch_latency_ms" in record for record in records)


def test_a_trial_is_timed_where_the_study_asks_and_equal_shapes_share_it(tmp_path: Path) -> None:
    bench = opened(tmp_path, **TINY, latency=True)
    dense, thin, same = (
        complete(bench.dense()),
        complete(run(bench, FILTER)),
        complete(run(bench, FILTER | {"ratio": 0.501})),
    )
    masked = complete(run(bench, {"method": "magnitude-global", "ratio": 0.5}))
    assert all(row["torch_latency_ms"] > 0 for row in (dense, thin, same, masked))
    assert same["torch_latency_ms"] == thin["torch_latency_ms"]
    assert masked["torch_latency_ms"] == dense["torch_latency_ms"], "a weight of zero takes its time"
    assert timings(tmp_path) == 2
    other = opened(tmp_path, **TINY, latency=True, numerics={"threads": 2})
    complete(run(other, FILTER | {"ratio": 0.25}))
    assert timings(tmp_path) == 3, "another thread count, another time"


def test_a_row_that_was_not_timed_is_timed_when_that_is_asked_for(tmp_path: Path) -> None:
    before = complete(run(opened(tmp_path, **TINY), FILTER))
    assert before["torch_latency_ms"] is None
    after = complete(run(opened(tmp_path, **TINY, latency=True), FILTER))
    assert (after["trial"], after["epochs_reused"]) == (before["trial"], after["epochs"])
    assert after["torch_latency_ms"] > 0
    untouched = {"started", "seconds", "epochs_reused", "torch_latency_ms"}
    assert all(after[name] == before[name] for name in before if name not in untouched)
    assert run(opened(tmp_path, **TINY), FILTER) == after, "and a timed row is complete without, too"


def test_nobody_trains_while_a_trial_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers of one study: what they make overlaps, a timing with nothing."""
    inside, seen, lock = [], [], threading.Lock()

    def watched(module: ModuleType, stage: str) -> None:
        whole = getattr(module, stage)

        def make(*given: Any, **options: Any) -> Any:
            with lock:
                seen.append((stage, tuple(inside)))
                inside.append(stage)
            try:
                return whole(*given, **options)
            finally:
                with lock:
                    inside.remove(stage)

        monkeypatch.setattr(module, stage, make)

    watched(cutting, "cut")
    for stage in ("recover", "finish", "timed"):
        watched(stages, stage)
    opened(tmp_path, **TINY, latency=True).dense()
    found: list[rows.Row] = []

    def work(ratios: tuple[float, ...]) -> None:
        bench = opened(tmp_path, **TINY, latency=True)
        found.extend(run(bench, FILTER | {"ratio": ratio}) for ratio in ratios)

    workers = [threading.Thread(target=work, args=(ratios,)) for ratios in ((0.2, 0.4, 0.6), (0.3, 0.5, 0.7))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [row["state"] for row in found] == ["complete"] * 6
    assert sum(stage == "timed" for stage, _ in seen) == 1 + 6
    for stage, others in seen:
        assert not others if stage == "timed" else "timed" not in others


def test_a_machine_has_a_name() -> None:
    assert machine(torch.device("cpu"))


def test_measures_of_artefacts_are_not_taken_by_trials(tmp_path: Path) -> None:
    """Whatever the schema promises of a finished trial is there, and nothing else."""
    row = complete(run(opened(tmp_path, latency=True), FILTER))
    for column in MEASURES:
        assert (row[column.name] is None) == (column.taken == "of the artefact"), column.name
    dense = complete(opened(tmp_path, latency=True).dense())
    for column in MEASURES:
        assert (dense[column.name] is None) == (column.taken in {"of the artefact", "at the cut"}), column.name
