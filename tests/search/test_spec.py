from pathlib import Path

import pytest
import yaml

from analysis.errors import WrongInput
from analysis.schema import OBJECTIVES
from search.beforehand import check_methods
from search.check import describe
from search.spec import Spec, load, ready
from tests.trial.images import splits
from trial.recipe import Recipe

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


def test_a_time_limit_is_written_as_people_write_it(tmp_path: Path) -> None:
    for written, seconds in (("90", 90), ("1.5 h", 5400), ("30min", 1800), ("45 s", 45)):
        assert load(str(write(tmp_path)), settings=[f"search.time_limit={written}"])[0].search.time_limit == seconds


def test_an_objective_of_latency_has_every_trial_timed(tmp_path: Path) -> None:
    for settings, timed in (
        ([], ()),
        (["latency=true"], ("torch_latency_ms",)),
        (["latency=latency_ms_64"], ("latency_ms_64",)),
        (["search.objectives=[val_accuracy, torch_latency_ms]"], ("torch_latency_ms",)),
        (
            ["latency=[latency_ms]", "search.objectives=[latency_ms, torch_latency_ms]"],
            ("latency_ms", "torch_latency_ms"),
        ),
    ):
        spec, _ = load(str(write(tmp_path)), settings=settings)
        assert (spec.latency, spec.experiment().latency) == (timed, timed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["search.objectives=[val_acuracy]"], "is not a measure: did you mean val_accuracy.*search.objectives"),
        (["search.objectives=[val_loss_before]"], "val_loss_before is not measured in every trial"),
        (["latency=often"], "'often' is not a measure of time: accepted: latency_ms, .*torch_latency_ms.*: latency"),
        (["latency=latency_sm"], "did you mean latency_ms"),
        (["search.objectives=[macs, macs]"], "one or more different measures"),
        (["search.objectives=[]"], "one or more different measures"),
        (["search.sampler=tpee"], "'tpee' is not a sampler: did you mean tpe.*search.sampler"),
        (["search.trails=3"], "'trails' is not a setting: did you mean trials.*search.trails"),
        (["serach.trials=3"], "'serach' is not a setting: did you mean search"),
        (["search.trials=0"], "trials.*got 0.*search.trials"),
        (["search.constraints={val_acuracy: '>= .9'}"], "did you mean val_accuracy.*search.constraints.val_acuracy"),
        (["search.constraints={gzip_bytes: '<= 2 ms'}"], "accepted units are B, .* got 'ms'"),
        (["search.constraints=[macs]"], "constraints takes a mapping.*search.constraints"),
        (["search.sampler=grid",
          "search.methods={slimming: {ratio: .5, penalty: {l1: {lambda: {log: [1e-5, 1e-3]}}}}}"],
         r"grid sampler tries every recipe, and slimming.penalty.l1.lambda is continuous: give a list such as lambda: "
         r".*search.methods.slimming.penalty.l1.lambda"),
        (["search.points=[{method: filter-l1, ratio: .5}]"], "points belong to the sampler points, got sampler tpe"),
        (["search.sampler=points"], "the sampler points tries search.points alone: leave methods out"),
        (["search.warm_start=studies/a"], "warm_start.*got 'studies/a'"),
        (["search.rungs=[4, 1]"], r"rungs are epochs of recovery, growing and not below 0, got \[4, 1\].*search.rungs"),
        (["search.rungs=[-1]"], r"rungs .* got \[-1\]"),
        (["search.rungs=4"], "rungs: input should be a list, got 4"),
        (["search.rungs=[1]", "search.objectives=[macs]"], "rungs compare trials by validation accuracy or loss"),
        (["search.rungs=[1]", "search.objectives=[val_loss, train_accuracy]"], "train_accuracy is not known at rungs"),
        (["search.factor=1"], "factor.*got 1"),
        (["search.time_limit=soon"], "a time is a number of seconds or of s, min, h, as in 30 min, got 'soon'"),
        (["search.time_limit=0"], "time_limit.*got 0"),
        (["checkpoint_every=0"], "checkpoint_every.*got 0"),
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


POINTS = [
    {"method": "slimming", "ratio": 0.5, "penalty": "lp", "lambda": 1e-4, "p": 0.5},
    {"method": "filter-l1", "ratio": 0.4},
    {"method": "filter-l1", "ratio": 0.2, "scope": "global", "recovery_epochs": 2},
    {"method": "slimming", "ratio": 0.5, "penalty": "l1", "lambda": 1e-3, "recovery_rate": 0.01},
]


def listed(points: object) -> Spec:
    given = {**SMALL, "network": "vgg16-bn", "search": {"sampler": "points", "points": points}}
    spec: Spec = Spec.parse(given, where="spec.yaml")
    return spec


def test_listed_points_are_run_in_their_order_and_each_is_known_by_its_row() -> None:
    spec = listed(POINTS)
    assert (spec.size, spec.budget, spec.search.trials) == (4, 4, 4)
    assert Spec.parse(yaml.safe_load(yaml.safe_dump(spec.model_dump(mode="json"))), where="") == spec
    proposed = [proposal[1] for proposal in iter(spec.sampler().ask, None)]
    for said, recipe in zip(POINTS, proposed, strict=True):
        assert {name: recipe[name] for name in said} == said
        assert Recipe.parse(recipe, spec.experiment(), where="") == Recipe.parse(said, spec.experiment(), where="")
        row = Recipe.parse(said, spec.experiment(), where="").columns()
        traced = spec.space.trace(row)
        assert traced is not None
        assert traced[0] == recipe
    check_methods(spec, splits())


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], r"points takes a list of recipes.*spec.yaml: search.points"),
        ([{"method": "filter-l1", "ratio": 0.5}, "filter-l1"], r"a point is a recipe.*search.points.1"),
        ([{"method": "filter-l2", "ratio": 0.5}], r"filter-l1.*search.points.0"),
        ([{"method": "filter-l1", "ratio": 1.5}], r"ratio.*1.5.*search.points.0: filter-l1.ratio"),
        ([{"ratio": 0.5}], "method is missing.*search.points.0"),
        (
            [{"method": "filter-l1", "ratio": 0.5}, {"method": "filter-l1", "ratio": 0.5, "schedule": "one-shot"}],
            r"this recipe is point 0 already: list it once \(spec.yaml: search.points.1\)",
        ),
    ],
)
def test_a_wrong_point_is_named_by_its_place(points: object, message: str) -> None:
    with pytest.raises(WrongInput, match=message) as raised:
        listed(points)
    assert "\n" not in str(raised.value)


def test_a_grid_tries_all_it_lists_unless_trials_say_less(tmp_path: Path) -> None:
    grid = ["search.sampler=grid", "search.methods={filter-l1: {ratio: [.1, .2, .3], scope: any}}"]
    path = write(tmp_path, search={"methods": {}})
    assert load(str(path), settings=grid)[0].search.trials == 6
    assert load(str(path), settings=[*grid, "search.trials=4"])[0].budget == 4


def test_constraints_are_frozen_in_the_measures_own_units_and_have_latency_taken(tmp_path: Path) -> None:
    settings = ["search.constraints={gzip_bytes: <= 2 MB, torch_latency_ms: < 200 us}"]
    spec, _ = load(str(write(tmp_path)), settings=settings)
    assert spec.search.constraints == {"gzip_bytes": "<= 2000000", "torch_latency_ms": "< 0.2"}
    assert spec.latency == ("torch_latency_ms",)
    assert Spec.parse(spec.model_dump(mode="json"), where="") == spec
