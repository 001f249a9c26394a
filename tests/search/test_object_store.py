"""A whole search whose study lies on an object store, over HTTP, with requests that fail on the way."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import s3
from tests.search.test_run import SPEC, environment

LIMIT = 550
STUDY = f"s3://{s3.BUCKET}/studies/study"


def prunefront(folder: Path, store: s3.Server, *options: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.path.pop(0); from prunefront import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *options],
        cwd=folder,
        env=environment(**store.environment),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_search_on_an_object_store_survives_failing_requests_and_every_command_reads_it(
    tmp_path: Path, s3_server: s3.Server
) -> None:
    store = s3_server
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    for kind, path in (
        ("503", "rows/"),
        ("broken", "rows/"),
        ("lost", "rows/"),
        ("broken", "tensors"),
        ("503", "manifest"),
        ("broken", "curves/"),
        ("503", "driver.json"),
    ):
        store.proxy.fail(kind, path=path)  # type: ignore[arg-type]  # each is one of them
    store.proxy.fail("slow", method="GET", path="stages", seconds=2.0)

    ran = prunefront(tmp_path, store, "run", "spec.yaml", "--study", STUDY)

    assert ran.returncode == 0, ran.stderr
    assert f"4 trials are in {STUDY}" in ran.stdout
    assert store.proxy.left == 0, "every failure was met"
    objects = s3.everything(store)
    rows = {key: json.loads(data) for key, data in objects.items() if "/rows/" in key and key.endswith(".json")}
    assert sorted(row["state"] for row in rows.values()) == ["complete"] * 5
    assert {row["study"] for row in rows.values()} == {"study"}
    assert not any(key.endswith("driver.json") for key in objects)
    assert not list(tmp_path.glob("s3*")), "nothing went to this machine's disk"

    # What is there is gone on with, and nothing of it is made again.
    puts = len(store.proxy.requests)
    again = prunefront(tmp_path, store, "run", "spec.yaml", "--study", STUDY, "--trials", "5")
    assert again.returncode == 0, again.stderr
    assert f"5 trials are in {STUDY}" in again.stdout
    assert "executed / distinct epochs needed" in again.stdout
    assert again.stdout.partition("needed: ")[2].splitlines()[0].endswith("= 1.000")
    put = [path for method, path in store.proxy.requests[puts:] if method == "PUT" and "/rows/" in path]
    assert len([path for path in put if path.endswith(".json")]) == 1

    said = [ran, again]
    for options, expected in (
        (("front", STUDY), "hypervolume"),
        (("status", STUDY), "5 complete"),
        (("report", STUDY, "--figures"), f"{STUDY}/figures/front.svg"),
        (("trace", STUDY), f"{STUDY}/trace.json"),
        (("store", STUDY, "--verify"), "stages are whole"),
        (("store", STUDY, "--prune", "--keep", "0B"), "removed"),
        (("confirm", STUDY, "--trials", "dense", "--seeds", "1"), "confirmed.parquet"),
    ):
        answered = prunefront(tmp_path, store, *options)
        assert answered.returncode == 0, (options, answered.stderr)
        assert expected in answered.stdout, (options, answered.stdout)
        said.append(answered)

    # The secret is where it was put, in the environment, and nowhere else.
    objects = s3.everything(store)
    assert any(key.endswith("figures/front.svg") for key in objects)
    assert not [key for key, data in objects.items() if s3.SECRET.encode() in data]
    assert not [each.args for each in said if s3.SECRET in each.stdout + each.stderr]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    with contextlib.suppress(FileNotFoundError):
        assert not [path for path in written if s3.SECRET.encode() in path.read_bytes()]
