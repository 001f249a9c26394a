"""Folders of image files: read as torchvision's ImageFolder reads them, mistakes named by file or folder."""

import shutil

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder as Theirs

from analysis.errors import WrongInput
from tests.trial.data.conftest import random_images
from tests.trial.data.folders import MADE
from trial.data import Data, load, load_test
from trial.data.source import SOURCES


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = tmp_path / "made"
    made.mkdir()
    MADE["image-folder"](made, monkeypatch)
    return made


def decoded(folder, part="train", **settings):
    data = Data(name="image-folder", folder=folder, **settings)
    source = SOURCES["image-folder"]
    return source.decode(data, source.files(data, part), part)


@pytest.mark.parametrize("part", ["train", "test"])
def test_images_labels_and_classes_are_those_of_torchvision(folder, part):
    (folder / part / "ape" / "deep").mkdir()
    Image.fromarray(random_images(1, seed=9)[0]).save(folder / part / "ape" / "deep" / "Z.PNG")
    (folder / part / "ape" / "notes.txt").write_text("no image")
    theirs = Theirs(str(folder / part))
    ours = decoded(folder, part)
    assert list(ours.classes) == theirs.classes == ["ape", "cat", "zebra"]
    assert ours.labels.tolist() == theirs.targets
    assert np.array_equal(ours.images, [np.asarray(image).transpose(2, 0, 1) for image, _ in theirs])


def test_hidden_files_and_folders_are_passed_over(folder):
    before = decoded(folder)
    for hidden in (".checkpoints", "ape/.checkpoints"):
        shutil.copytree(folder / "train" / "cat", folder / "train" / hidden)
    (folder / "train" / "ape" / "._0.png").write_bytes(b"what another system leaves beside images")
    assert np.array_equal(decoded(folder).images, before.images)
    assert decoded(folder).classes == before.classes


def test_validation_may_be_called_so(folder):
    (folder / "test").rename(folder / "val")
    assert len(load_test(Data(name="image-folder", folder=folder))) == 20


def test_jpeg_and_grey_files_are_read_where_a_size_is_given(folder):
    grey = random_images(1)[0, :, :20, 0]
    Image.fromarray(grey).save(folder / "train" / "ape" / "grey.png")
    Image.fromarray(random_images(1)[0]).save(folder / "train" / "ape" / "photo.jpeg")
    with pytest.raises(WrongInput, match=r"ape/grey\.png: the image is L of 20×32; .* is accepted, or set data\.size$"):
        decoded(folder)
    assert decoded(folder, size=24).images.shape == (62, 3, 24, 24)


@pytest.mark.parametrize("size", [None, 32])
def test_a_broken_file_is_named(folder, size):
    file = folder / "train" / "cat" / "17.png"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(WrongInput, match=r"made/train/cat/17\.png: the image does not decode") as raised:
        load(Data(name="image-folder", folder=folder, validation=20, size=size))
    assert "\n" not in str(raised.value)


def test_an_empty_class_is_refused_by_its_folder(folder):
    for file in (folder / "train" / "cat").iterdir():
        file.unlink()
    with pytest.raises(WrongInput, match=r"made/train/cat holds no image .*remove the folder, or .* data\.classes"):
        decoded(folder)
    assert load(Data(name="image-folder", folder=folder, classes=("zebra", "ape"))).classes == ("zebra", "ape")


@pytest.mark.parametrize("part", ["train", "test"])
def test_both_parts_need_the_same_classes(folder, part):
    (folder / part / "gnu").mkdir()
    with pytest.raises(WrongInput, match=rf"made/{part} has a class gnu, .* has none: both need the same"):
        decoded(folder, "test")


def test_folders_that_are_missing_are_named(folder, tmp_path):
    with pytest.raises(WrongInput, match="nowhere is not a folder"):
        decoded(tmp_path / "nowhere")
    with pytest.raises(WrongInput, match="image-folder needs the folder that holds train/CLASS"):
        decoded(None)
    shutil.rmtree(folder / "test")
    with pytest.raises(WrongInput, match="has no folder test or validation or val"):
        decoded(folder, "test")
    with pytest.raises(WrongInput, match="train/cat has no folder train"):
        decoded(folder / "train" / "cat")
    shutil.rmtree(folder / "train" / "cat")
    shutil.rmtree(folder / "train" / "ape")
    with pytest.raises(WrongInput, match="made/train must hold a folder for each of two or more classes, it has 1"):
        decoded(folder)


def test_only_images_of_the_classes_asked_for_are_opened(folder):
    (folder / "train" / "cat" / "broken.png").write_bytes(b"")
    data = Data(name="image-folder", folder=folder, validation=20, classes=("zebra", "ape"))
    assert len(load(data).train) == 20


def test_a_new_class_is_seen_through_the_cache(folder):
    """Labels count the folders: one more in front shifts them, though the images asked for are the same files."""
    data = Data(name="image-folder", folder=folder, validation=10, classes=(1, 2))
    assert load(data).classes == ("cat", "zebra")
    shutil.copytree(folder / "train" / "cat", folder / "train" / "aardvark")
    assert load(data).classes == ("ape", "cat")
    assert load(data.model_copy(update={"classes": ("cat", "zebra")})).classes == ("cat", "zebra")


def test_a_link_to_nothing_is_named(folder):
    (folder / "train" / "cat" / "linked.png").symlink_to(folder / "gone.png")
    with pytest.raises(WrongInput, match=r"data\.folder: .*train/cat/linked\.png cannot be read: No such file"):
        load(Data(name="image-folder", folder=folder, validation=20))
