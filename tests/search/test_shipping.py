"""The artefacts of a study: those that were asked for, each once, whatever happens on the way."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from search import shipping
from search.shipping import ship
from search.spec import Spec
from tests.search.disturbed import driver
from tests.search.test_run import SPEC, run, started
from tests.search.three_nodes import nodes
from trial import rows
from trial.recipe import Recipe
from trial.workbench import Workbench

TINY: dict[str, Any] = {
    "network": {"code": "tests.trial.tiny:made"},
    "data": {"name": "digits", "images": 200, "validation": 40},
    "dense": {"epochs": 1},
    "recovery": {"epochs": 0},
    "search": {"methods": {"filter-l1": {"ratio": [0.25, 0.5]}}, "objectives": ["val_accuracy", "macs"]},
}


def spec(**changed: Any) -> Spec:
    made: Spec = Spec.parse({**TINY, **changed}, where="spec.yaml")
    return made


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The dense network, one pruned network on the front and one that the other beats."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("study")
        bench = Workbench(spec().experiment(), folder, study_name="study", worker="here")
        rows.write(folder, bench.dense() | {"val_accuracy": 0.0})
        for ratio, accuracy in ((0.25, 0.0), (0.5, 1.5)):
            row = bench.run(Recipe.parse({"method": "filter-l1", "ratio": ratio}, bench.experiment, where="spec.yaml"))
            rows.write(folder, row | {"val_accuracy": accuracy})
        yield folder


def shipped(study: Path, said: Spec, **options: Any) -> list[str]:
    lines: list[str] = []
    ship(said, study, say=lines.append, **options)
    return lines


def test_none_makes_none_and_says_nothing(study):
    assert shipped(study, spec(artefacts="none")) == []
    assert not (study / "artefacts").exists()


def test_the_fronts_are_made_once_a_failure_is_a_line_and_retry_makes_it_again(study):
    """The front's row says another accuracy than its network has: the artefact fails, and the study does not."""
    (front,) = [row for row in rows.read_all(study) if row["ratio"] == 0.5]
    first = shipped(study, spec())
    assert first[0] == "making 1 of 1 artefacts"
    assert first[1].startswith(
        f"artefact {front['trial']} failed: ArtefactDiffers: model.onnx has a validation accuracy"
    )
    assert first[2] == f"0 of 1 artefacts are in {study}/artefacts, 1 failed (--retry failed makes them again)"
    assert [path.name for path in (study / "artefacts").iterdir()] == [front["trial"]]
    # What failed is not made again unless that is asked for.
    assert shipped(study, spec()) == first[2:]
    found = json.loads((study / "artefacts" / front["trial"] / "status.json").read_text())["error"]
    right = float(found.split(" of ")[1].split(",")[0])
    rows.write(study, front | {"val_accuracy": right})
    assert shipped(study, spec(), retry=True) == [first[0], f"1 of 1 artefacts are in {study}/artefacts"]
    rows.write(study, front)


def test_an_interrupt_keeps_what_is_made_and_says_how_to_go_on(study, monkeypatch):
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(shipping, "make", interrupted)
    with pytest.raises(
        KeyboardInterrupt, match=r"all trials and 1 of 3 artefacts are safe in .*; run the same command"
    ):
        shipped(study, spec(artefacts="all"))


def test_artefacts_may_be_asked_for_anew_in_a_study():
    from search.study import differences

    assert differences(spec(), spec(artefacts="all")) == []
    assert differences(spec(), spec(seed=3)) != []


@pytest.mark.slow
def test_a_run_that_is_killed_among_its_artefacts_goes_on_with_the_rest(tmp_path: Path) -> None:
    given = {**SPEC, "artefacts": "all"}
    with started(tmp_path, spec=given) as process:
        wait = time.monotonic() + 400
        while not (first := list(tmp_path.glob("study/artefacts/*/status.json"))):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < wait
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = {path: (path.stat().st_mtime_ns, path.read_text()) for path in first}
    done = run(tmp_path, spec=given)
    assert done.returncode == 0, done.stderr
    assert "5 of 5 artefacts are in study/artefacts\n" in done.stdout  # four trials and the dense network
    assert {path: (path.stat().st_mtime_ns, path.read_text()) for path in before} == before
    for folder in (tmp_path / "study" / "artefacts").iterdir():
        assert {path.name for path in folder.iterdir()} == {
            "recipe.yaml", "model.safetensors", "model.onnx", "card.md", "status.json",
        }  # fmt: skip
        assert json.loads((folder / "status.json").read_text())["state"] == "done"
    again = run(tmp_path, spec=given)
    assert "making" not in again.stdout
    assert "5 of 5 artefacts are in study/artefacts\n" in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_a_cluster_one_of_its_workers_makes_them(tmp_path: Path) -> None:
    given = {**SPEC, "artefacts": "all"}
    with (
        nodes() as cluster,
        driver(tmp_path, "--address", cluster.address, "--trials", "1", given=given, mark=cluster.mark) as search,
    ):
        code, said, complained = search.end()
    assert (code, complained) == (0, "")
    assert "making 2 of 2 artefacts\n" in said
    assert "2 of 2 artefacts are in study/artefacts\n" in said
    assert len(list(tmp_path.glob("study/artefacts/*/status.json"))) == 2
