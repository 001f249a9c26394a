"""CIFAR-10, CIFAR-100 and SVHN in torchvision's own formats, read by torchvision's own loaders."""

import pickle

import numpy as np
import pytest
import torchvision.datasets
from scipy.io import loadmat

from analysis.errors import WorkFailed, WrongInput
from tests.trial.data.conftest import random_images
from tests.trial.data.folders import MADE, labels_of
from trial.data import Data, load, load_test
from trial.data.source import SOURCES

PUBLISHED = ("cifar10", "cifar100", "svhn")
FIRST = {"cifar10": "cifar-10-batches-py/data_batch_1", "cifar100": "cifar-100-python/train", "svhn": "train_32x32.mat"}


def decoded(name, folder, part):
    data = Data(name=name, folder=folder)
    source = SOURCES[name]
    return source.decode(data, source.files(data, part), part)


def test_the_batches_of_cifar10_follow_one_another(tmp_path, monkeypatch):
    MADE["cifar10"](tmp_path, monkeypatch)
    batches = [pickle.loads((tmp_path / f"cifar-10-batches-py/data_batch_{n}").read_bytes()) for n in range(1, 6)]
    train = decoded("cifar10", tmp_path, "train")
    assert train.labels.tolist() == [label for batch in batches for label in batch["labels"]]
    assert train.images.reshape(-1, 3072).tolist() == [row for batch in batches for row in batch["data"].tolist()]
    assert len(decoded("cifar10", tmp_path, "test").labels) == 20


def test_cifar100_has_its_fine_classes(tmp_path, monkeypatch):
    MADE["cifar100"](tmp_path, monkeypatch)
    entry = pickle.loads((tmp_path / "cifar-100-python/test").read_bytes())
    test = decoded("cifar100", tmp_path, "test")
    assert test.labels.tolist() == entry["fine_labels"] == labels_of(100, 100)
    assert test.images.reshape(-1, 3072).tolist() == entry["data"].tolist()
    assert (test.classes[0], test.classes[99], len(test.classes)) == ("apple", "worm", 100)


def test_svhns_label_10_is_the_digit_0_and_its_pixels_stay_where_they_are(tmp_path, monkeypatch):
    MADE["svhn"](tmp_path, monkeypatch)
    stored = loadmat(tmp_path / "train_32x32.mat")
    train = decoded("svhn", tmp_path, "train")
    assert 10 in stored["y"]
    assert train.labels.tolist() == [label % 10 for label in stored["y"].ravel()]
    for row, (channel, y, x) in enumerate([(0, 3, 5), (1, 31, 0), (2, 7, 30)]):
        assert train.images[row, channel, y, x] == stored["X"][y, x, channel, row]


def test_svhn_is_not_mirrored():
    assert Data(name="svhn").augment == ("shift",)
    assert Data(name="cifar100").augment == ("flip", "shift")


@pytest.mark.parametrize("name", PUBLISHED)
def test_missing_files_are_named_with_the_cure(name, tmp_path):
    with pytest.raises(WrongInput, match=rf"neither train\.parquet nor {FIRST[name]}: .* data\.download: true"):
        load(Data(name=name, folder=tmp_path))
    with pytest.raises(WrongInput, match=r"data\.folder: .*nowhere is not a folder"):
        load(Data(name=name, folder=tmp_path / "nowhere"))


def test_without_a_folder_the_cache_is_looked_in(cache):
    with pytest.raises(WrongInput, match=f"{cache}/prunefront/svhn has neither"):
        load(Data(name="svhn"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_changed_file_is_refused_before_it_is_opened(name, tmp_path, monkeypatch):
    MADE[name](tmp_path, monkeypatch)
    (tmp_path / FIRST[name]).write_bytes(b"not what was published")
    with pytest.raises(WrongInput, match=r"MD5 sums are not those of the published files: set data\.download"):
        load(Data(name=name, folder=tmp_path))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_failed_download_is_told_in_one_line(name, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("<urlopen error no route to host>")

    # Only the network is replaced: no test may reach for it.
    module = torchvision.datasets.svhn if name == "svhn" else torchvision.datasets.cifar
    monkeypatch.setattr(module, "download_url" if name == "svhn" else "download_and_extract_archive", refuse)
    with pytest.raises(WorkFailed, match=rf"{name} could not be fetched .*no route to host.* put .*{FIRST[name]}"):
        load(Data(name=name, folder=tmp_path, download=True))


@pytest.mark.parametrize("name", PUBLISHED)
def test_missing_files_are_downloaded_where_that_is_asked_for(name, tmp_path, monkeypatch):
    def download(loader):
        MADE[name](tmp_path, monkeypatch)
        fetched.append(loader.root)

    fetched = []
    loader = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "svhn": "SVHN"}[name]
    monkeypatch.setattr(getattr(torchvision.datasets, loader), "download", download)
    files = SOURCES[name].files(Data(name=name, folder=tmp_path, download=True), "train")
    assert all(file.is_file() for file in files)
    assert list(map(str, fetched)) == [str(tmp_path)]


def test_the_hubs_cifar100_and_svhn_are_read_as_they_are_laid_out_there(write):
    write("train.parquet", random_images(4), [99, 0, 7, 3], names=(), label="fine_label")
    file = write("test.parquet", random_images(2), [5, 98], names=(), label="fine_label")
    test = decoded("cifar100", file.parent, "test")
    assert (test.labels.tolist(), test.classes) == ([5, 98], SOURCES["cifar100"].classes)
    write("train.parquet", random_images(4), [9, 0, 7, 3], names=map(str, range(10)), image="image")
    write("test.parquet", random_images(4), [9, 0, 7, 3], names=map(str, range(10)), image="image")
    assert load_test(Data(name="svhn", folder=file.parent)).labels.tolist() == [9, 0, 7, 3]


def test_a_coarse_label_is_parquets_to_take(write):
    file = write("train.parquet", random_images(8), [0, 1] * 4, names=("fish", "trees"), label="coarse_label")
    splits = load(Data(name="parquet", folder=file.parent, label="coarse_label", validation=2))
    assert splits.classes == ("fish", "trees")
    with pytest.raises(ValueError, match="label names a column of parquet; cifar100 has its own"):
        Data(name="cifar100", label="coarse_label")
    with pytest.raises(WrongInput, match=r"data\.label: .* has no column kind; it has img, coarse_label$"):
        load(Data(name="parquet", folder=file.parent, label="kind"))


def test_images_of_arrays_are_resized_as_files_are(tmp_path, monkeypatch, write):
    """The same images from torchvision's arrays and from PNG files give the same pixels."""
    MADE["svhn"](tmp_path, monkeypatch)
    pixels = decoded("svhn", tmp_path, "train").images.transpose(0, 2, 3, 1)
    labels = decoded("svhn", tmp_path, "train").labels.tolist()
    file = write("train.parquet", list(np.ascontiguousarray(pixels)), labels, names=map(str, range(10)))
    settings = {"name": "svhn", "size": 13, "validation": 20}
    from_arrays = load(Data(folder=tmp_path, **settings))
    assert from_arrays.train.images.shape == (40, 3, 13, 13)
    assert load(Data(folder=file.parent, **settings)).fingerprint == from_arrays.fingerprint
