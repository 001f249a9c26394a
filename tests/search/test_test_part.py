"""Selection sees no test image: every command, real searches included, on data whose test part cannot be read."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trial.images import parquet_folder

SPEC: dict[str, Any] = {
    "network": {"name": "vgg16-bn", "width": 0.0625},
    "data": {"name": "parquet", "folder": "data", "validation": 9},
    "dense": {"epochs": 1},
    "sparsity": {"epochs": 1},
    "recovery": {"epochs": 1},
    "numerics": {"threads": 1, "dense_threads": 1},
    "search": {
        "methods": {
            "filter-l1": {"ratio": [0.2, 0.4]},
            "slimming": {"ratio": [0.3], "penalty": {"l1": {"lambda": 1e-3}}},
            "taylor": {"ratio": [0.2], "images": 16},
        },
        "trials": 4,
    },
    "workers": 1,
    "artefacts": "none",
}
RECIPE = {"method": "random-channels", "ratio": 0.5}
LIMIT = 240


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "import sys; sys.path.pop(0); from prunefront import main; main()", *words]


def environment(folder: Path) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return os.environ | {"PYTHONPATH": paths, "XDG_CACHE_HOME": str(folder / "cache")}


def prunefront(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data whose test part is garbage, and a study of a whole search on it."""
    folder = tmp_path_factory.mktemp("searched")
    data = parquet_folder(folder / "data")
    (data / "test.parquet").rename(folder / "whole.parquet")
    (data / "test.parquet").write_bytes(b"no Parquet at all")
    (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    done = prunefront(folder, "run", "spec.yaml", "--study", "study")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["check", "spec.yaml"],
        ["run", "spec.yaml", "--study", "study"],
        ["trial", "recipe.yaml", "--study", "study"],
        ["sensitivity", "recipe.yaml", "--study", "study"],
        ["front", "study", "--json"],
        ["report", "study", "--figures"],
        ["methods", "--json"],
    ],
    ids=lambda words: words[0],
)
def test_no_other_command_minds_a_test_part_that_cannot_be_read(searched: Path, words: list[str]) -> None:
    done = prunefront(searched, *words)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--as-trained"], ["--trials", "dense", "--json"]])
def test_confirm_alone_says_what_is_wrong_with_it(searched: Path, options: list[str]) -> None:
    done = prunefront(searched, "confirm", "study", *options)
    assert done.returncode == 2
    assert done.stdout == ""
    line = f"prunefront: {searched}/data/test.parquet is not a whole Parquet file: "
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert not (searched / "study" / "confirmed.parquet").exists()


@pytest.mark.slow
def test_an_interrupted_confirmation_goes_on_where_it_was(searched: Path) -> None:
    (searched / "data" / "test.parquet").unlink()
    (searched / "whole.parquet").rename(searched / "data" / "test.parquet")
    process = subprocess.Popen(
        command("confirm", "study", "--seeds", "40"),
        cwd=searched,
        env=environment(searched),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + LIMIT
    try:
        while not (searched / "study" / "confirmed.parquet").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 130
    assert printed == ""
    last = said.strip().splitlines()[-1]
    assert last.startswith("prunefront: interrupted: ")
    assert "results are safe in study" in last
    assert "Traceback" not in said
    done = prunefront(searched, "confirm", "study", "--trials", "dense", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "test_accuracy" in done.stdout
    assert "2/2 dense, seed 1: test_accuracy=" in done.stderr
