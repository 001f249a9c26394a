"""Artefacts load where prunefront is not: by the lines of their cards, in environments that have nothing else."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from analysis.schema import ARTEFACTS
from tests.trial.workbenches import DEPLOYED, complete, opened
from tests.trial.workbenches import run as run_trial
from trial.artefact import CARD, make
from trial.augmentation import normalised
from trial.onnx_file import BATCH

pytestmark = pytest.mark.slow

UV = str(Path(sys.executable).with_name("uv"))


def environment(folder: Path, *packages: str) -> Path:
    """The Python of a new environment with these packages, as they are installed here, and what they need; no more."""
    python = folder / "bin" / "python"
    wanted = [f"{package}=={version(package)}" for package in packages]
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", str(python), *wanted]
    # What made this environment left the packages in uv's cache, as a rule.
    if subprocess.run([*install, "--offline"], capture_output=True, check=False).returncode:
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{', '.join(wanted)} cannot be installed here: {done.stderr[-200:]}")
    return python


def run(python: Path, script: str, *, folder: Path) -> Any:
    """What a script prints as JSON in a folder, with nothing of ours on its path."""
    done = subprocess.run([str(python), "-I", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=["none", "dynamic-int8", "static-int8", "float16"])
def shipped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An artefact's folder, and the images that its accuracy is of."""
    study = tmp_path_factory.mktemp("study")
    bench = opened(study, DEPLOYED)
    row = complete(run_trial(bench, {"method": "filter-l1", "ratio": 0.5, "quantisation": request.param}))
    assert make(bench, row, study)["state"] == "done"
    return study / ARTEFACTS / row["trial"], bench.splits


def blocks(folder: Path) -> list[str]:
    """The card's lines of Python: how to normalise, ONNX Runtime's, torch's."""
    found = re.findall(r"```python\n(.*?)```", (folder / CARD).read_text(), flags=re.DOTALL)
    assert len(found) == 3
    return found


def said_accuracy(folder: Path) -> float:
    """The card's validation accuracy."""
    (found,) = re.findall(r"\(`val_accuracy`\) \| ([\d.]+) \|", (folder / CARD).read_text())
    return float(found)


@pytest.fixture(scope="module")
def with_onnxruntime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("onnxruntime") / "venv", "onnxruntime", "numpy")


def test_onnx_runtime_and_numpy_get_the_cards_accuracy(
    with_onnxruntime: Path, shipped: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, splits = shipped
    labels = splits.validation.labels.numpy()
    np.savez(tmp_path / "images.npz", pixels=splits.validation.images.numpy())
    normalise, load, _ = blocks(folder)
    script = f"""
import json, sys
assert not {{"torch", "prunefront", "trial", "onnx"}} & set(sys.modules)
import importlib.util
assert not any(importlib.util.find_spec(name) for name in ("torch", "prunefront", "trial", "onnx"))
import numpy as np
every, answers = np.load({str(tmp_path / "images.npz")!r})["pixels"], []
for start in range(0, len(every), {BATCH}):
    pixels = every[start : start + {BATCH}]
{indented(normalise)}
{indented(load)}
    answers += logits.argmax(1).tolist()
print(json.dumps(answers))
"""
    answers = np.array(run(with_onnxruntime, script, folder=folder))
    assert (answers == labels).mean() == pytest.approx(said_accuracy(folder), abs=1e-6)


@pytest.fixture(scope="module")
def with_torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("torch") / "venv", "torch", "safetensors")


def test_torch_and_safetensors_load_the_thin_network_by_the_cards_lines(
    with_torch: Path, shipped: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, splits = shipped
    images = normalised(splits.validation.images, splits)
    safetensors.torch.save_file({"images": images.contiguous()}, tmp_path / "images.safetensors")
    lines = blocks(folder)[2]
    assert len(lines.splitlines()) == 6
    script = f"""
import importlib.util
assert not any(importlib.util.find_spec(name) for name in ("onnxruntime", "prunefront", "trial", "numpy"))
from safetensors.torch import load_file
images = load_file({str(tmp_path / "images.safetensors")!r})["images"]
{lines}
print(json.dumps(logits.argmax(1).tolist()))
"""
    answers = torch.tensor(run(with_torch, script, folder=folder))
    accuracy = float((answers == splits.validation.labels).float().mean())
    # Before any quantisation: that moves an accuracy by an image or two.
    assert accuracy == pytest.approx(said_accuracy(folder), abs=1e-6 if _is_float32(folder) else 0.05)


def indented(lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines.splitlines())


def _is_float32(folder: Path) -> bool:
    return "float32, as the weights were trained" in (folder / CARD).read_text()
