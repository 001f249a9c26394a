"""Real Parquet files, whole and damaged: what is read is what was written, and mistakes name file and row."""

import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest

from analysis.errors import WrongInput
from tests.trial.data.conftest import encoded, random_images
from trial.data import Data, load, load_test
from trial.data.cifar10 import Cifar10
from trial.data.parquet import _labels, decode_parquet
from trial.data.pixels import reason


def test_images_labels_and_names_come_back_as_written(write):
    images = random_images(5)
    decoded = decode_parquet([write("train.parquet", images, [1, 0, 0, 1, 1])])
    assert np.array_equal(decoded.images, images.transpose(0, 3, 1, 2))
    assert decoded.labels.tolist() == [1, 0, 0, 1, 1]
    assert decoded.classes == ("cat", "dog")


def test_numbered_files_follow_one_another_by_name(write):
    images = random_images(4)
    last = write("train-00001-of-00002.parquet", images[2:], [1, 0])
    write("train-00000-of-00002.parquet", images[:2], [0, 1])
    splits = load(Data(name="parquet", folder=last.parent, validation=2))
    assert len(splits.train) == len(splits.validation) == 2
    files = sorted(last.parent.iterdir())
    assert np.array_equal(decode_parquet(files).images, images.transpose(0, 3, 1, 2))


def test_plural_column_names_and_files_without_class_names_are_read(write):
    file = write("train.parquet", random_images(3), [2, 0, 1], names=(), image="image", label="labels")
    assert decode_parquet([file]).classes == ("0", "1", "2")


def test_the_test_part_is_another_file(write):
    write("train.parquet", random_images(6), [0, 1, 0, 1, 0, 1])
    file = write("test.parquet", random_images(2, seed=1), [1, 0])
    test = load_test(Data(name="parquet", folder=file.parent))
    assert test.labels.tolist() == [1, 0]


GOOD = random_images(3)


def png_header(side):
    """A PNG that claims side×side pixels and holds none."""
    header = b"IHDR" + struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize(
    ("bad", "label", "message"),
    [
        (GOOD[1], 2, "row 1: label 2 is out of range; 0 to 1 are accepted"),
        (GOOD[1], -1, "row 1: label -1 is out of range"),
        (GOOD[1], None, "row 1: label None is out of range"),
        (b"not an image", 0, "row 1: the image does not decode"),
        (encoded(GOOD[1])[:300], 0, "row 1: the image does not decode"),
        (png_header(60_000), 0, "row 1: the image does not decode .*; an RGB image of 32×32 is accepted"),
        (None, 0, "row 1: no image bytes"),
        (GOOD[1][:16], 0, "row 1: the image is RGB of 32×16; an RGB image of 32×32 is accepted"),
        (GOOD[1][:, :, 0], 0, "row 1: the image is L of 32×32"),
    ],
)
def test_a_bad_row_is_named(write, bad, label, message):
    file = write("train.parquet", [GOOD[0], bad, GOOD[2]], [0, label, 1])
    with pytest.raises(WrongInput, match=message) as raised:
        decode_parquet([file])
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "object at 0x" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(), "OSError"),
        (ValueError("\n"), "ValueError"),
        (OSError("cannot identify <_io.BytesIO object at 0x7f00>\nmore"), "cannot identify"),
    ],
)
def test_an_error_without_text_is_told_by_its_name(error, said):
    assert reason(error) == said


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([2, 0, 3], "row 0: label 2 is out of range, no row has label 1;"),
        ([1, 0, 3], "row 2: label 3 is out of range, no row has label 2;"),
        ([1, 2, 1], "row 0: label 1 is out of range, no row has label 0;"),
        ([0, 2**62, 1], f"row 1: label {2**62} is out of range, no row has label 2;"),
    ],
)
def test_without_class_names_every_class_must_occur(write, labels, message):
    file = write("train.parquet", GOOD, labels, names=())
    with pytest.raises(WrongInput, match=rf"train\.parquet {message} .* from 0 to the largest must occur$"):
        decode_parquet([file])


def test_an_unsigned_label_beyond_int64_does_not_wrap(tmp_path):
    labels = pa.chunked_array([pa.array([0, 2**63], pa.uint64())])
    with pytest.raises(WrongInput, match=f"row 1: label {2**63} is out of range; whole numbers from 0"):
        _labels(labels, names=(), file=tmp_path)


def test_a_gap_may_be_filled_by_another_file_and_is_named_in_its_own(write):
    first = write("train-0.parquet", GOOD, [2, 0, 2], names=())
    filling = write("train-1.parquet", GOOD[:1], [1], names=())
    assert decode_parquet([first, filling]).classes == ("0", "1", "2")
    beyond = write("train-2.parquet", GOOD, [1, 0, 9], names=())
    with pytest.raises(WrongInput, match=r"train-2\.parquet row 2: label 9 .* no row has label 3"):
        decode_parquet([first, filling, beyond])


def test_cifar10_without_class_names_has_its_own_ten(write):
    write("train.parquet", GOOD, [1, 0, 4], names=())
    file = write("test.parquet", GOOD, [9, 0, 4], names=())
    assert load_test(Data(name="cifar10", folder=file.parent)).labels.tolist() == [9, 0, 4]
    assert decode_parquet([file], names=Cifar10.classes).classes == Cifar10.classes


def test_cifar10_accepts_ten_classes_only(write):
    file = write("train.parquet", GOOD, [9, 12, 4], names=())
    data = Data(name="cifar10", folder=file.parent)
    with pytest.raises(WrongInput, match=r"train\.parquet row 1: label 12 is out of range; 0 to 9 are accepted$"):
        load(data)
    write("train.parquet", GOOD, [9, 12, 4], names=map(str, range(100)))
    with pytest.raises(WrongInput, match=r"train\.parquet names 100 classes, cifar10 has 10"):
        load(data)


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_a_truncated_file_is_named(write, keep):
    file = write("train.parquet", GOOD, [0, 1, 0])
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(WrongInput, match=r"train\.parquet is not a whole Parquet file"):
        decode_parquet([file])


def test_a_missing_column_is_named_with_those_there(write):
    file = write("train.parquet", GOOD, [0, 1, 0], label="class")
    message = r"has no column label or labels or fine_label; it has img, class: name .* in data\.label"
    with pytest.raises(WrongInput, match=message):
        decode_parquet([file])


def test_files_that_disagree_on_class_names_are_refused(write):
    files = [
        write("train-0.parquet", GOOD, [0, 1, 0]),
        write("train-1.parquet", GOOD, [0, 1, 0], names=("a", "b")),
    ]
    with pytest.raises(WrongInput, match="other class names"):
        decode_parquet(files)


def test_a_missing_folder_or_file_is_named(tmp_path):
    with pytest.raises(WrongInput, match="nowhere is not a folder"):
        load(Data(name="parquet", folder=tmp_path / "nowhere"))
    with pytest.raises(WrongInput, match=r"has neither train\.parquet nor"):
        load(Data(name="parquet", folder=tmp_path))
    with pytest.raises(WrongInput, match="parquet needs the folder"):
        load(Data(name="parquet"))
