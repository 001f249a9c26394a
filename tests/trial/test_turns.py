import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from trial.turns import Turns

PATIENCE = 60.0
processes = multiprocessing.get_context("fork")


def _take(name, how, log, until):
    """Note when a turn begins and ends; stay until a file is there."""
    with getattr(Turns(name), how)():
        _note(log, f"+{how}")
        while not Path(until).exists():
            time.sleep(0.01)
        _note(log, f"-{how}")


def _note(log, line):
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


@pytest.fixture
def ward(tmp_path, monkeypatch):
    """Starts turns, sees what was noted, lets them end, and leaves no process behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    class Ward:
        def __init__(self):
            self.log, self.started = tmp_path / "log", []

        def start(self, how, until):
            process = processes.Process(target=_take, args=("here", how, self.log, tmp_path / until))
            process.start()
            self.started.append(process)
            return process

        def end(self, until):
            (tmp_path / until).touch()

        def noted(self):
            return self.log.read_text().split() if self.log.exists() else []

        def until_noted(self, *lines):
            end = time.monotonic() + PATIENCE
            while self.noted() != list(lines):
                assert time.monotonic() < end, self.noted()
                time.sleep(0.01)

    yield (ward := Ward())
    for process in ward.started:
        process.kill()
        process.join()


def test_many_share_and_whoever_is_alone_waits_and_goes_before_those_who_come_later(ward):
    ward.start("shared", "first")
    ward.until_noted("+shared")
    ward.start("shared", "first")
    ward.until_noted("+shared", "+shared")
    ward.start("alone", "second")
    time.sleep(0.3)  # long enough to be at the gate; too early and the next one shares, which is right as well
    ward.start("shared", "third")
    time.sleep(0.3)
    assert ward.noted() == ["+shared", "+shared"]
    ward.end("first")
    ward.until_noted("+shared", "+shared", "-shared", "-shared", "+alone")
    ward.end("second")
    ward.until_noted("+shared", "+shared", "-shared", "-shared", "+alone", "-alone", "+shared")
    ward.end("third")


def test_the_turn_of_a_killed_process_ends(ward):
    process = ward.start("alone", "never")
    ward.until_noted("+alone")
    ward.start("shared", "never")
    os.kill(process.pid, signal.SIGKILL)
    ward.until_noted("+alone", "+shared")


def test_devices_have_turns_of_their_own(ward):
    with Turns("here").alone(), Turns("there").alone(), Turns.on(torch.device("cpu")).alone():
        ward.start("alone", "ever")
        time.sleep(0.2)
        assert ward.noted() == []
    ward.until_noted("+alone")
    ward.end("ever")
