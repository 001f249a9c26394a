"""Tests that pytest-xdist shares out among processes: which of them stay together, and in which order they begin."""

import os
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

import pytest

from tests import side_by_side
from tests.side_by_side import IN_TURN, MOST, order, processes

ROOT = Path(__file__).parents[1]
STARTS_RAY = re.compile(
    r"^from (tests\.search\.(dashboard|disturbed|hosts|three_nodes)|search\.session) import"
    r"|^from tests\.search\.test_run import .*\b(environment|run|started)\b",
    re.MULTILINE,
)


def test_every_module_that_starts_ray_is_in_turn() -> None:
    found = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    assert {module for module, text in found.items() if STARTS_RAY.search(text)} <= set(IN_TURN) <= set(found)


def test_those_in_turn_begin_then_the_largest_and_within_a_module_nothing_changes() -> None:
    small, large, tied = "tests/a.py::test_only", [f"tests/z.py::test_{n}" for n in (2, 1, 3)], "tests/b.py::test_only"
    ray = [f"{IN_TURN[3]}::test_it[::x]", f"{IN_TURN[0]}::test_first"]
    given = [tied, large[0], ray[0], small, large[1], ray[1], large[2]]
    assert [given[at] for at in order(given)] == [*ray, *large, small, tied]
    assert order([]) == []


def test_there_is_a_process_for_each_core_but_no_more_than_use_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    for cores, wanted in ((1, 1), (2, 2), (MOST, MOST), (64, MOST)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert processes() == wanted
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "7")
    assert processes() == 7


def test_xdist_gives_those_in_turn_to_one_process_and_a_module_to_one(tmp_path: Path) -> None:
    """A real run, of three modules in turn, two others, and hooks like those of our conftest."""
    hooks = (ROOT / "tests" / "conftest.py").read_text()
    wanted = re.findall(r"(?:@pytest\.hookimpl.*\n)?def pytest_\w+\([\s\S]*?(?=\n\n\n)", hooks)
    assert len(wanted) == 3
    turn = [f"tests/test_turn{number}.py" for number in range(3)]
    (tmp_path / "conftest.py").write_text(
        f"import pytest\nfrom typing import Any\nfrom tests import side_by_side\nside_by_side.IN_TURN = {turn}\n\n\n"
        + "\n\n\n".join(wanted)
    )
    (tmp_path / "pytest.ini").write_text("[pytest]")
    source = textwrap.dedent("""
        import os, time, pytest
        @pytest.mark.parametrize("number", range(COUNT))
        def test_that_takes_a_moment(number):
            time.sleep(.05)
            with open(os.environ["LOG"], "a") as file:
                file.write(f"{__file__} {os.environ['PYTEST_XDIST_WORKER']}\\n")
    """)
    (tmp_path / "tests").mkdir()
    for name, count in [*((name, 3) for name in turn), ("tests/test_a.py", 8), ("tests/test_b.py", 1)]:
        (tmp_path / name).write_text(source.replace("COUNT", str(count)))
    log = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "auto", "tests"],
        cwd=tmp_path,
        # Whoever runs this test may be one of xdist's processes.
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        | {"LOG": str(log), "PYTHONPATH": str(ROOT), "PYTEST_XDIST_AUTO_NUM_WORKERS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = [line.split() for line in log.read_text().splitlines()]
    assert len(ran) == 3 * 3 + 8 + 1
    workers = defaultdict(set)
    for module, worker in ran:
        workers[Path(module).relative_to(tmp_path).as_posix()].add(worker)
    assert all(len(each) == 1 for each in workers.values()), workers
    assert len(set.union(*(workers[name] for name in turn))) == 1, workers
    assert workers["tests/test_a.py"] != workers[turn[0]]


def test_units_are_told_apart_by_their_module() -> None:
    assert side_by_side.unit("tests/a.py::Class::test_it[a::b]") == "tests/a.py"
    assert side_by_side.unit(f"{IN_TURN[0]}::test_it") == side_by_side.unit(f"{IN_TURN[1]}::other")
