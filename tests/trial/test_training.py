"""The loop: it learns, gives the same bits twice, and calls its hooks when it says."""

import itertools
import math

import pytest
import torch
from torch import nn

from tests.trial.images import image_set, splits
from trial.augmentation import normalised
from trial.networks import Network, build
from trial.schedules import rate_at
from trial.training import Training, TrainingDiverged, evaluate, train


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 3))


def vgg():
    return build(Network(name="vgg16-bn", width=0.05), classes=3, seed=0)


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_tiny_problem_is_learnt():
    network, data = linear(), splits()
    curve = train(network, data, Training(epochs=6, batch=16, rate=0.05), seed=0)
    assert [epoch.epoch for epoch in curve] == [1, 2, 3, 4, 5, 6]
    assert curve[-1].val_accuracy > 0.95
    assert curve[-1].train_loss < curve[0].train_loss
    assert curve[-1].sparsity == 0


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    trained = []
    for seed in (5, 5, 6):
        network = vgg()
        curve = train(network, splits(), Training(epochs=2, batch=32), seed=seed)
        trained.append((state(network), curve))
    assert same(trained[0][0], trained[1][0])
    assert trained[0][1] == trained[1][1]
    assert not same(trained[0][0], trained[2][0])


def test_the_global_random_state_plays_no_part():
    results = []
    for noise in (1, 2):
        network = linear()
        torch.manual_seed(noise)
        train(network, splits(), Training(epochs=1), seed=0)
        results.append(state(network))
    assert same(*results)


def test_one_epoch_equals_the_plain_loop():
    """Without augmentation and with the whole set as one batch: SGD by its formula, v = g + μv, w −= r(g + μv)."""
    data = splits(train=20)
    network, twin = linear(), linear()
    settings = Training(epochs=3, batch=20, rate=0.05, augment=False, label_smoothing=0.1)
    train(network, data, settings, seed=0)
    images, labels = normalised(data.train.images, data), data.train.labels
    velocity = [torch.zeros_like(weight) for weight in twin.parameters()]
    for step in range(3):
        loss = nn.functional.cross_entropy(twin(images), labels, label_smoothing=0.1)
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        rate = rate_at("one-cycle", step, steps=3, rate=0.05)
        with torch.no_grad():
            for weight, gradient, v in zip(twin.parameters(), gradients, velocity, strict=True):
                gradient = gradient + 5e-4 * weight
                v.mul_(0.9).add_(gradient)
                weight -= rate * (gradient + 0.9 * v)
    for trained, expected in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(trained, expected, rtol=1e-4, atol=1e-6)


def test_hooks_run_around_every_step():
    network, calls = linear(), []
    gradients = network[2].weight

    def before():
        assert gradients.grad is not None
        calls.append(("before", gradients.detach().clone()))

    def after():
        calls.append(("after", gradients.detach().clone()))

    train(network, splits(train=50), Training(epochs=2, batch=20), seed=0, before_step=before, after_step=after)
    assert [name for name, _ in calls] == ["before", "after"] * 6
    assert not torch.equal(calls[0][1], calls[1][1])
    assert torch.equal(calls[1][1], calls[2][1])


def test_weights_zeroed_after_each_step_stay_zero():
    network = linear()

    def zero():
        with torch.no_grad():
            network[2].weight[0] = 0

    curve = train(network, splits(), Training(epochs=1), seed=0, after_step=zero)
    assert not network[2].weight[0].any()
    assert curve[0].sparsity == pytest.approx(1 / 3)


@pytest.mark.parametrize(("images", "batch", "steps"), [(50, 20, 3), (40, 20, 2), (41, 20, 2), (10, 20, 1)])
def test_a_last_batch_is_used_unless_it_is_a_single_image(images, batch, steps):
    seen = []
    train(vgg(), splits(train=images), Training(epochs=1, batch=batch), seed=0, after_step=lambda: seen.append(1))
    assert len(seen) == steps


def test_zero_epochs_change_nothing_and_leave_eval_mode():
    network = vgg().train()
    before = state(network)
    assert train(network, splits(), Training(epochs=0), seed=0) == []
    assert same(before, state(network))
    assert not network.training


