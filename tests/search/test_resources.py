"""What a trial holds of a machine, and how many find room: in Ray's count, and checked before anything is written."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import WrongInput
from search.beforehand import room_for
from search.check import describe
from search.resources import Machine, Resources, Share, check_room
from search.spec import Spec, load
from search.study import enter
from tests.trial.tiny import NETWORK

SPEC: dict[str, Any] = {
    "network": NETWORK,
    "data": {"name": "digits", "images": 300, "validation": 50},
    "search": {"methods": {"filter-l1": {"ratio": [0.2, 0.4, 0.6]}}, "trials": 3},
}
HUNDREDTHS = st.integers(1, 100).map(lambda count: count / 100)


def one_after_another(share: Share, machine: Machine) -> int:
    """Put trials on a machine until one finds no GPU with enough left, or no cores; in exact fractions."""
    cores, gpus = Fraction(str(machine.cpus)), [Fraction(1)] * int(machine.gpus)
    cpu, gpu, count = Fraction(str(share.cpu)), Fraction(str(share.gpu)), 0
    while cores >= cpu:
        if gpu:
            free = [place for place, left in enumerate(gpus) if left >= gpu]
            if not free:
                break
            gpus[free[0]] -= gpu
        cores, count = cores - cpu, count + 1
    return count


@given(HUNDREDTHS, HUNDREDTHS | st.just(0.0), st.integers(0, 4), st.integers(0, 3))
def test_there_is_room_for_as_many_as_can_be_put_there(cpu: float, gpu: float, cpus: int, gpus: int) -> None:
    share, machine = Share(cpu=cpu, gpu=gpu), Machine("m", cpus=cpus, gpus=gpus)
    assert share.room(machine) == one_after_another(share, machine)


@pytest.mark.parametrize("workers", range(1, 17))
def test_one_gpu_has_room_for_all_workers_that_share_it(workers: int) -> None:
    machine = Machine("one", cpus=64, gpus=1)
    share = Resources().share([machine], workers=workers)
    assert share.room(machine) == workers == one_after_another(share, machine)


def test_unequal_machines_take_what_fits_and_one_that_leaves_takes_nothing() -> None:
    share = Share(cpu=2, gpu=0.25)
    machines = [
        Machine("none", cpus=64),
        Machine("one", cpus=16, gpus=1),
        Machine("two, few cores", cpus=4, gpus=2),
        Machine("two", cpus=64, gpus=2),
        Machine("leaving", cpus=64, gpus=8, is_leaving=True),
    ]
    assert [share.room(machine) for machine in machines] == [0, 4, 2, 8, 0]
    assert share.on(machines) == 14


@pytest.mark.parametrize(
    ("workers", "gpus", "share"), [(None, 3, 1), (2, 3, 1), (3, 3, 1), (4, 3, 0.5), (7, 3, 0.3333), (4, 0, 0)]
)
def test_gpus_are_shared_out_among_the_workers_where_nobody_says(workers: int, gpus: int, share: float) -> None:
    """Four workers on three GPUs held three quarters each, and one of them waited for ever."""
    machine = Machine("m", cpus=64, gpus=gpus)
    found = Resources().share([machine], workers=workers)
    assert found == Share(cpu=1, gpu=share)
    assert found.room(machine) >= (workers or 3)


@pytest.mark.parametrize(
    ("machines", "share", "said"),
    [
        ([Machine("m", cpus=8)], Share(cpu=1, gpu=0.25), r"hold 0.25 of a GPU, and no machine here has one: let one"),
        ([], Share(cpu=1, gpu=0), r"no machine here has that: the largest have 0 cores and 0 GPUs \(resources.cpu\)"),
        (
            [Machine("m", cpus=8, gpus=1), Machine("n", cpus=16)],
            Share(cpu=17, gpu=0),
            r"hold 17 cores, and no machine here has that: the largest have 16 cores and 1 GPUs \(resources.cpu\)",
        ),
        (
            [Machine("m", cpus=8, gpus=1), Machine("n", cpus=16)],
            Share(cpu=16, gpu=1),
            r"hold 16 cores and 1 of a GPU, and no machine here has that",
        ),
    ],
)
def test_what_no_machine_has_is_one_line(machines: list[Machine], share: Share, said: str) -> None:
    with pytest.raises(WrongInput, match=said) as raised:
        check_room(machines, share, place="here")
    assert "\n" not in str(raised.value)
    check_room([*machines, Machine("head", cpus=0, is_brought=True)], share, place="here")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("resources.gpu=-1", r"^gpu: input should be greater than or equal to 0, got -1 \(.*: resources.gpu\)$"),
        ("resources.gpu=2", r"^gpu: input should be less than or equal to 1, got 2 \(.*: resources.gpu\)$"),
        ("resources.gpu=.nan", r"^gpu: input should be a finite number, got nan"),
        ("resources.cpu=0", r"^cpu: input should be greater than or equal to 0.01, got 0 \(.*: resources.cpu\)$"),
        ("resources.gpus=1", r"^'gpus' is not a setting: .*gpu.* \(.*: resources.gpus\)$"),
        ("resources=4", r"^resources: input should be a valid dictionary .*got 4"),
        ("workers=0", r"^workers: input should be greater than or equal to 1, got 0 \(.*: workers\)$"),
        ("workers=all", r"^workers: takes a whole number from 1 on, or auto, got 'all' \(.*: workers\)$"),
        ("resources.gpu=.001", r"^gpu: a part of a GPU is at least 0.01, or 0: none, got 0.001 \(.*: resources.gpu\)$"),
    ],
)
def test_wrong_resources_are_one_line(tmp_path: Path, setting: str, said: str) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    with pytest.raises(WrongInput, match=said) as raised:
        load(str(tmp_path / "spec.yaml"), settings=[setting])
    assert "\n" not in str(raised.value)


def test_auto_is_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    spec, _ = load(str(tmp_path / "spec.yaml"), settings=["workers=auto"])
    assert spec.workers is None
    assert spec == load(str(tmp_path / "spec.yaml"))[0]
    frozen = yaml.safe_load(yaml.safe_dump(spec.model_dump(mode="json")))
    assert Spec.parse(frozen, where="spec.yaml") == spec


def test_a_trial_computes_on_the_cores_that_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))

    def threads(*settings: str, is_here: bool = True) -> int:
        return load(str(tmp_path / "spec.yaml"), settings=settings)[0].with_numerics(is_here=is_here).numerics.threads

    assert threads("resources.cpu=3") == 3
    assert threads("resources.cpu=.5") == 1
    assert threads("resources.cpu=3", "numerics.threads=2") == 2
    assert threads() == 2
    assert threads(is_here=False) == 1
    assert threads("workers=2", is_here=False) == 4


def test_resources_may_change_in_a_study(tmp_path: Path) -> None:
    numerics = {"numerics": {"precision": "float32", "layout": "channels-last", "threads": 1, "dense_threads": 1}}
    enter(tmp_path, Spec.parse(SPEC | numerics, where="spec.yaml"))
    changed = Spec.parse(SPEC | numerics | {"resources": {"gpu": 0.5, "cpu": 2}}, where="spec.yaml")
    assert enter(tmp_path, changed).resources == Resources(cpu=2, gpu=0.5)
    assert "gpu: 0.5" in (tmp_path / "spec.yaml").read_text()


def test_a_check_says_how_many_run_at_once_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))

    def at_once(*settings: str) -> str:
        lines = describe(str(tmp_path / "spec.yaml"), settings=settings).splitlines()
        return next(line for line in lines if line.startswith("at once")).removeprefix("at once").strip()

    assert at_once() == "4 trials here, each with 1 core"
    assert at_once("workers=16") == "16 trials here, each with 1 core"
    assert at_once("resources.cpu=3") == "2 trials here, each with 3 cores"
    assert at_once("resources.cpu=3", "workers=1") == "1 trial here, each with 3 cores"
    assert at_once("resources.cpu=3", "workers=4") == "2 trials here, each with 3 cores; workers says 4"
    with pytest.raises(WrongInput, match=r"hold 0.25 of a GPU, and no machine here has one"):
        describe(str(tmp_path / "spec.yaml"), settings=["resources.gpu=.25"])
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    spec, _ = load(str(tmp_path / "spec.yaml"), settings=["resources={gpu: .25, cpu: 1}"])
    machines, share = room_for(spec, address=None)
    assert share.on(machines) == spec.workers_here == 8
    assert load(str(tmp_path / "spec.yaml"))[0].workers_here == 2
