"""``data.size``: every image RGB of one size, whatever it was."""

import numpy as np
import pytest
from PIL import Image

from analysis.errors import WrongInput
from tests.trial.data.conftest import encoded, random_images
from trial.data import Data, load
from trial.data.parquet import decode_parquet
from trial.data.pixels import resized


def test_an_image_of_that_size_is_left_as_it_is(write):
    images = random_images(4)
    file = write("train.parquet", images, [0, 1, 0, 1])
    assert np.array_equal(decode_parquet([file], size=32).images, images.transpose(0, 3, 1, 2))
    data = Data(name="parquet", folder=file.parent, validation=2)
    assert load(data.model_copy(update={"size": 32})).fingerprint == load(data).fingerprint


def test_shrinking_averages_over_all_pixels():
    """Where nothing but every other pixel is white, a resize that drops pixels gives white or black, not grey."""
    board = np.indices((64, 64)).sum(0) % 2 * 255
    images = np.broadcast_to(board.astype(np.uint8), (1, 3, 64, 64))
    small = resized(images, size=8).astype(int)
    assert small.shape == (1, 3, 8, 8)
    assert abs(small - 127.5).max() < 8


@pytest.mark.parametrize("size", [8, 33, 256])
def test_a_plain_colour_stays_itself_at_any_size(size):
    images = np.broadcast_to(np.array([200, 3, 77], np.uint8)[None, :, None, None], (2, 3, 32, 20))
    large = resized(images, size=size)
    assert large.flags.c_contiguous
    assert (large == images[:, :, :1, :1]).all()
    assert large.shape == (2, 3, size, size)


def test_left_and_right_above_and_below_stay_where_they_are():
    images = np.zeros((1, 3, 32, 16), np.uint8)
    images[0, 0, :16], images[0, 1, :, :8] = 255, 255
    large = resized(images, size=64)[0]
    assert (large[0, 2, 2], large[0, 61, 2]) == (255, 0)
    assert (large[1, 2, 2], large[1, 2, 61]) == (255, 0)
    assert not large[2].any()


def saved(mode, tmp_path, **settings):
    file = tmp_path / f"{mode}.png"
    Image.new(mode, (20, 10), **settings).save(file)
    return file.read_bytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.filterwarnings("error")
def test_every_kind_of_8_bit_image_becomes_rgb(write, tmp_path, mode):
    file = write("train.parquet", [saved(mode, tmp_path)], [0])
    images = decode_parquet([file], size=9).images
    assert images.shape == (1, 3, 9, 9)
    assert not images.any()


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparency_is_read_without_a_warning(write, tmp_path):
    palette = Image.fromarray(random_images(1)[0]).quantize(8)
    palette.save(tmp_path / "a.png", transparency=bytes(range(8)))
    file = write("train.parquet", [(tmp_path / "a.png").read_bytes()], [0])
    expected = np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(decode_parquet([file], size=32).images[0], expected)


def test_deeper_images_are_refused_not_clipped(write):
    deep = encoded(np.full((32, 32), 300, np.uint16))
    file = write("train.parquet", [random_images(1)[0], deep], [0, 1])
    with pytest.raises(WrongInput, match=r"row 1: the image is I;16 of 32×32; an image of 8 bits per channel"):
        decode_parquet([file], size=32)


def test_another_size_is_not_taken_from_the_cache(write):
    file = write("train.parquet", random_images(4), [0, 1, 0, 1])
    shapes = [
        load(Data(name="parquet", folder=file.parent, validation=2, size=size)).train.images.shape
        for size in (None, 16, 40, 16)
    ]
    assert [shape[2] for shape in shapes] == [32, 16, 40, 16]


@pytest.mark.parametrize("size", [7, 257, 32.0, "32", True])
def test_a_size_beyond_the_bounds_is_refused(size):
    with pytest.raises(ValueError, match="size"):
        Data(name="digits", size=size)
