import io
import re
from typing import Any

import pytest
from rich.console import Console

from analysis.schema import DENSE
from search import progress
from search.outcomes import most_frequent
from search.progress import Drawn, Lines
from search.space import Space
from tests.search.terminal import Screen
from trial.rows import blank
from trial.training import Epoch

OBJECTIVES = ("val_accuracy", "macs")
SPACE = Space.parse({"filter-l1": {"ratio": "any"}, "slimming": {"ratio": "any", "penalty": "any"}}, where="")
EPOCH = Epoch(3, 0.5, 0.8, 0.4, 0.91, 0.0, 0.1)


def row(ratio: float, **changed: Any) -> dict[str, Any]:
    measured = {"val_accuracy": 1 - ratio**3, "macs": int(2e6 * (1 - ratio)), "state": "complete", "classes": 10}
    return (
        blank() | {"trial": f"{ratio:.2f}", "method": "filter-l1", "ratio": ratio, "keep_min": 1} | measured | changed
    )


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def drawn(height: int = 40) -> tuple[Drawn, Console]:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=height)
    return Drawn(console, space=SPACE, trials=40, objectives=OBJECTIVES, rows=[]), console


def picture(shown: Drawn, height: int = 40) -> str:
    console = Console(file=io.StringIO(), width=120, height=height)
    console.print(shown._picture())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_line_says_trial_outcome_and_pace(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(space=SPACE, trials=40, objectives=OBJECTIVES, rows=[row(0.01 * n) for n in range(10)])
    lines.begin()
    clock.now += 20
    lines.finished(row(0.5))
    lines.finished(row(0.6, state="failed", error="ValueError: too few", val_accuracy=None))
    lines.finished(row(0.7, method="slimming", penalty="l1", **{"lambda": 1e-4}))
    assert capsys.readouterr().out.splitlines() == [
        "11/40 filter-l1 ratio=0.5 val_accuracy=0.8750 macs=1M  180 trials/h  9:40 left",
        "12/40 filter-l1 ratio=0.6 failed: ValueError: too few  360 trials/h  4:40 left",
        "13/40 slimming ratio=0.7 penalty=l1 lambda=0.0001 val_accuracy=0.6570 macs=600k  540 trials/h  3:00 left",
    ]


def test_the_dense_network_is_told_every_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(space=SPACE, trials=4, objectives=OBJECTIVES, rows=[])
    for epoch in range(1, 13):
        lines.epoch(Epoch(epoch, 0.5, 0.8, 0.4, 0.91, 0.0, 0.1), epochs=12)
    assert re.findall(r"epoch (\d+)/12", capsys.readouterr().out) == ["3", "6", "9", "12"]


def test_a_terminal_sees_progress_the_last_trials_and_the_front(clock: Clock) -> None:
    shown, _ = drawn()
    try:
        shown.epoch(EPOCH, epochs=12)
        assert "dense network: epoch 3/12" in picture(shown)
        shown.dense = row(0.0, method=DENSE, trial="dense")
        shown.begin()
        clock.now += 60
        for ratio in (0.2, 0.4, 0.6, 0.8):
            shown.finished(row(ratio))
        shown.finished(row(0.9, state="failed", error="ValueError: too few"))
        shown.turn(2)
        seen = picture(shown)
    finally:
        shown.close()
    assert "5/40 trials, 2 running, 1 failed, 300 trials/h, 7:00 left" in seen
    assert "filter-l1 ratio=0.9 failed: ValueError: too few" in seen
    assert "front so far: 5 networks, hypervolume 0." in seen
    assert "ratio=0.2" not in seen


def test_a_long_front_leaves_room_on_a_low_terminal(clock: Clock) -> None:
    shown, _ = drawn(height=20)
    try:
        shown.dense = row(0.0, method=DENSE, trial="dense")
        shown.begin()
        for n in range(1, 31):
            shown.finished(row(0.03 * n))
        clock.now += 10
        shown.turn(2)
        seen = picture(shown, height=20)
    finally:
        shown.close()
    assert len(seen.splitlines()) <= 20
    assert re.search(r"… and \d+ more", seen)


def test_the_terminal_is_left_as_it_was() -> None:
    shown, console = drawn()
    shown.say("[bold]a line that stays")
    shown.close()
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert "[bold]a line that stays" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_the_most_frequent_error_is_named() -> None:
    failed = [row(0.1, state="failed", error=error) for error in ("a", "b", "b")]
    assert most_frequent([row(0.5), *failed]) == "b (2×)"
    assert most_frequent([row(0.5)]) == ""


@pytest.mark.parametrize("objectives", [OBJECTIVES, ("val_accuracy",)])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (80, 10), (60, 8), (30, 4)])
def test_a_terminal_of_any_size_shows_one_table_that_fits(
    width: int, height: int, objectives: tuple[str, ...], clock: Clock
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height)
    shown = Drawn(console, space=SPACE, trials=40, objectives=objectives, rows=[])
    shown.dense = row(0.0, method=DENSE, trial="dense")
    shown.begin()
    for number in range(1, 12):
        clock.now += 10
        state = {4: "stopped", 5: "failed"}.get(number, "complete")
        shown.finished(row(0.05 * number, state=state, error="ValueError: " + "too few " * 30))
        shown.turn(2)
        shown._live.refresh()
    seen = Screen(width=width, height=height)
    assert isinstance(console.file, io.StringIO)
    seen.write(console.file.getvalue())
    assert not seen.overflowed
    assert seen.scrolled == []
    assert seen.shown.count("11/40 trials") == 1
    assert seen.shown.count("so far") == (height >= 8)
    if width >= 80:
        assert "1 stopped, 1 failed" in seen.shown
        assert re.search(r"method +ratio .*val_accuracy", seen.shown)
    assert ("best so far" in seen.shown) == (len(objectives) == 1 and height >= 8)
    shown.close()


def test_a_stopped_trial_is_told_apart_from_a_failed_one(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(space=SPACE, trials=4, objectives=OBJECTIVES, rows=[])
    lines.finished(row(0.5, state="stopped"))
    assert capsys.readouterr().out.startswith("1/4 filter-l1 ratio=0.5 stopped val_accuracy=0.8750 macs=1M")
