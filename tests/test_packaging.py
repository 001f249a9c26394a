"""What a user installs: the wheel holds everything that the code here needs, and nothing is forgotten in a list."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from search.session import PACKAGES

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]
STAYS_HERE = {"tests", "benchmarks", "build", "dist", "studies"}
"""Folders that are not installed: what measures the rooms, and what .gitignore names."""


def shipped_files() -> list[Path]:
    """Every file of the rooms, relative to the root."""
    paths = [path.relative_to(ROOT) for path in ROOT.glob("*/**/*") if path.is_file()]
    return [
        path
        for path in paths
        if path.parts[0] not in STAYS_HERE
        and not any(part.startswith(".") or part == "__pycache__" or part.endswith(".egg-info") for part in path.parts)
    ]


def package(folder: Path) -> str:
    return ".".join(folder.parts)


def requirements() -> dict[str, str]:
    """Name → what requirements.txt says of it, on one line."""
    lines = (ROOT / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    pins = [" ".join(line.split()) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return {canonicalize_name(re.split(r"[^\w.-]", pin, maxsplit=1)[0]): pin for pin in pins}


def test_every_package_on_disk_is_named() -> None:
    on_disk = {package(path.parent) for path in shipped_files() if path.suffix == ".py"}
    assert sorted(SETUPTOOLS["packages"]) == sorted(on_disk)
    assert sorted(SETUPTOOLS["py-modules"]) == sorted(path.stem for path in ROOT.glob("*.py"))


def test_workers_get_every_package() -> None:
    assert set(PACKAGES) == {name.partition(".")[0] for name in SETUPTOOLS["packages"]}


def test_every_file_beside_the_code_is_package_data() -> None:
    """The ready specs among them: `prunefront run demo` reads demo.yaml from where the package is."""
    data = [path for path in shipped_files() if package(path.parent) in SETUPTOOLS["packages"] and path.suffix != ".py"]
    patterns: dict[str, list[str]] = SETUPTOOLS["package-data"]
    left_out = [
        str(path)
        for path in data
        if not any(fnmatch(path.name, pattern) for pattern in patterns.get(package(path.parent), []))
    ]
    assert left_out == []
    assert Path("search/specs/demo.yaml") in data


def test_requirements_have_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert "://" not in text
    for pin in requirements().values():
        # Anything else (an option, a path, a range) has no place in a file that installs the same everywhere.
        assert re.fullmatch(r"[\w.-]+(\[[\w,.-]+\])?==[^\s;]+( ;[^#]*?)?( --hash=sha256:[0-9a-f]{64})+", pin), pin


def test_requirements_fit_what_the_project_declares() -> None:
    """A bound that was raised, or a dependency that was added, without `make lock` is found here."""
    pins = requirements()
    for declared in [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]:
        wanted = Requirement(declared)
        pin = pins.get(canonicalize_name(wanted.name), "==").partition(" ")[0]
        _, _, version = pin.partition("==")
        assert version, f"{declared} is not in requirements.txt: make lock"
        assert wanted.specifier.contains(version), f"requirements.txt has {pin}, not {declared}: make lock"


def called(command: list[str | Path], **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        **settings,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `prunefront` of a wheel built from the tracked files, in an environment that holds nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    listed = called(["git", "ls-files", "-z"], cwd=ROOT)
    if listed.returncode != 0:
        pytest.skip("needs a git checkout: the wheel is built from the tracked files")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            copy = folder / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy)
    built = called([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder / "source"])
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")

    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        pytest.skip("needs uv, which `make setup` installs")
    made = called([sys.executable, "-m", "venv", "--without-pip", folder / "venv"])
    assert made.returncode == 0, made.stderr
    python = folder / "venv" / "bin" / "python"
    done = called(
        [uv, "pip", "install", "--quiet", "--python", python, "--constraint", ROOT / "requirements.txt", wheel]
    )
    if re.search("failed to fetch|error sending request|could not connect|dns error", done.stderr, re.IGNORECASE):
        pytest.skip(f"no package index within reach: {' '.join(done.stderr.split())[:200]}")
    assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin" / "prunefront"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_wheel_runs_the_demo_where_the_users_files_have_our_names(installed: Path, shadowed: Path) -> None:
    # Neither this checkout nor this environment may help; bytecode is written, else each worker compiles torch anew.
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    done = called(
        [installed, "run", "demo", "--trials", "4", "--set", "dense.epochs=1", "--set", "recovery.epochs=1"],
        cwd=shadowed,
        env={name: value for name, value in os.environ.items() if name not in ours},
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    study = shadowed / "studies" / "demo"
    rows = [json.loads(path.read_text()) for path in (study / "rows").glob("[!.]*.json")]
    assert [row["state"] for row in rows if row["method"] != "dense"] == ["complete"] * 4
    assert (study / "figures" / "front.png").stat().st_size > 0
    assert "figure: studies/demo/figures/front.png" in done.stdout
