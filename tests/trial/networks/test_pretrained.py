"""ImageNet's weights, by way of a small network of which a file on this machine holds the published ones."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from analysis.errors import WrongInput
from prunefront import app
from trial.experiment import Experiment
from trial.networks import Network, build, identity
from trial.networks.catalogue import NETWORKS
from trial.networks.pretrained import PRETRAINED, Pretrained
from trial.recipe import Recipe
from trial.workbench import Workbench

NEW = {"top.weight", "top.bias"}
STATISTICS = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}


class Small(nn.Module):
    """A convolution with norm that is pretrained, a linear layer that is new."""

    def __init__(self, *, classes, width):
        assert width == 1
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=4), nn.BatchNorm2d(6)
        self.pool, self.top = nn.AdaptiveAvgPool2d(3), nn.Linear(54, classes)

    def forward(self, images):
        return self.top(self.pool(torch.relu(self.norm(self.conv(images)))).flatten(1))


@dataclass
class Published:
    tensors: dict[str, torch.Tensor]
    declared: Pretrained


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The network `small` and its weights behind a file:// address; torch's cache is empty."""
    torch.manual_seed(3)
    source = Small(classes=10, width=1.0)
    nn.init.normal_(source.norm.running_mean)
    tensors = {name: tensor for name, tensor in source.state_dict().items() if name not in NEW}
    # In the format before zip files, which vgg16's published file has.
    torch.save(tensors, tmp_path / "small.pth", _use_new_zipfile_serialization=False)
    digits = hashlib.sha256((tmp_path / "small.pth").read_bytes()).hexdigest()[:8]
    file = (tmp_path / "small.pth").rename(tmp_path / f"small-{digits}.pth")
    declared = Pretrained("Small_Weights.IMAGENET1K_V1", file.as_uri(), ("top.",))
    NETWORKS.names(), PRETRAINED.names()
    monkeypatch.setitem(NETWORKS._entries, "small", Small)
    monkeypatch.setitem(PRETRAINED._entries, "small", declared)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Published(tensors, declared)


def imagenet(**settings):
    return Network(name="small", weights="imagenet", **settings)


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_weights_are_downloaded_once_and_loaded(published):
    made = build(imagenet(), classes=4, seed=0).state_dict()
    assert moved(published.tensors, made) == set()
    first = build(imagenet(), classes=4, seed=0, trained=False).state_dict()
    assert moved(first, made) == {"conv.weight", "conv.bias", "norm.running_mean"}, "the new layers are drawn"
    assert published.declared.file.parent.name == "checkpoints"
    Path(published.declared.url.removeprefix("file://")).unlink()
    assert moved(made, build(imagenet(), classes=4, seed=0).state_dict()) == set()


def test_the_trial_is_named_without_a_download(published):
    assert identity(imagenet())["weights"] == "Small_Weights.IMAGENET1K_V1"
    assert not published.declared.file.exists()
    assert identity(imagenet()) != identity(Network(name="small"))


def test_the_word_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("imagenet").write_bytes(b"a file")
    assert Network.model_validate({"name": "vgg16", "weights": "imagenet"}).weights_file is None
    assert Network.model_validate({"name": "vgg16", "weights": "./imagenet"}).weights_file == Path("imagenet")


def test_another_file_in_the_cache_is_refused(published):
    file = published.declared.file
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half a file")
    with pytest.raises(
        WrongInput, match=rf"is not Small_Weights.IMAGENET1K_V1: its sha256 begins with \w+, not {file.stem[6:]}"
    ):
        build(imagenet(), classes=4, seed=0)
    assert file.exists(), "it is the user's"


def test_a_download_with_another_hash_is_refused_and_leaves_nothing(published):
    Path(published.declared.url.removeprefix("file://")).write_bytes(b"an error page")
    with pytest.raises(WrongInput, match=r"could not be downloaded from file:///.*invalid hash value"):
        build(imagenet(), classes=4, seed=0)
    assert list(published.declared.file.parent.iterdir()) == []


def test_a_check_downloads_nothing_and_says_what_a_run_will(published, tmp_path, monkeypatch):
    Path(published.declared.url.removeprefix("file://")).unlink()
    monkeypatch.chdir(tmp_path)
    given = {"network": {"name": "small", "weights": "imagenet"}, "data": {"name": "digits", "images": 100}}
    Path("given.yaml").write_text(yaml.safe_dump(given | {"search": {"methods": "filter-l1"}}))
    ended = CliRunner().invoke(app, ["check", "given.yaml"])
    assert ended.exit_code == 0, ended.output
    assert f"weights     imagenet, not on this machine: a run fetches {published.declared.url}" in ended.stdout


