"""A user's own network: found by import, loaded strictly, and every mistake named in one line."""

import hashlib
import sys

import pytest
import torch
from safetensors.torch import save_file

from analysis.errors import WrongInput
from trial.networks import Network, build, source_hash

CODE = """
from torch import nn

def tiny(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, classes))

def broken(classes):
    raise KeyError("nothing here")

def number(classes):
    return classes

class Tied(nn.Sequential):
    def __init__(self, classes):
        super().__init__(nn.Flatten(), nn.Linear(3072, 8), nn.Linear(8, 8), nn.Linear(8, classes))
        self[2].weight = nn.Parameter(self[2].weight.detach()[:, :8])
        self.again = nn.Linear(8, 8)
        self.again.weight = self[2].weight

def tied(classes):
    return Tied(classes)

class Extra(nn.Linear):
    def get_extra_state(self):
        return {"note": 1}

    def set_extra_state(self, state):
        pass

def extra(classes):
    return nn.Sequential(nn.Flatten(), Extra(3072, classes))

constant = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder with own_network.py, as the current folder."""
    (tmp_path / "own_network.py").write_text(CODE)
    (tmp_path / "raises.py").write_text("1 / 0\n")
    (tmp_path / "analysis.py").write_text("raise RuntimeError('the user\\'s file shadows ours')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("own_network", "raises"):
        sys.modules.pop(name, None)


def own(name, weights=None, *, classes=4):
    return build(Network(code=f"own_network:{name}", weights=weights), classes=classes, seed=0)


def test_code_in_the_current_folder_is_found_last(folder):
    assert own("tiny")[1].out_features == 4
    assert sys.path[-1] == str(folder)


def test_trained_weights_are_loaded(folder):
    torch.manual_seed(1)
    weights = {"1.weight": torch.randn(4, 3072), "1.bias": torch.randn(4)}
    save_file(weights, folder / "w.safetensors")
    state = own("tiny", folder / "w.safetensors").state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights.items())


def test_our_networks_take_trained_weights_too(folder):
    torch.manual_seed(1)
    trained = build(Network(name="seed-cnn", width=0.1), classes=4, seed=5).state_dict()
    save_file(trained, folder / "w.safetensors")
    given = Network(name="seed-cnn", width=0.1, weights="w.safetensors")
    state = build(given, classes=4, seed=0).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in trained.items())
    first = build(given, classes=4, seed=5, trained=False).state_dict()
    assert all(torch.equal(first[name], tensor) for name, tensor in trained.items())
    with pytest.raises(WrongInput, match=r"classifier\.2\.weight has shape \(4, 512\), the network's is \(5, 512\)"):
        build(given, classes=5, seed=0)


def test_source_hash_is_that_of_the_file_and_empty_for_ours(folder):
    expected = hashlib.sha256((folder / "own_network.py").read_bytes()).hexdigest()
    assert source_hash(Network(code="own_network:tiny")) == expected
    assert source_hash(Network(name="seed-cnn")) == ""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("nowhere:tiny", "nowhere cannot be imported: ModuleNotFoundError"),
        ("raises:tiny", "raises cannot be imported: ZeroDivisionError"),
        ("own_network:big", "own_network has no function big"),
        ("own_network:constant", "own_network has no function constant"),
        ("own_network:broken", "could not be called with classes=4: KeyError"),
        ("own_network:number", "must return a torch.nn.Module, it returned a int"),
        ("own_network:tied", "cannot be stored: 2.weight and again.weight share their memory; give each a tensor"),
        ("own_network:extra", "cannot be stored: 1._extra_state of its state is a dict, only tensors are kept"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_code_that_cannot_be_used_is_named_in_one_line(code, message):
    with pytest.raises(WrongInput, match=message) as raised:
        build(Network(code=code), classes=4, seed=0)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("folder")
def test_the_source_of_code_that_is_nowhere_is_named():
    with pytest.raises(WrongInput, match="no file for nowhere"):
        source_hash(Network(code="nowhere:tiny"))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"1.weight": torch.zeros(4, 3072)}, "it lacks 1.bias"),
        ({"1.weight": torch.zeros(5, 3072), "1.bias": torch.zeros(5)}, r"1.weight has shape \(5, 3072\)"),
        (
            {"1.weight": torch.zeros(4, 3072), "1.bias": torch.zeros(4), "2.bias": torch.zeros(1)},
            "the network has no 2.bias",
        ),
    ],
)
def test_weights_that_do_not_fit_name_the_first_difference(folder, tensors, message):
    save_file(tensors, folder / "w.safetensors")
    with pytest.raises(WrongInput, match=message):
        own("tiny", folder / "w.safetensors")


def test_weights_that_are_missing_or_damaged_are_named(folder):
    with pytest.raises(WrongInput, match=r"w\.safetensors is not a file"):
        own("tiny", folder / "w.safetensors")
    (folder / "w.safetensors").write_bytes(b"not tensors")
    with pytest.raises(WrongInput, match="not a readable safetensors file"):
        own("tiny", folder / "w.safetensors")
