from pathlib import Path

import pytest
import yaml

from analysis.errors import WrongInput
from analysis.schema import OBJECTIVES
from search.check import describe
from search.spec import Spec, load, ready

SMALL = {
    "network": {"name": "seed-cnn", "width": 0.125},
    "data": {"name": "digits", "images": 300},
    "search": {"methods": {"filter-l1": {"ratio": [0.2, 0.4]}}, "trials": 4},
    "workers": 2,
}


def write(folder: Path, **changed: object) -> Path:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(SMALL | changed))
    return path


@pytest.mark.parametrize("name", ready())
def test_a_ready_spec_is_valid_and_reads_back_as_it_is_frozen(name: str) -> None:
    spec, named = load(name)
    assert named == name
    frozen = yaml.safe_load(yaml.safe_dump(spec.with_numerics().model_dump(mode="json")))
    again = Spec.parse(frozen, where=name)
    assert again == spec.with_numerics()


def test_the_demo_is_what_it_is_said_to_be() -> None:
    spec, _ = load("demo")
    assert set(spec.space.methods.options) == {"magnitude-global", "filter-l1", "random-channels", "slimming"}
    assert spec.search.trials >= 40
    assert spec.workers == 2
    assert (spec.network.name, spec.network.width, spec.data.name) == ("vgg16-bn", 0.125, "digits")
    assert "slimming" in describe("demo", settings=[])


def test_settings_replace_what_the_file_says(tmp_path: Path) -> None:
    path = write(tmp_path, network="seed-cnn")
    spec, _ = load(str(path), settings=["network.width=.25", "search.trials=7", "search.methods=[random-channels]"])
    assert (spec.network.name, spec.network.width, spec.search.trials) == ("seed-cnn", 0.25, 7)
    assert set(spec.space.methods.options) == {"random-channels"}


def test_the_cores_are_shared_out_unless_numerics_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    spec, _ = load(str(write(tmp_path)))
    assert (spec.with_numerics().numerics.threads, spec.with_numerics().numerics.dense_threads) == (4, 8)
    spec, _ = load(str(write(tmp_path)), settings=["numerics.threads=3", "workers=16"])
    assert (spec.with_numerics().numerics.threads, spec.with_numerics().numerics.dense_threads) == (3, 8)
    spec, _ = load(str(write(tmp_path)), settings=["workers=16"])
    assert spec.with_numerics().numerics.threads == 1


def test_paths_are_written_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec, _ = load(str(write(tmp_path, data={"name": "parquet", "folder": "images"})))
    assert spec.data.folder == tmp_path / "images"


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_search_can_be_for_whatever_every_trial_takes(tmp_path: Path, name: str) -> None:
    spec, _ = load(str(write(tmp_path)), settings=[f"search.objectives=[{name}]"])
    assert spec.search.objectives == (name,)


def test_an_objective_of_latency_has_every_trial_timed(tmp_path: Path) -> None:
    for settings, timed in (
        ([], False),
        (["latency=true"], True),
        (["search.objectives=[val_accuracy, torch_latency_ms]"], True),
    ):
        spec, _ = load(str(write(tmp_path)), settings=settings)
        assert (spec.latency, spec.experiment().latency) == (timed, timed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["search.objectives=[val_acuracy]"], "is not a measure: did you mean val_accuracy.*search.objectives"),
        (["search.objectives=[latency_ms]"], "latency_ms is not measured in every trial"),
        (["search.objectives=[val_loss_before]"], "val_loss_before is not measured in every trial"),
        (["latency=often"], "latency.*boolean.*got 'often'"),
        (["search.objectives=[macs, macs]"], "one or more different measures"),
        (["search.objectives=[]"], "one or more different measures"),
        (["search.sampler=tpee"], "'tpee' is not a sampler: did you mean tpe.*search.sampler"),
        (["search.trails=3"], "'trails' is not a setting: did you mean trials.*search.trails"),
        (["serach.trials=3"], "'serach' is not a setting: did you mean search"),
        (["search.trials=0"], "trials.*got 0.*search.trials"),
        (["workers=0"], "workers.*got 0"),
        (["search.methods=null"], "methods takes names"),
        (["search"], "--set takes path=value"),
        (["search.trials.x=3"], "search.trials is 4, it has no x"),
        (["search.trials=["], "is not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, settings: list[str], message: str) -> None:
    with pytest.raises(WrongInput, match=message) as raised:
        load(str(write(tmp_path)), settings=settings)
    assert "\n" not in str(raised.value)


def test_a_near_miss_of_a_ready_spec_is_suggested() -> None:
    with pytest.raises(WrongInput, match="neither a file nor a ready spec: did you mean demo"):
        load("demmo")


def test_imagenet_is_no_path_and_a_weights_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, frozen in (("imagenet", "imagenet"), ("w.safetensors", str(tmp_path / "w.safetensors"))):
        spec, _ = load(str(write(tmp_path, network={"name": "vgg16", "weights": given})))
        assert spec.model_dump(mode="json")["network"]["weights"] == frozen
