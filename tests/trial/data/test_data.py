"""Settings, the bundled digits, CIFAR-10 where it is there, and the cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from analysis.errors import WrongInput
from tests.trial.data.conftest import random_images
from trial.data import Data, load, load_test, names
from trial.data.cache import cache_folder, content_digest, decoded_once
from trial.data.source import SOURCES, Decoded

CIFAR10 = Path("../shared/data/cifar10")


def test_the_data_sets_are_found_from_their_files():
    assert names() == ["cifar10", "cifar100", "digits", "image-folder", "parquet", "svhn"]


def test_every_image_of_digits_is_used_once():
    splits, test = load(Data(name="digits")), load_test(Data(name="digits"))
    assert (len(splits.train), len(splits.validation), len(test)) == (1294, 143, 360)
    # Every 4×4 block is one pixel of the original, so its corners give the 8×8 image back.
    parts = [splits.train.images, splits.validation.images, test.images]
    small = torch.cat(parts)[:, 0, ::4, ::4].reshape(-1, 64).numpy()
    expected = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, small)) == sorted(map(bytes, expected))


def test_a_digit_is_enlarged_to_blocks_in_three_channels():
    images = load_test(Data(name="digits")).images
    assert images.dtype == torch.uint8
    assert images.shape[1:] == (3, 32, 32)
    blocks = images.view(-1, 3, 8, 4, 8, 4)
    assert torch.equal(blocks, blocks[:, :1, :, :1, :, :1].expand_as(blocks))
    assert (int(images.min()), int(images.max())) == (0, 255)


def test_mean_and_std_are_those_of_the_training_part():
    splits = load(Data(name="digits"))
    pixels = splits.train.images.double() / 255
    assert splits.mean.tolist() == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-6)
    assert splits.std.tolist() == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), rel=1e-6)


def test_a_constant_channel_can_be_divided_by(write):
    images = random_images(4)
    images[..., 1] = 90
    file = write("train.parquet", images, [0, 1, 0, 1])
    splits = load(Data(name="parquet", folder=file.parent, validation=2))
    assert splits.std[1] == 1
    assert splits.mean[1] == pytest.approx(90 / 255)


def test_fewer_images_are_an_equal_share_of_each_class():
    splits = load(Data(name="digits", images=200, validation=50))
    assert torch.bincount(torch.cat([splits.train.labels, splits.validation.labels])).tolist() == [20] * 10
    assert torch.bincount(splits.validation.labels).tolist() == [5] * 10


def test_the_fingerprint_follows_the_split_and_the_augmentation_only():
    first = load(Data(name="digits")).fingerprint
    assert first == load(Data(name="digits", validation=143, augment=("shift",))).fingerprint
    others = [
        Data(name="digits", validation=142),
        Data(name="digits", images=900),
        Data(name="digits", augment=()),
    ]
    assert len({first, *(load(other).fingerprint for other in others)}) == 4


def test_the_fingerprint_of_digits_never_changes():
    """It is part of every trial's identity: a new one orphans all rows and stages that users have."""
    assert load(Data(name="digits")).fingerprint == "a56a3f76c54c64d8d5e9ac1dde1d6c1e"


def test_the_data_sets_own_augmentation_is_written_in_full():
    assert Data.model_validate("digits").augment == ("shift",)
    assert Data(name="cifar10").augment == ("flip", "shift")
    assert Data(name="cifar10", augment=()).augment == ()
    assert Data(name="cifar10") == Data(name="cifar10", augment=("flip", "shift"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "digit"}, "'digit' is not a data set: did you mean digits"),
        ({"name": "digits", "folder": "x"}, "comes with prunefront and has no folder"),
        ({"name": "digits", "download": True}, "cannot be downloaded"),
        ({"name": "digits", "validation": 0}, "count of at least 1 or a share"),
        ({"name": "digits", "validation": 1.0}, "count of at least 1 or a share"),
        ({"name": "digits", "validation": True}, "count of at least 1 or a share .* got True"),
        ({"name": "digits", "augment": ["rotate"]}, "flip"),
        ({"name": "digits", "vlaidation": 5}, "vlaidation"),
    ],
)
def test_wrong_settings_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Data.model_validate(given)


