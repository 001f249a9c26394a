"""Batches against a loop over single images and pixels."""

import pytest
import torch

from tests.trial.images import image_set, splits
from trial.augmentation import SHIFT, Changes, draw, normalised, picked

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
