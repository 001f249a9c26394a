"""ONNX files are timed as they run: what goes in, how often, in which order. How long they take no test says."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from analysis.errors import WrongInput
from analysis.schema import ARTEFACTS
from trial import onnx_latency, quiet, study_latency
from trial.artefact import CARD, MODEL, RECIPE, STATUS, WEIGHTS
from trial.onnx_file import session
from trial.onnx_latency import latencies, taken
from trial.processor import cores, cpu
from trial.timing import WARM_UP


@pytest.fixture(scope="module")
def model() -> bytes:
    """Images to their means and twice that: an exported file does no more for a test, and takes seconds to make."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 20, 20])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [3, 2], [1, 2, 1, 2, 1, 2])
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "means", [images], [logits], [weights])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(made.SerializeToString())


class Recorded:
    """Opens files as `session` does, and notes every run; each one lasts as long as is said, by this clock."""

    def __init__(self, seconds: Callable[[str, int], float]) -> None:
        self.ran: list[tuple[str, tuple[int, ...], int]] = []
        self.now, self._seconds = 0.0, seconds

    def __call__(self) -> float:
        return self.now

    def session(self, model: bytes, *, threads: int, where: str) -> Any:
        opened, recorded = session(model, threads=threads, where=where), self

        class Running:
            def get_inputs(self) -> Any:
                return opened.get_inputs()

            def run(self, names: Any, given: dict[str, Any]) -> Any:
                out = opened.run(names, given)
                (images,) = given.values()
                recorded.ran.append((where, images.shape, threads))
                recorded.now += recorded._seconds(where, len(images))
                return out

        return Running()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    clock = Recorded(lambda name, batch: {"a": 0.002, "b": 0.003}[name] * (1 if batch == 1 else 10))
    monkeypatch.setattr(onnx_latency, "session", clock.session)
    return clock


def test_files_have_their_turns_with_one_image_and_then_with_64(model: bytes, recorded: Recorded) -> None:
    found = latencies({"a": lambda: model, "b": lambda: model}, threads=1, runs=20, clock=recorded)
    turns = [(name, shape) for name, shape, _ in recorded.ran][:: WARM_UP + 2]
    one, many = (1, 3, 20, 20), (64, 3, 20, 20)
    assert turns == [(name, shape) for shape in (one, many) for name in 5 * "abba"]
    assert len(recorded.ran) == len(turns) * (WARM_UP + 2)
    assert found["a"] == pytest.approx(
        {"latency_ms": 2, "latency_ms_p10": 2, "latency_ms_mean": 2, "latency_ms_std": 0, "latency_ms_64": 20}
    )
    assert (found["b"]["latency_ms"], found["b"]["latency_ms_64"]) == pytest.approx((3, 30))


def test_a_batch_that_nobody_asked_for_is_not_run(model: bytes, recorded: Recorded) -> None:
    found = latencies({"a": lambda: model}, threads=1, batches=(1,), runs=4, clock=recorded)
    assert set(found["a"]) == {"latency_ms", "latency_ms_p10", "latency_ms_mean", "latency_ms_std"}
    assert {shape[0] for _, shape, _ in recorded.ran} == {1}


def test_threads_are_those_asked_for_and_named_with_the_processor(model: bytes, recorded: Recorded) -> None:
    latencies({"a": lambda: model}, threads=2, batches=(1,), runs=4, clock=recorded)
    assert {threads for _, _, threads in recorded.ran} == {2}
    assert taken(2) == {"latency_machine": cpu(), "latency_threads": 2}
    assert cpu()
    assert cores() >= 1


def study(folder: Path, models: dict[str, bytes]) -> Path:
    for trial, model in models.items():
        place = folder / ARTEFACTS / trial
        place.mkdir(parents=True)
        files = {MODEL: model, **dict.fromkeys((RECIPE, WEIGHTS, CARD), b"made up")}
        for name, data in files.items():
            (place / name).write_bytes(data)
        about = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
        (place / STATUS).write_text(json.dumps({"state": "done", "files": about}))
    return folder


@pytest.fixture
def few_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = latencies
    monkeypatch.setattr(study_latency, "latencies", lambda *given, **said: whole(*given, **said, runs=4))


@pytest.mark.usefixtures("few_runs")
def test_every_file_there_is_gives_a_line_and_the_others_are_said(tmp_path: Path, model: bytes) -> None:
    said: list[str] = []
    folder = study(tmp_path / "study", {trial * 16: model for trial in "abd"})
    failed = folder / ARTEFACTS / ("d" * 16) / STATUS
    failed.write_text(failed.read_text().replace("done", "failed"))
    lines = study_latency.measured(folder, ["b" * 16, "c" * 16, "d" * 16, "a" * 16], threads=1, say=said.append)
    assert [line["trial"] for line in lines] == ["b" * 16, "a" * 16]
    for line in lines:
        assert all(line[name] > 0 for name in ("latency_ms", "latency_ms_p10", "latency_ms_mean", "latency_ms_64"))
        assert line["latency_ms_p10"] <= line["latency_ms"]
        assert line["latency_machine"] == cpu()
    assert len({line["measured"] for line in lines}) == 1
    assert f"not timed: {'c' * 16}, {'d' * 16};" in said[0]
    assert "2 files in turn" in said[1]


@pytest.mark.usefixtures("few_runs")
def test_nobody_works_beside_a_timing(tmp_path: Path, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """While files are timed nobody gets the lock of those at work."""
    import fcntl

    def free() -> bool:
        with (quiet._folder() / "machine").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    seen: list[bool] = []

    def watched(*given: Any, **options: Any) -> Any:
        seen.append(free())
        return latencies(*given, **options, batches=(1,), runs=4)

    monkeypatch.setattr(study_latency, "latencies", watched)
    folder = study(tmp_path / "study", {"a" * 16: model})
    study_latency.measured(folder, ["a" * 16], threads=1, say=str)
    assert seen == [False]
    assert free()


def test_a_damaged_file_is_named_before_anything_is_timed(tmp_path: Path, model: bytes) -> None:
    folder = study(tmp_path, {"a" * 16: model, "b" * 16: model[: len(model) // 2]})
    with pytest.raises(WrongInput, match=rf"{'b' * 16}/model.onnx is damaged"):
        study_latency.measured(folder, ["a" * 16, "b" * 16], threads=1, say=pytest.fail)


def test_a_file_of_the_right_size_that_is_another_one_is_refused(tmp_path: Path, model: bytes) -> None:
    folder = study(tmp_path, {"a" * 16: model})
    (folder / ARTEFACTS / ("a" * 16) / MODEL).write_bytes(model[:-1] + bytes([model[-1] ^ 1]))
    with pytest.raises(WrongInput, match=r"model.onnx is not the file that was made: remove .*a{16}, and"):
        study_latency.measured(folder, ["a" * 16], threads=1, say=pytest.fail)
