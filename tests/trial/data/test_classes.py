"""``data.classes``, and classes that have too few images to be of use."""

import numpy as np
import pytest
import torch

from analysis.errors import WrongInput
from tests.trial.data.conftest import random_images
from trial.data import Data, load, load_test
from trial.data.class_subset import numbers_of, subset
from trial.data.source import Decoded

NAMES = ("ant", "bee", "cat", "dog")


def test_labels_are_renumbered_in_the_order_asked_for():
    labels = np.array([2, 0, 1, 2, 3, 1])
    images = np.arange(6, dtype=np.uint8)[:, None, None, None]
    chosen = subset(Decoded(images, labels, NAMES), [2, 3, 1])
    assert chosen.images.ravel().tolist() == [0, 2, 3, 4, 5]
    assert chosen.labels.tolist() == [0, 2, 0, 1, 2]
    assert chosen.classes == ("cat", "dog", "bee")


@pytest.mark.parametrize("asked", [("cat", "ant"), (2, 0), ("cat", 0)])
def test_names_and_numbers_mean_the_same(asked):
    assert numbers_of(Data(name="digits", classes=asked), NAMES) == [2, 0]


def test_all_classes_are_the_whole_set():
    splits = load(Data(name="digits"))
    assert load(Data(name="digits", classes=tuple(range(10)))).fingerprint == splits.fingerprint
    assert load(Data(name="digits", classes=(1, 0, *range(2, 10)))).fingerprint != splits.fingerprint


def test_counts_are_of_the_subset_in_every_part():
    data = Data(name="digits", classes=(7, "1"), images=100, validation=0.2)
    splits, test = load(data), load_test(data)
    assert splits.classes == ("7", "1")
    assert torch.bincount(splits.train.labels).tolist() == [40, 40]
    assert torch.bincount(splits.validation.labels).tolist() == [10, 10]
    assert set(test.labels.tolist()) == {0, 1}
    sevens = load_test(Data(name="digits"))
    assert torch.equal(test.images[test.labels == 0], sevens.images[sevens.labels == 7])
    with pytest.raises(WrongInput, match=r"data\.images: 1000 asked for, digits has \d+ training images of these"):
        load(data.model_copy(update={"images": 1000}))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("cat", "dgo"), r"data\.classes: 'dgo' is not a class of digits: did you mean dog\? Accepted: ant, bee"),
        ((0, 4), r"data\.classes: class numbers of digits lie in 0 to 3, got 4"),
        ((0, -1), r"data\.classes: class numbers of digits lie in 0 to 3, got -1"),
        (("ant", 0), r"data\.classes: class 'ant' is asked for twice"),
    ],
)
def test_classes_that_are_none_are_refused(asked, message):
    with pytest.raises(WrongInput, match=message):
        numbers_of(Data(name="digits", classes=asked), NAMES)


def test_a_number_that_names_another_class_is_ambiguous():
    numbers = ("1", "10", "2")
    with pytest.raises(WrongInput, match=r"data\.classes: 1 is the name of class number 0: write names in quotes"):
        numbers_of(Data(name="digits", classes=(1, 2)), numbers)
    assert numbers_of(Data(name="digits", classes=("2", "1")), numbers) == [2, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cat", "must be a list of names or numbers .* got 'cat'"),
        (["cat"], r"at least two, got \['cat'\]"),
        ([], "at least two"),
        ([True, "cat"], "a name .in quotes. or a number from 0, got True"),
        ([1.0, 2], "a name .in quotes. or a number from 0, got 1.0"),
        ([["cat"], "dog"], "a name .in quotes. or a number from 0"),
    ],
)
def test_wrong_lists_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Data.model_validate({"name": "digits", "classes": given})


@pytest.fixture
def few(write):
    """Three named classes, of which ``dog`` has as many training images as the test says."""

    def written(dogs, *, others=10):
        labels = [0, 1] * others + [2] * dogs
        return write("train.parquet", random_images(len(labels)), labels, names=("ant", "bee", "dog")).parent

    return written


def test_a_named_class_without_images_is_refused_and_can_be_left_out(few):
    data = Data(name="parquet", folder=few(0), validation=4)
    with pytest.raises(WrongInput, match=r"parquet has no training image of class 'dog': add some, or leave the class"):
        load(data)
    assert load(data.model_copy(update={"classes": ("bee", "ant")})).classes == ("bee", "ant")
    with pytest.raises(WrongInput, match="no training image of class 'dog'"):
        load(data.model_copy(update={"classes": ("bee", "dog")}))


@pytest.mark.parametrize(
    ("dogs", "settings", "message"),
    [
        (1, {"validation": 4}, "4 leaves none of the 1 images of class 'dog' to validate on: hold more out"),
        (1, {"validation": 18}, "18 leaves none of the 1 images of class 'dog' to train on: hold fewer out"),
        (2, {"images": 6, "validation": 3}, r"data\.images: 6 take none of class 'dog': use more"),
    ],
)
def test_a_class_that_one_part_would_lack_is_refused(few, dogs, settings, message):
    with pytest.raises(WrongInput, match=message):
        load(Data(name="parquet", folder=few(dogs), **settings))
