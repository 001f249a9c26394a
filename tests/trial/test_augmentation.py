"""Batches against a loop over single images and pixels."""

import math

import pytest
import torch

from tests.trial.images import image_set, splits
from trial.augmentation import ANGLE, SHIFT, Changes, cut_out, draw, normalised, picked, prepared, rotated

CPU = torch.device("cpu")


def picked_twin(images, changes, chosen):
    """One pixel after the other: mirror, then move, what comes in from outside is reflected at the border."""
    batch = []
    for index, flip, down, right in zip(
        *(tensor[chosen].tolist() for tensor in (changes.order, changes.flips, changes.down, changes.right)),
        strict=True,
    ):
        image = images[index].flip(2) if flip else images[index]
        size = image.shape[1]
        moved = torch.empty_like(image)
        for y in range(size):
            for x in range(size):
                moved[:, y, x] = image[:, reflected(y - down, size), reflected(x - right, size)]
        batch.append(moved)
    return torch.stack(batch)


def reflected(position, size):
    if position < 0:
        return -position
    return 2 * (size - 1) - position if position >= size else position


@pytest.mark.parametrize("augment", [(), ("flip",), ("shift",), ("flip", "shift")])
def test_a_batch_equals_the_loop_over_pixels(augment):
    images = image_set(12, seed=5).images
    before = images.clone()
    changes = draw(12, augment, seed=3, epoch=1, device=CPU)
    for chosen in (slice(0, 7), slice(7, 12)):
        assert torch.equal(picked(images, changes, chosen), picked_twin(images, changes, chosen))
    assert torch.equal(images, before)


def test_flip_and_shift_move_a_single_pixel_as_written():
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    images[0, :, 10, 20] = 9
    changes = Changes(torch.tensor([0]), torch.tensor([True]), torch.tensor([2]), torch.tensor([-3]))
    batch = picked(images, changes, slice(0, 1))
    assert batch.nonzero().tolist() == [[0, channel, 12, 31 - 20 - 3] for channel in range(3)]


def test_without_augmentation_an_epoch_is_a_permutation_of_the_images():
    images = image_set(20, seed=5).images
    changes = draw(20, (), seed=0, epoch=0, device=CPU)
    assert sorted(changes.order.tolist()) == list(range(20))
    assert torch.equal(picked(images, changes, slice(0, 20)), images[changes.order])


def test_leaving_one_change_out_keeps_order_and_the_other():
    both = draw(50, ("flip", "shift"), seed=2, epoch=4, device=CPU)
    flips = draw(50, ("flip",), seed=2, epoch=4, device=CPU)
    assert torch.equal(both.order, flips.order)
    assert torch.equal(both.flips, flips.flips)
    assert not flips.down.any()


