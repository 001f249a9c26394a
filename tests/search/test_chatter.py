"""What Ray prints by itself comes to the user in our words, or not at all."""

import threading
from types import SimpleNamespace

import pytest
import ray
from ray._private import worker

from search.chatter import in_our_words, line_of

DIED = (
    "A worker died or was killed while executing a task by an unexpected system error. To troubleshoot the problem, "
    "check the logs for the dead worker. Lease ID: 0b0c Worker ID: 4f Node ID: 77 Worker IP address: 127.0.0.1 "
    "Worker port: 39763 Worker PID: 2244 Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits."
)
MEMORY = (
    "1 Workers (tasks / actors) killed due to memory pressure (OOM), 0 Workers crashed due to other reasons at node "
    "(ID: 5e, IP: 127.0.0.1) over the last time period."
)
WAITS = (
    "Warning: The following resource request cannot be scheduled right now: {'CPU': 1.0}.\n"
    "This is likely due to all cluster resources being claimed by actors. "
)
"""As Ray 2.60 words them."""


@pytest.mark.parametrize("message", [DIED, MEMORY])
def test_what_a_search_says_itself_is_not_said_again(message: str) -> None:
    assert line_of(message) is None


def test_what_a_user_must_know_is_one_line_of_bounded_length() -> None:
    said = line_of(WAITS)
    assert said is not None
    assert said.startswith("Ray says: Warning: The following resource request cannot be scheduled right now: {'CPU'")
    assert "\n" not in said
    assert said.endswith("claimed by actors.")
    long = line_of("word " * 1000)
    assert long is not None
    assert len(long) == len("Ray says: ") + 300
    assert long.endswith(" word…")


class Errors:
    """What Ray's thread reads messages from; with the last one it is told to stop."""

    def __init__(self, stopped: threading.Event) -> None:
        self.left = [WAITS, WAITS, DIED, "Another driver's.", "The log monitor failed."]
        self.stopped = stopped

    def subscribe(self) -> None:
        """Nothing to do."""

    def poll(self) -> tuple[None, dict[str, object]]:
        message = self.left.pop(0)
        if not self.left:
            self.stopped.set()
        job = b"other" if message.startswith("Another") else ray.JobID.nil().binary()
        return None, {"job_id": job, "error_message": message}


def test_the_thread_that_prints_them_says_them_in_our_words_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    stopped = threading.Event()
    driver = SimpleNamespace(gcs_error_subscriber=Errors(stopped), current_job_id=ray.JobID.nil())
    with in_our_words(said.append):
        worker.listen_error_messages(driver, stopped)
    assert said == [line_of(WAITS), "Ray says: The log monitor failed."]
    assert capsys.readouterr() == ("", "")
    assert worker.print_to_stdstream.__module__ == "ray._private.worker"
