"""What holds for every data set of the registry, found from its files."""

import numpy as np
import pytest
import torch

from tests.trial.data.folders import MADE
from trial.data import Data, load, load_test, names
from trial.data.source import SOURCES


@pytest.fixture(params=names())
def data(request, tmp_path, monkeypatch):
    """Each data set, in a small folder of its own format."""
    make = MADE[request.param]
    if make is None:
        return Data(name=request.param)
    folder = tmp_path / "made"
    folder.mkdir()
    make(folder, monkeypatch)
    return Data(name=request.param, folder=folder, validation=100 if request.param == "cifar100" else 20)


def decoded(data, part):
    source = SOURCES[data.name]
    return source.decode(data, source.files(data, part), part)


@pytest.mark.parametrize("size", [None, 8])
def test_every_source_keeps_what_it_promises(data, size):
    data = data.model_copy(update={"size": size})
    train, test = (decoded(data, part) for part in ("train", "test"))
    assert train.classes == test.classes
    assert len(set(train.classes)) == len(train.classes) >= 2
    for part in (train, test):
        assert part.images.dtype == np.uint8
        assert part.images.shape == (len(part.labels), 3, size or 32, size or 32)
        assert part.images.flags.c_contiguous
        assert part.labels.dtype == np.int64
        assert part.labels.shape == (len(part.images),)
        assert set(part.labels.tolist()) == set(range(len(part.classes)))
    assert not np.array_equal(train.images[: len(test.images)], test.images)


def test_every_source_is_the_same_twice(data):
    for part in ("train", "test"):
        first, again = decoded(data, part), decoded(data, part)
        assert np.array_equal(first.images, again.images)
        assert np.array_equal(first.labels, again.labels)
        assert first.classes == again.classes


def test_every_source_goes_through_cache_split_and_subset(data):
    splits = load(data)
    assert load(data).fingerprint == splits.fingerprint
    wanted = (splits.classes[1], splits.classes[0])
    two = data.model_copy(update={"classes": wanted, "validation": 2})
    chosen, test = load(two), load_test(two)
    whole = decoded(data, "train")
    assert chosen.classes == wanted
    assert len(chosen.train) + len(chosen.validation) == np.count_nonzero(whole.labels < 2)
    # Class 1 is now class 0: the images with either label are those that had the other.
    images = torch.cat([chosen.train.images, chosen.validation.images]).numpy()
    labels = torch.cat([chosen.train.labels, chosen.validation.labels]).numpy()
    for number in (0, 1):
        expected = whole.images[whole.labels == 1 - number]
        assert sorted(map(bytes, images[labels == number])) == sorted(map(bytes, expected))
    whole_test = decoded(data, "test")
    assert torch.equal(test.labels, torch.from_numpy(1 - whole_test.labels[whole_test.labels < 2]))
