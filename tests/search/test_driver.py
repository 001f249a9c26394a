import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import WrongInput
from search import driver
from search.driver import driving, seen


def written(study: Path) -> dict[str, Any]:
    return dict(json.loads((study / "driver.json").read_text()))


def leave(study: Path, **said: Any) -> None:
    own = {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time()}
    own["process_started"] = driver._process_started(os.getpid())
    (study / "driver.json").write_text(json.dumps(own | said))


def test_the_file_is_there_inside_the_block_and_gone_after_it(tmp_path: Path) -> None:
    with driving(tmp_path):
        assert written(tmp_path)["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="boom"), driving(tmp_path):
        raise RuntimeError("boom")
    assert not list(tmp_path.iterdir())


def test_a_living_driver_is_named_and_left_alone(tmp_path: Path) -> None:
    leave(tmp_path)
    before = written(tmp_path)
    with (
        pytest.raises(WrongInput, match=f"written by process {os.getpid()} on {socket.gethostname()}.*--study"),
        driving(tmp_path),
    ):
        pass
    assert written(tmp_path) == before


def test_a_driver_that_was_killed_stops_nobody(tmp_path: Path) -> None:
    code = "import os, sys, pathlib, search.driver as d\nwith d.driving(pathlib.Path(sys.argv[1])): os._exit(9)"
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False, timeout=60)
    assert written(tmp_path)["pid"] != os.getpid()
    with driving(tmp_path):
        assert written(tmp_path)["pid"] == os.getpid()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say when a process started")
def test_another_process_with_the_dead_drivers_number_stops_nobody(tmp_path: Path) -> None:
    leave(tmp_path, process_started="another boot/1")
    with driving(tmp_path):
        pass


@pytest.mark.parametrize(("age", "is_stopped"), [(5, True), (55, True), (65, False)])
def test_on_another_host_the_heartbeat_decides(tmp_path: Path, age: float, is_stopped: bool) -> None:
    leave(tmp_path, host="elsewhere", pid=1, heartbeat=time.time() - age)
    if is_stopped:
        with pytest.raises(WrongInput, match="process 1 on elsewhere"), driving(tmp_path):
            pass
    else:
        with driving(tmp_path):
            pass


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"host": "x"}'])
def test_a_damaged_file_stops_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "driver.json").write_text(text)
    with driving(tmp_path):
        pass


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "BEAT_SECONDS", 0.02)
    with driving(tmp_path):
        first = written(tmp_path)["heartbeat"]
        deadline = time.monotonic() + 10
        while written(tmp_path)["heartbeat"] == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert written(tmp_path)["heartbeat"] > first


def test_a_study_on_an_object_store_has_one_driver(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "SETTLE_SECONDS", 0.1)
    with driving(bucket):
        own = seen(bucket)
        assert own is not None
        assert own["is_alive"]
        with pytest.raises(WrongInput, match="is being written by process"), driving(bucket):
            pass
    assert seen(bucket) is None


def test_of_two_drivers_who_began_at_once_on_an_object_store_the_later_goes_on(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"host": "elsewhere", "pid": 1, "began": 1.0, "heartbeat": time.time()}

    def meanwhile(seconds: float) -> None:
        assert seconds == driver.SETTLE_SECONDS
        (bucket / driver.DRIVER).write_text(json.dumps(other))

    monkeypatch.setattr(driver.time, "sleep", meanwhile)
    with pytest.raises(WrongInput, match="by process 1 on elsewhere"), driving(bucket):
        pass
    assert json.loads((bucket / driver.DRIVER).read_text()) == other, "it is not ours to remove"