def test_epochs_and_seeds_draw_differently():
    drawn = [draw(50, ("shift",), seed=seed, epoch=epoch, device=CPU) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(drawn[one].order, drawn[other].order)
        assert not torch.equal(drawn[one].down, drawn[other].down)


def test_shifts_reach_both_ends_and_coins_both_sides():
    changes = draw(5000, ("flip", "shift"), seed=0, epoch=0, device=CPU)
    for shifts in (changes.down, changes.right):
        assert torch.bincount(shifts + SHIFT, minlength=2 * SHIFT + 1).min() > 400
    assert 0.45 < changes.flips.double().mean() < 0.55


def test_normalised_is_pixels_minus_mean_over_std():
    data = splits()
    images = data.train.images[:4]
    expected = (images.double() / 255 - data.mean.view(3, 1, 1)) / data.std.view(3, 1, 1)
    torch.testing.assert_close(normalised(images, data).double(), expected, rtol=1e-5, atol=1e-5)


def rotated_twin(image, angle):
    """One pixel after the other, float64: turn its place back about the middle, weigh the four pixels around it."""
    _, height, width = image.shape
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    turned = torch.empty_like(image, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            down, right = y - middle_y, x - middle_x
            from_x = middle_x + math.cos(angle) * right + math.sin(angle) * down
            from_y = middle_y - math.sin(angle) * right + math.cos(angle) * down
            top, left = math.floor(from_y), math.floor(from_x)
            pixel = torch.zeros(image.shape[0], dtype=torch.float64)
            for row in (top, top + 1):
                for column in (left, left + 1):
                    weight = (1 - abs(from_y - row)) * (1 - abs(from_x - column))
                    pixel += weight * image[:, reflected(row, height), reflected(column, width)].double()
            turned[:, y, x] = pixel
    return turned


@pytest.mark.parametrize("shape", [(16, 16), (12, 20), (20, 12)])
def test_rotation_equals_the_loop_over_pixels(shape):
    images = torch.randn(3, 2, *shape, generator=torch.Generator().manual_seed(8))
    angles = torch.tensor([0.15, -0.1, 0.02])
    expected = torch.stack([rotated_twin(image, float(angle)) for image, angle in zip(images, angles, strict=True)])
    torch.testing.assert_close(rotated(images, angles).double(), expected, rtol=1e-3, atol=1e-4)


def test_an_angle_of_zero_changes_nothing_and_a_quarter_turn_is_clockwise():
    images = normalised(image_set(3, seed=5).images, splits())
    torch.testing.assert_close(rotated(images, torch.zeros(3)), images, rtol=0, atol=1e-4)
    quarter = rotated(images, torch.full((3,), math.pi / 2))
    torch.testing.assert_close(quarter, images.rot90(-1, (2, 3)), rtol=0, atol=1e-4)


def test_a_rotation_keeps_an_even_image_even_to_its_corners():
    images = torch.full((2, 3, 32, 32), 0.7)
    torch.testing.assert_close(rotated(images, torch.tensor([ANGLE, -ANGLE])), images)


def cut_out_twin(image, middle_row, middle_column, side):
    holed = image.clone()
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            is_inside = -(side // 2) <= y - middle_row < side - side // 2
            if is_inside and -(side // 2) <= x - middle_column < side - side // 2:
                holed[:, y, x] = 0
    return holed


@pytest.mark.parametrize(("shape", "side"), [((32, 32), 8), ((12, 20), 3), ((2, 2), 1)])
def test_a_hole_equals_the_loop_over_pixels(shape, side):
    random = torch.Generator().manual_seed(8)
    images = torch.randn(20, 3, *shape, generator=random)
    holes = torch.rand(20, 2, generator=random)
    holes[0], holes[1] = 0, 1 - 2**-24
    expected = torch.stack(
        [
            cut_out_twin(image, int(row * shape[0]), int(column * shape[1]), side)
            for image, (row, column) in zip(images, holes.tolist(), strict=True)
        ]
    )
    assert torch.equal(cut_out(images.clone(), holes), expected)


def test_a_hole_is_clipped_at_the_border_and_all_of_it_elsewhere():
    gone = (cut_out(torch.ones(3, 1, 32, 32), torch.tensor([[0.5, 0.5], [0.0, 0.5], [0.0, 0.0]])) == 0).sum((1, 2, 3))
    assert gone.tolist() == [64, 32, 16]


def test_a_hole_is_filled_with_the_mean():
    data = splits()
    changes = draw(150, ("cutout",), seed=0, epoch=0, device=CPU)
    batch = prepared(data, changes, slice(0, 9))
    plain = normalised(data.train.images[changes.order[:9]], data)
    gone = batch != plain
    assert gone.any((1, 2, 3)).all()
    means = (batch * data.std[:, None, None] + data.mean[:, None, None]).permute(0, 2, 3, 1)[gone.all(1)]
    torch.testing.assert_close(means, data.mean.expand_as(means))


def test_changes_come_in_the_order_that_is_written():
    data = splits()
    changes = draw(150, ("flip", "shift", "rotation", "cutout"), seed=3, epoch=2, device=CPU)
    batch = prepared(data, changes, slice(4, 9))
    moved = normalised(picked_twin(data.train.images, changes, slice(4, 9)), data)
    expected = [
        cut_out_twin(rotated_twin(image, float(angle)), int(row * 32), int(column * 32), 8)
        for image, angle, (row, column) in zip(moved, changes.angles[4:9], changes.holes[4:9].tolist(), strict=True)
    ]
    torch.testing.assert_close(batch.double(), torch.stack(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("left_out", ["flip", "shift", "rotation", "cutout"])
def test_leaving_any_change_out_keeps_all_others(left_out):
    every = ("flip", "shift", "rotation", "cutout")
    drawn = vars(draw(50, every, seed=2, epoch=4, device=CPU))
    fewer = vars(draw(50, [name for name in every if name != left_out], seed=2, epoch=4, device=CPU))
    gone = {"flip": {"flips"}, "shift": {"down", "right"}, "rotation": {"angles"}, "cutout": {"holes"}}[left_out]
    for name, tensor in fewer.items():
        if name in gone:
            assert tensor is None or not tensor.any()
        else:
            assert torch.equal(tensor, drawn[name])
            assert drawn[name].any()


def test_angles_fill_their_range_evenly_and_holes_the_image():
    changes = draw(8000, ("rotation", "cutout"), seed=0, epoch=0, device=CPU)
    assert changes.angles.abs().max() <= ANGLE
    assert torch.histc(changes.angles, bins=8, min=-ANGLE, max=ANGLE).min() > 850
    rows, columns = ((changes.holes[:, axis] * 8).long() for axis in (0, 1))
    assert torch.bincount(rows * 8 + columns, minlength=64).min() > 60
    again = draw(8000, ("rotation", "cutout"), seed=0, epoch=0, device=CPU)
    later = draw(8000, ("rotation", "cutout"), seed=0, epoch=1, device=CPU)
    assert torch.equal(again.angles, changes.angles)
    assert torch.equal(again.holes, changes.holes)
    assert not torch.equal(later.angles, changes.angles)
    assert not torch.equal(later.holes, changes.holes)
