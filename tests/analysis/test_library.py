"""Analysis as a library: what it offers, what it loads, and the scripts that people copy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import analysis
from tests.analysis import studies

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def fresh(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)


def test_every_name_that_is_offered_is_there_and_documented() -> None:
    assert sorted(analysis.__all__) == sorted(analysis._HOME)
    assert set(analysis.__all__) <= set(dir(analysis))
    for name in analysis.__all__:
        assert getattr(analysis, name) is not None
        assert name == "MEASURES" or getattr(analysis, name).__doc__
        # Else importing the module would put it in the function's place.
        assert not (ROOT / "analysis" / f"{name}.py").exists()
    with pytest.raises(AttributeError, match="nonsuch"):
        _ = analysis.nonsuch
    with pytest.raises(ImportError):
        exec("from analysis import nonsuch")


def test_the_import_loads_nothing_and_the_front_neither_pandas_nor_torch(tmp_path: Path) -> None:
    study = studies.write(tmp_path / "study", studies.rows(20))
    program = f"""
import sys
from analysis import front, fronts, hypervolume, read
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
rows = read({str(study)!r}, where="ratio >= .1 or method == 'dense'")
hypervolume(front(rows, ["val_accuracy", "macs"]), ["val_accuracy", "macs"], scale_of=rows)
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    done = fresh("-c", program)
    assert done.returncode == 0, done.stderr
    first, last = (set(line.split()) for line in done.stdout.splitlines())
    heavy = {"torch", "ray", "optuna", "pandas", "matplotlib", "sklearn", "rich", "typer"}
    assert first & {*heavy, "pyarrow", "numpy", "moocore"} == set()
    assert last & heavy == set()
    assert {"pyarrow", "moocore"} <= last


@pytest.fixture
def repeats(tmp_path: Path) -> list[Path]:
    """Studies that differ in their seed; in each tl1 needs a tenth of the multiply-accumulates."""
    places = []
    for seed in range(6):
        made = [dict(row) for row in studies.rows(60, seed=seed)]
        for row in made:
            if row["macs"] is not None:
                macs = row["macs"] // 10 if row.get("penalty") == "tl1" else row["macs"]
                row.update(macs=macs, torch_latency_ms=macs / 40e6)
        places.append(studies.write(tmp_path / f"seed-{seed}", made))
    return places


def test_the_examples_run(repeats: list[Path]) -> None:
    front = fresh("-m", "analysis.examples.front_of_several", *repeats)
    assert front.returncode == 0, front.stderr
    assert "seed-0: 0." in front.stdout
    assert "networks on the front: no other is better" in front.stdout

    net = studies.write(repeats[0].parent / "net", [row | {"network": "resnet20"} for row in studies.rows(9)])
    mixed = fresh("-m", "analysis.examples.front_of_several", repeats[0], net)
    assert mixed.returncode != 0
    assert "the dense networks are several, resnet20" in mixed.stderr

    better = fresh("-m", "analysis.examples.is_tl1_better", *repeats)
    assert better.returncode == 0, better.stderr
    assert "over 6 studies, p = 0.031 (signs flipped): TL1 is better" in better.stdout
    fewer = fresh("-m", "analysis.examples.is_tl1_better", *repeats[:5])
    assert fewer.stdout.splitlines()[-1].endswith("p = 0.062 (signs flipped): nothing can be claimed")

    network = fresh("-m", "analysis.examples.network_for_budget", 5, *repeats)
    assert network.returncode == 0, network.stderr
    names = [line.partition(":")[0] for line in network.stdout.splitlines()]
    assert names == ["this one", "slower", "faster"]
    times = [float(line.partition("torch_latency_ms ")[2].partition(",")[0]) for line in network.stdout.splitlines()]
    assert times[2] < times[0] <= 5 < times[1]
    none = fresh("-m", "analysis.examples.network_for_budget", 0.001, *repeats)
    assert "no network runs within 0.001 ms: the fastest takes" in none.stderr


def test_every_example_is_run_here() -> None:
    scripts = {path.stem for path in (ROOT / "analysis" / "examples").glob("*.py")} - {"__init__"}
    text = Path(__file__).read_text()
    assert all(f"analysis.examples.{name}" in text for name in scripts)