def test_more_images_than_there_are_is_refused():
    with pytest.raises(WrongInput, match=r"data\.images: 2000 asked for, digits has 1437"):
        load(Data(name="digits", images=2000))


def test_missing_cifar_says_how_to_get_it(tmp_path):
    with pytest.raises(WrongInput, match="download: true"):
        load(Data(name="cifar10", folder=tmp_path))


def test_images_are_decoded_once(write, monkeypatch):
    file = write("train.parquet", random_images(6), [0, 1, 0, 1, 0, 1])
    data = Data(name="parquet", folder=file.parent, validation=2)
    first = load(data)
    monkeypatch.setattr(SOURCES["parquet"], "decode", None)
    again = load(data)
    assert torch.equal(first.train.images, again.train.images)
    assert first.fingerprint == again.fingerprint


def test_changed_files_are_decoded_again(write):
    file = write("train.parquet", random_images(6), [0, 1, 0, 1, 0, 1])
    data = Data(name="parquet", folder=file.parent, validation=2)
    first = load(data)
    write("train.parquet", random_images(6, seed=1), [0, 1, 0, 1, 0, 1])
    assert load(data).fingerprint != first.fingerprint


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
@pytest.mark.parametrize("ending", ["json", "images.npy", "labels.npy"])
def test_a_damaged_entry_is_made_again(write, cache, ending, damage):
    file = write("train.parquet", random_images(6), [0, 1, 0, 1, 0, 1])
    data = Data(name="parquet", folder=file.parent, validation=2)
    first = load(data)
    (entry,) = cache.glob(f"prunefront/data/*.{ending}")
    entry.unlink() if damage is None else entry.write_bytes(damage)
    assert load(data).fingerprint == first.fingerprint


def test_a_cache_folder_that_cannot_be_used_is_done_without(cache):
    cache.write_text("a file where the folder would be")
    assert len(load_test(Data(name="digits"))) == 360


def test_the_digest_is_of_contents_not_of_layout():
    images = np.ascontiguousarray(random_images(3).transpose(0, 3, 1, 2))
    labels = np.array([1, 0, 1])
    digest = content_digest(Decoded(images, labels, ("a", "b")))
    assert digest == content_digest(Decoded(np.asfortranarray(images), labels.astype(">i8"), ("a", "b")))
    assert digest != content_digest(Decoded(images[::-1], labels, ("a", "b")))


def test_nothing_half_written_is_left_behind(cache):
    decoded = Decoded(np.zeros((1, 3, 32, 32), np.uint8), np.zeros(1, np.int64), ("a",))
    decoded_once([], lambda: decoded, name="x", part="train")
    endings = sorted(file.name.split(".", 1)[1] for file in (cache / "prunefront" / "data").iterdir())
    assert endings == ["images.npy", "json", "labels.npy", "lock"], (
        "the lock stays, as whoever waits for it holds it open"
    )
    assert cache_folder() == cache / "prunefront"


@pytest.mark.cifar
@pytest.mark.skipif(not (CIFAR10 / "train.parquet").is_file(), reason=f"no CIFAR-10 Parquet files in {CIFAR10}")
@pytest.mark.slow
def test_cifar10_splits_into_45000_and_5000():
    splits = load(Data(name="cifar10", folder=CIFAR10, validation=5000))
    assert (len(splits.train), len(splits.validation)) == (45_000, 5_000)
    assert torch.bincount(splits.train.labels).tolist() == [4500] * 10
    assert torch.bincount(splits.validation.labels).tolist() == [500] * 10
    assert splits.classes[0] == "airplane"
    assert splits.mean.tolist() == pytest.approx([0.491, 0.482, 0.447], abs=2e-3)
    assert len(load_test(Data(name="cifar10", folder=CIFAR10))) == 10_000
