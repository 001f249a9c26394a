"""Notices of a cloud that a spot machine is taken away, by real HTTP, on a real cluster."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import WrongInput
from search.spot_notice import SILENT, Aws, Google, drained, watch
from tests.search.three_nodes import nodes, wait_until

ROOT = Path(__file__).parents[2]


class Metadata:
    """The metadata services of both clouds, as their manuals have them."""

    def __init__(self) -> None:
        self.ends: datetime | None = None
        self.tokens: list[str] = []
        """Those that were given out; the last is good."""
        self.asked = 0
        self.garbage: list[bytes] = []
        """What is answered first, instead of HTTP or of a notice."""
        metadata = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                seconds = int(self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") or 0)
                if self.path != "/latest/api/token" or not 1 <= seconds <= 21_600:
                    self._answer(400)
                    return
                metadata.tokens.append(f"token{len(metadata.tokens)}")
                self._answer(200, metadata.tokens[-1])

            def do_GET(self) -> None:
                metadata.asked += 1
                if metadata.garbage:
                    self.wfile.write(metadata.garbage.pop(0))
                elif self.path == "/computeMetadata/v1/instance/preempted":
                    if self.headers.get("Metadata-Flavor") != "Google":
                        self._answer(403)
                    else:
                        self._answer(200, "TRUE" if metadata.ends else "FALSE")
                elif self.path != "/latest/meta-data/spot/instance-action":
                    self._answer(400)
                elif self.headers.get("X-aws-ec2-metadata-token") not in metadata.tokens[-1:]:
                    self._answer(401)
                elif metadata.ends is None:
                    self._answer(404)
                else:
                    when = metadata.ends.strftime("%Y-%m-%dT%H:%M:%SZ")
                    self._answer(200, json.dumps({"action": "terminate", "time": when}))

            def _answer(self, code: int, text: str = "") -> None:
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *said: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        # A proxy that nobody runs: the service of one's own machine is not behind it.
        return {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{self.host}/",
            "GCE_METADATA_HOST": self.host,
            "http_proxy": "http://127.0.0.1:1",
        }

    def give_notice(self, *, seconds: float) -> None:
        self.ends = datetime.now(UTC) + timedelta(seconds=seconds)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    found = Metadata()
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    yield found
    found.close()


def test_aws_says_when_and_tokens_that_grew_old_are_renewed(metadata: Metadata) -> None:
    look = Aws()
    assert look() is None
    assert look() is None
    assert len(metadata.tokens) == 1
    metadata.give_notice(seconds=120)
    metadata.tokens.append("another")
    assert look() is None
    left = look()
    assert len(metadata.tokens) == 3
    assert left is not None
    assert 110 < left <= 120
    metadata.give_notice(seconds=-5)
    assert look() == 0.0


def test_google_says_that_half_a_minute_is_left(metadata: Metadata) -> None:
    look = Google()
    assert look() is None
    metadata.give_notice(seconds=120)
    assert look() == 30.0


def test_what_is_no_notice_is_asked_for_again(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.spot_notice.LOOK_SECONDS", 0.0)
    drained: list[float] = []
    monkeypatch.setattr("search.spot_notice.drained", lambda *_, seconds, **__: not drained.append(seconds))  # type: ignore[func-returns-value]
    metadata.garbage = [b"", b"not HTTP\r\n"]
    for _ in (0, 1):
        with pytest.raises(WrongInput, match="no metadata service of aws answers"):
            watch("aws", address="127.0.0.1:1", node="here")
    metadata.give_notice(seconds=60)
    right = b"HTTP/1.0 200 OK\r\n\r\n"
    broken = [b"", b"not HTTP\r\n", *(right + said for said in (b"", b"[1]", b"3"))]
    metadata.garbage = [right + b'{"time": "2030-01-01T00:00:00Z"}', *broken]
    assert watch("aws", address="127.0.0.1:1", node="here")
    assert metadata.garbage == []
    assert 0 < drained[0] <= 60


def test_a_head_that_does_not_answer_is_given_up_in_time_to_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def never(*_: object, timeout: float, **__: object) -> None:
        given.append(timeout)
        raise subprocess.TimeoutExpired("ray", timeout)

    monkeypatch.setattr("search.spot_notice.subprocess.run", never)
    assert not any(drained("node", address="127.0.0.1:1", seconds=seconds) for seconds in (120.0, 30.0, 3.0))
    assert given == [40.0, 10.0, 5.0]


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_elsewhere_it_says_so_in_one_line(cloud: str, metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    with pytest.raises(WrongInput, match=f"no metadata service of {cloud} answers at http://127.0.0.1:1: .*--cloud"):
        watch(cloud, address="127.0.0.1:1")
    assert metadata.asked == 0


def test_a_head_that_is_silent_for_a_moment_ends_no_watch_and_one_that_stays_so_does(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert metadata.ends is None
    answers: list[dict[str, str]] = [{}] * (SILENT - 1) + [{"here": ""}] + [{}] * SILENT
    asked = iter(answers)
    monkeypatch.setattr("search.spot_notice.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("search.spot_notice.ALIVE_SECONDS", 0.0)
    monkeypatch.setattr("search.spot_notice._alive", lambda _: next(asked))
    assert not watch("gcp", address="127.0.0.1:1", node="here")
    assert next(asked, None) is None, "it went on to the last"
    monkeypatch.setattr("search.spot_notice._alive", lambda _: {"another": ""})
    assert not watch("gcp", address="127.0.0.1:1", node="here")


def alive(address: str) -> set[str]:
    """Asked in a process of its own: one that had a Ray here is answered by no other head."""
    program = "import json, sys; from search.spot_notice import _alive; print(json.dumps(_alive(sys.argv[1])))"
    said = subprocess.run(
        [sys.executable, "-c", program, address], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(said.stdout))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_machine_with_a_notice_is_drained_and_no_other(metadata: Metadata) -> None:
    with nodes(3) as cluster:
        one, two = (node["id"] for node in cluster.others)
        everybody = {cluster.head["id"], one, two}
        # All of these are on one machine: which is meant has to be said.
        ended = subprocess.run(
            [sys.executable, "-m", "search.spot_notice", "--cloud", "gcp", "--address", cluster.address],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2
        assert re.fullmatch(r"prunefront: 3 Rays of .* say which with --node, one of .*\n", ended.stderr)
        since = metadata.asked
        watching = {
            cloud: subprocess.Popen(
                [sys.executable, "-m", "search.spot_notice", "--cloud", cloud, "--address", cluster.address, *which],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for cloud, which in {"aws": ["--node", one], "gcp": ["--node", two]}.items()
        }
        try:
            wait_until(lambda: metadata.asked >= since + 6, seconds=200, what="both ask")
            assert alive(cluster.address) == everybody
            assert all(process.poll() is None for process in watching.values())
            metadata.give_notice(seconds=100)
            for cloud, process in watching.items():
                said, complained = process.communicate(timeout=200)
                assert process.returncode == 0, complained
                assert f"{cloud} takes this machine away in " in said
            # Nothing runs there that would have to end first.
            wait_until(lambda: alive(cluster.address) == {cluster.head["id"]}, seconds=60, what="drained nodes leave")
        finally:
            for process in watching.values():
                process.kill()