@pytest.mark.parametrize("command", ["run", "trial"])
def test_weights_that_cannot_be_downloaded_are_one_line(published, tmp_path, monkeypatch, command):
    Path(published.declared.url.removeprefix("file://")).unlink()
    monkeypatch.chdir(tmp_path)
    given = {"network": {"name": "small", "weights": "imagenet"}, "data": {"name": "digits", "images": 100}}
    search = {"search": {"methods": "filter-l1"}} if command == "run" else {"method": "filter-l1", "ratio": 0.5}
    Path("given.yaml").write_text(yaml.safe_dump(given | search))
    ended = CliRunner().invoke(app, [command, "given.yaml", "--study", "study"])
    assert ended.exit_code == 2, ended.output
    assert ended.stderr.count("\n") == 1
    for said in ("imagenet could not be downloaded from file:///", "No such file", f"put that file at {tmp_path}"):
        assert said in ended.stderr


def stages(study):
    """Record and tensors of every stage of a study."""
    for manifest in study.glob("stages/*/manifest.json"):
        yield json.loads(manifest.read_bytes())["record"], load_file(manifest.parent / "tensors.safetensors")


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("freeze", ["none", "dense", "always"])
def test_what_is_frozen_stays_through_the_stages_of_a_trial(tmp_path, freeze):
    given = {
        "network": {"name": "small", "weights": "imagenet", "freeze": freeze},
        "data": {"name": "digits", "images": 200, "validation": 40},
        **{section: {"epochs": 1, "rate": 0.05, "batch": 32} for section in ("dense", "sparsity", "recovery")},
    }
    experiment = Experiment.parse(given, where="spec.yaml")
    bench = Workbench(experiment, tmp_path / "study", study_name="study", worker="here")
    recipe = Recipe.parse({"method": "filter-l1", "ratio": 0.5}, experiment, where="spec.yaml")
    row = bench.run(recipe)
    assert (row["state"], row["error"], row["epochs"]) == ("complete", None, 2)

    dense = bench.parent(recipe).state_dict()
    first = build(imagenet(), classes=10, seed=0).state_dict()
    everything = set(first)
    # A bias in front of a batch norm has no gradient but rounding's, and weight decay moves it.
    assert moved(first, dense) == (everything if freeze == "none" else NEW)

    slimming = {"method": "slimming", "ratio": 0.5, "penalty": "l1", "lambda": 1e-2}
    sparse = bench.parent(Recipe.parse(slimming, experiment, where="spec.yaml")).state_dict()
    assert moved(dense, sparse) == (NEW if freeze == "always" else everything)

    thin = [
        (record, tensors) for record, tensors in stages(tmp_path / "study") if len(tensors.get("conv.bias", ())) == 3
    ]
    cut = next(tensors for record, tensors in thin if "units" in record)
    recovered = next(tensors for record, tensors in thin if "curve" in record)
    assert moved(cut, recovered) == (NEW if freeze == "always" else everything)
    assert all(parameter.requires_grad for parameter in bench.parent(recipe).parameters())


def test_weights_drawn_anew_are_trained_as_a_whole(published, tmp_path):
    """Frozen they would stay what chance made them."""
    given = {
        "network": {"name": "small", "weights": "imagenet", "freeze": "always"},
        "data": {"name": "digits", "images": 100, "validation": 40},
        **{section: {"epochs": 1, "rate": 0.05} for section in ("dense", "recovery")},
    }
    experiment = Experiment.parse(given, where="spec.yaml")
    bench = Workbench(experiment, tmp_path / "study", study_name="study", worker="here")
    scratch = {"method": "filter-l1", "ratio": 0.5, "control": "scratch"}
    assert bench.run(Recipe.parse(scratch, experiment, where="spec.yaml"))["state"] == "complete"
    trained = next(tensors for record, tensors in stages(tmp_path / "study") if len(record.get("curve", ())) == 2)
    assert trained["norm.num_batches_tracked"] > published.tensors["norm.num_batches_tracked"]
    assert trained["norm.bias"].count_nonzero() == 3
