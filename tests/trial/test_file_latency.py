"""Where a study asks for the latency of the file each trial's ONNX file is timed, alone, as it was quantised."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trial.test_workbench import complete, opened, run
from tests.trial.tiny import NETWORK
from trial import measuring
from trial.onnx_file import session
from trial.onnx_latency import OF_BATCH, latencies
from trial.processor import cpu

FILTER: dict[str, Any] = {"method": "filter-l1", "ratio": 0.5}
MASKED: dict[str, Any] = {"method": "magnitude-global", "ratio": 0.5}


@pytest.fixture(autouse=True)
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, int, tuple[int, ...]]]:
    """What was timed: the file, the threads, the batches; few runs of each."""
    seen: list[tuple[bytes, int, tuple[int, ...]]] = []

    def few(files: Any, *, threads: int, batches: Any) -> Any:
        (read,) = files.values()
        seen.append((read(), threads, tuple(batches)))
        return latencies(files, threads=threads, batches=batches, runs=4)

    monkeypatch.setattr(measuring, "latencies", few)
    return seen


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def test_the_file_that_ships_is_timed_and_equal_shapes_share_it(
    tmp_path: Path, timed: list[tuple[bytes, int, tuple[int, ...]]]
) -> None:
    bench = opened(tmp_path, network=NETWORK, latency=["latency_ms"])
    dense, thin = complete(bench.dense()), complete(run(bench, FILTER))
    masked, small = complete(run(bench, MASKED)), complete(run(bench, FILTER | {"quantisation": "dynamic-int8"}))
    for row in (dense, thin, masked, small):
        assert all(row[name] > 0 for name in OF_BATCH[1][:3])
        assert (row["latency_machine"], row["latency_threads"]) == (cpu(), 1)
        assert (row["latency_ms_64"], row["torch_latency_ms"]) == (None, None), "nobody asked for it"
    assert masked["latency_ms"] == dense["latency_ms"], "a weight of zero takes its time"
    assert [(threads, batches) for _, threads, batches in timed] == [(1, (1,))] * 3
    kinds = [{node.op_type for node in _nodes(model)} for model, _, _ in timed]
    assert ["ConvInteger" in found for found in kinds] == [False, False, True]
    assert run(bench, FILTER) == thin
    assert len(timed) == 3


def _nodes(model: bytes) -> Any:
    from onnx import load_model_from_string

    session(model, threads=1)
    return load_model_from_string(model).graph.node


def test_a_row_without_is_timed_when_that_is_asked_for_and_a_rung_knows_it(
    tmp_path: Path, timed: list[tuple[bytes, int, tuple[int, ...]]]
) -> None:
    from trial.plan import Rung

    said = {"network": NETWORK, "recovery": {"epochs": 2, "schedule": "constant", "rate": 0.02}}
    before = complete(run(opened(tmp_path, **said), FILTER))
    assert (before["latency_ms"], before["latency_machine"], timed) == (None, None, [])
    bench = opened(tmp_path, **said, latency=["latency_ms_64"])
    after = complete(run(bench, FILTER))
    assert after["latency_ms_64"] > 0
    assert (after["latency_ms"], after["trial"]) == (None, before["trial"])
    rungs = [step for step in bench.steps(_recipe(bench, ratio=0.25), rungs=[1]) if isinstance(step, Rung)]
    assert [step.known["latency_ms_64"] > 0 for step in rungs] == [True]


def _recipe(bench: Any, **changes: Any) -> Any:
    from trial.recipe import Recipe

    return Recipe.parse(FILTER | changes, bench.experiment, where="")