def test_frozen_parameters_stay():
    network = linear()
    network[2].bias.requires_grad_(False)
    before = network[2].bias.clone()
    train(network, splits(), Training(epochs=1), seed=0)
    assert torch.equal(network[2].bias, before)
    assert not network.training


def test_on_epoch_sees_each_epoch_and_can_end_the_training():
    seen = []

    def stop(epoch):
        seen.append(epoch.epoch)
        if epoch.epoch == 2:
            raise StopIteration

    with pytest.raises(StopIteration):
        train(linear(), splits(), Training(epochs=5), seed=0, on_epoch=stop)
    assert seen == [1, 2]


def test_a_loss_that_is_not_finite_names_epoch_and_step():
    network, steps = linear(), []

    def spoil():
        steps.append(1)
        if len(steps) == 4:
            with torch.no_grad():
                network[2].weight.fill_(math.nan)

    with pytest.raises(TrainingDiverged, match="the loss was nan at step 2 of 3 in epoch 2"):
        train(network, splits(train=60), Training(epochs=3, batch=20), seed=0, after_step=spoil)


def test_a_last_step_that_spoils_the_network_is_noticed():
    network = linear()

    def spoil():
        with torch.no_grad():
            network[2].weight.fill_(math.inf)

    with pytest.raises(TrainingDiverged, match=r"validation loss was .* after epoch 1"):
        train(network, splits(train=20), Training(epochs=1, batch=20), seed=0, after_step=spoil)


def test_plain_sgd_needs_no_momentum():
    assert len(train(linear(), splits(), Training(epochs=1, momentum=0), seed=0)) == 1


@pytest.mark.parametrize("batch", [1, 7, 40, 500])
def test_evaluate_is_the_mean_over_images_whatever_the_batch(batch):
    network, data = linear(), splits()
    loss, accuracy = evaluate(network, data.validation, data, batch=batch)
    logits = network(normalised(data.validation.images, data)).detach()
    losses = [-float(row.log_softmax(0)[label]) for row, label in zip(logits, data.validation.labels, strict=True)]
    hits = sum(int(row.argmax() == label) for row, label in zip(logits, data.validation.labels, strict=True))
    assert loss == pytest.approx(sum(losses) / 40, rel=1e-5)
    assert accuracy == hits / 40


def test_evaluate_restores_each_modules_mode_and_changes_no_statistics():
    network, data = vgg().train(), splits()
    network.features[1].eval()
    before = state(network)
    evaluate(network, image_set(10, seed=3), data)
    assert network.training
    assert not network.features[1].training
    assert same(before, state(network))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": -1},
        {"rate": 0},
        {"batch": 1},
        {"momentum": 1},
        {"label_smoothing": 1},
        {"schedule": "linear"},
        {"lr": 1},
        {"clip": 0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Training(**{"epochs": 1, **wrong})


def dropping(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 3)
    )


def test_dropout_is_drawn_by_the_trainings_seed_and_the_global_state_is_left_alone():
    """A network with dropout came out with other bits each time it was trained."""
    results = []
    for noise, seed in ((1, 0), (2, 0), (1, 3)):
        network = dropping()
        torch.manual_seed(noise)
        before = torch.random.get_rng_state()
        train(network, splits(), Training(epochs=2, batch=50), seed=seed)
        assert torch.equal(torch.random.get_rng_state(), before)
        results.append(state(network))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_dropout_differs_from_epoch_to_epoch():
    network, seen = dropping(), []
    network[4].register_forward_hook(lambda _module, _given, made: seen.append(made == 0) if network.training else None)
    train(network, splits(train=50), Training(epochs=2, batch=50, rate=1e-9), seed=0)
    assert len(seen) == 2
    assert not torch.equal(*seen)


