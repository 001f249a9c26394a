import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.errors import WorkFailed, WrongInput
from search.session import INTERRUPTS, LOCK, _temporary, session


@pytest.mark.parametrize("kind", [Exception, RuntimeError, ValueError])
def test_a_ray_that_does_not_start_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: type[Exception]
) -> None:
    """Ray raised a bare Exception on a machine with no time for it, and the user saw its traceback."""
    import ray

    def timed_out(**settings: object) -> None:  # noqa: ARG001
        raise kind("The current node\ntimed out during startup.")

    monkeypatch.setattr(ray, "init", timed_out)
    monkeypatch.setattr("search.session.TEMPORARY", tmp_path)
    with (
        pytest.raises(
            WorkFailed, match=r"^Ray did not start in 2 attempts: The current node timed out during startup\.$"
        ),
        session(workers=1),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_dead_drivers_are_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user's /tmp/prunefront-20261121-results was taken for a dead driver's folder and removed."""
    monkeypatch.setattr("search.session.TEMPORARY", tmp_path)
    own, dead = tmp_path / "prunefront-20261121-results", tmp_path / "prunefront-dead"
    for folder in (own, dead):
        folder.mkdir()
    (dead / LOCK).touch()
    with _temporary() as living, _temporary() as other:
        assert sorted(tmp_path.iterdir()) == sorted([own, living, other])
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nowhere", r"^--address takes HOST:PORT, such as 10.0.0.5:6379, or auto; got 'nowhere'$"),
        ("ray://10.0.0.5:10001", r"^--address takes HOST:PORT, .* got 'ray://10.0.0.5:10001'$"),
        (
            "localhost:99999",
            r"^no Ray cluster answers at localhost:99999 \(.*\): start one with `ray start --head`, or",
        ),
        ("localhost:1", r"^no Ray cluster answers at localhost:1 \(.*refused\): start one with `ray start --head`, or"),
    ],
)
def test_an_address_where_no_cluster_answers_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, said: str
) -> None:
    monkeypatch.setattr("search.session.TEMPORARY", tmp_path)
    with pytest.raises(WrongInput, match=said) as raised, session(workers=1, address=address):
        pass
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def interruptible() -> Iterator[None]:
    before = {number: signal.signal(number, signal.default_int_handler) for number in INTERRUPTS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", INTERRUPTS)
@pytest.mark.parametrize("address", [None, "auto"])
@pytest.mark.parametrize("starts", [True, False])
def test_an_interrupt_while_ray_starts_is_taken_when_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals, address: str | None, starts: bool
) -> None:
    """Ray's own handler of SIGTERM ended the process at once, with exit code 15 or 134 and not a word."""
    import ray
    from ray._private import utils

    done = []

    def init(**settings: object) -> None:  # noqa: ARG001
        utils.set_sigterm_handler(lambda *_: sys.exit(15))
        os.kill(os.getpid(), number)
        done.append("started")
        if not starts:
            raise RuntimeError("no time")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: done.append("ended"))
    monkeypatch.setattr("search.session.TEMPORARY", tmp_path)
    taken = utils.set_sigterm_handler
    with pytest.raises(KeyboardInterrupt), session(workers=1, address=address):
        done.append("searched")
    assert done == ["started", "ended"]
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert utils.set_sigterm_handler is taken
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", INTERRUPTS)
def test_an_interrupt_while_ray_ends_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    import ray

    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "shutdown", lambda: os.kill(os.getpid(), number))
    monkeypatch.setattr("search.session.TEMPORARY", tmp_path)
    with session(workers=1, address="auto"):
        pass
    assert signal.getsignal(number) is signal.default_int_handler
