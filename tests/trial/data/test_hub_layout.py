"""Where the hub puts Parquet files, and what of it is ambiguous."""

import pytest

from analysis.errors import WrongInput
from tests.trial.data.conftest import random_images
from trial.data import Data, load, load_test
from trial.data.hub_layout import part_files


def laid_out(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(folder, part="train"):
    return [str(file.relative_to(folder)) for file in part_files(folder, part)]


@pytest.mark.parametrize("inside", ["", "data/", "plain_text/"])
@pytest.mark.parametrize(
    ("train", "test"),
    [
        (["train.parquet"], ["test.parquet"]),
        (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"], ["test-00000-of-00001.parquet"]),
        (["train-00000-of-00001-a09b74b3ef9c3b56.parquet"], ["validation-00000-of-00001.parquet"]),
        (["train/0000.parquet", "train/0001.parquet"], ["test/0000.parquet"]),
        (["train-b.parquet", "train-c.parquet"], ["val.parquet"]),
    ],
)
def test_the_hubs_layouts_are_found(tmp_path, inside, train, test):
    train, test = ([inside + name for name in names] for names in (train, test))
    laid_out(tmp_path, "README.md", "other/readme.txt", *reversed(train), *test)
    assert found(tmp_path) == train
    assert found(tmp_path, "test") == test


def test_a_test_part_comes_before_a_validation_part(tmp_path):
    laid_out(tmp_path, "train.parquet", "validation.parquet", "test.parquet")
    assert found(tmp_path, "test") == ["test.parquet"]


def test_the_folder_itself_comes_before_those_in_it(tmp_path):
    laid_out(tmp_path, "train.parquet", "data/train.parquet", "data/test.parquet")
    assert found(tmp_path) == ["train.parquet"]
    assert found(tmp_path, "test") == []


def test_a_folder_without_parts_has_none(tmp_path):
    assert found(laid_out(tmp_path, "a.parquet", "deep/deeper/train.parquet", "train")) == []
    assert found(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["cropped_digits/train-00000-of-00001.parquet", "full_numbers/train-00000-of-00001.parquet"],
            "parts in each of cropped_digits and full_numbers: name one of these folders",
        ),
        (["a/train.parquet", "b/test.parquet"], "parts in each of a and b"),
        (["train.parquet", "train-00000-of-00001.parquet"], r"has train\.parquet and train-\*\.parquet, .*keep one"),
        (["train-00000-of-00002.parquet", "train-00001-of-00003.parquet"], "files of two sets: .* keep one set"),
        (["train-00000-of-00001-aa.parquet", "train-00000-of-00001-bb.parquet"], "files of two sets"),
        (["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"], "lacks number 1 of 3 files like train-000"),
        (["train-00001-of-00002.parquet"], "lacks number 0 of 2"),
    ],
)
def test_what_is_ambiguous_or_not_whole_is_refused(tmp_path, names, message):
    with pytest.raises(WrongInput, match=message):
        part_files(laid_out(tmp_path, *names), "train")


def test_a_part_that_is_not_there_is_named(write):
    folder = write("train.parquet", random_images(4), [0, 1, 0, 1]).parent
    data = Data(name="parquet", folder=folder, validation=2)
    load(data)
    with pytest.raises(WrongInput, match=r"has neither test\.parquet nor test-\*\.parquet nor test/\*\.parquet"):
        load_test(data)


def test_the_test_part_has_the_train_parts_classes(write):
    """A test part may lack a class; another one, or other names, are refused, also when the train part changes."""
    write("train.parquet", random_images(3), [2, 0, 1], names=())
    folder = write("test.parquet", random_images(2), [2, 0], names=()).parent
    data = Data(name="parquet", folder=folder)
    assert load_test(data).labels.tolist() == [2, 0]
    write("train.parquet", random_images(3), [1, 0, 1], names=())
    with pytest.raises(WrongInput, match=r"test\.parquet row 0: label 2 is out of range; 0 to 1 are accepted"):
        load_test(data)
    write("train.parquet", random_images(3), [2, 0, 1], names=("a", "b", "c"))
    assert load_test(data).labels.tolist() == [2, 0]
    write("test.parquet", random_images(2), [1, 0], names=("b", "a", "c"))
    with pytest.raises(WrongInput, match=r"test\.parquet has other class names than .*train\.parquet"):
        load_test(data)