@pytest.mark.parametrize("schedule", ["constant", "one-cycle", "cosine", "step"])
@pytest.mark.parametrize("cuts", [(0, 2, 5), (0, 1, 2, 3, 4, 5)])
def test_a_training_in_pieces_equals_one_in_one_piece(schedule, cuts):
    settings = Training(epochs=5, batch=40, rate=0.05, schedule=schedule)
    whole, momentum = dropping(), {}
    curve = train(whole, splits(), settings, seed=4, momentum=momentum)
    pieces, handed_on, parts = dropping(), {}, []
    for first, last in itertools.pairwise(cuts):
        parts += train(pieces, splits(), settings, seed=4, momentum=handed_on, first=first, last=last)
    assert same(state(whole), state(pieces))
    assert same(momentum, handed_on)
    assert parts == curve
    assert [epoch.epoch for epoch in parts] == [1, 2, 3, 4, 5]


def test_at_a_constant_rate_a_longer_training_goes_on_from_a_shorter_one():
    five, ten = (Training(epochs=epochs, batch=40, rate=0.05, schedule="constant") for epochs in (2, 4))
    whole, pieces, momentum = dropping(), dropping(), {}
    curve = train(whole, splits(), ten, seed=4)
    parts = train(pieces, splits(), five, seed=4, momentum=momentum)
    parts += train(pieces, splits(), ten, seed=4, momentum=momentum, first=2)
    assert same(state(whole), state(pieces))
    assert parts == curve


def test_no_epoch_between_first_and_last_changes_nothing():
    network = vgg()
    before = state(network)
    assert train(network, splits(), Training(epochs=3), seed=0, first=2, last=2) == []
    assert same(before, state(network))


@pytest.mark.parametrize("clip", [None, 0.05, 1e3])
def test_clipped_steps_equal_the_plain_loop(clip):
    """Gradients g after the hook, scaled to norm c where longer; then v = g + λw + μv, w −= r(g + λw + μv)."""
    data = splits(train=20)
    network, twin = linear(), linear()
    hook = lambda parameters: parameters[0].grad.add_(0.3)  # noqa: E731  # longer than the bound by itself
    settings = Training(epochs=2, batch=20, rate=0.05, schedule="constant", augment=False, clip=clip)
    train(network, data, settings, seed=0, before_step=lambda: hook(list(network.parameters())))
    images, labels = normalised(data.train.images, data), data.train.labels
    velocity = [torch.zeros_like(weight) for weight in twin.parameters()]
    norms = []
    for _ in range(2):
        loss = nn.functional.cross_entropy(twin(images), labels)
        gradients = list(torch.autograd.grad(loss, list(twin.parameters())))
        gradients[0] = gradients[0] + 0.3
        norms.append(math.sqrt(sum(float((gradient.double() ** 2).sum()) for gradient in gradients)))
        scale = 1.0 if clip is None else min(1.0, clip / norms[-1])
        with torch.no_grad():
            for weight, gradient, v in zip(twin.parameters(), gradients, velocity, strict=True):
                gradient = scale * gradient + 5e-4 * weight
                v.mul_(0.9).add_(gradient)
                weight -= 0.05 * (gradient + 0.9 * v)
    assert 0.05 < min(norms) < max(norms) < 1e3
    for trained, expected in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(trained, expected, rtol=1e-4, atol=1e-6)


def test_clipping_at_a_bound_that_is_never_met_changes_no_bit():
    results = []
    for clip in (None, 1e9):
        network = vgg()
        curve = train(network, splits(train=40), Training(epochs=2, batch=20, clip=clip), seed=0)
        results.append((state(network), curve))
    assert same(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_a_loss_that_is_not_finite_is_seen_before_a_long_epoch_ends():
    network, steps = linear(), []

    def spoil():
        steps.append(1)
        if len(steps) == 5:
            with torch.no_grad():
                network[2].weight.fill_(math.nan)

    with pytest.raises(TrainingDiverged, match="the loss was nan at step 6 of 75 in epoch 1"):
        train(network, splits(), Training(epochs=3, batch=2), seed=0, after_step=spoil)
    assert len(steps) == 64


def test_all_augmentations_together_give_the_same_bits_twice():
    results = []
    for _ in range(2):
        network = linear()
        data = splits(augment=("flip", "shift", "rotation", "cutout"))
        train(network, data, Training(epochs=2, batch=50), seed=0)
        results.append(state(network))
    assert same(*results)
