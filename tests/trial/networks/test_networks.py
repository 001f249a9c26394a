"""Each network against its closed form: parameters, multiply-accumulates, first weights."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from trial.measures import macs
from trial.networks import Network, build, names, redraw
from trial.networks.catalogue import scaled

WIDTHS = [0.1, 0.125, 0.25, 0.5, 1.0, 1.3]


def built(name, *, width=1.0, classes=10, seed=0):
    return build(Network(name=name, width=width), classes=classes, seed=seed)


def shapes_of(name, **given):
    """The network without its weights: a full vgg16 would draw 139 million."""
    with torch.device("meta"):
        return built(name, **given)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def seed_cnn_closed_form(width, classes):
    """(parameters, MACs): convolutions at sides 32, 16, 8, 4; then 16·d → 512 → classes."""
    channels = [3] + [max(1, round(width * c)) for c in (32, 32, 64, 64)]
    total = work = 0
    for i, o, side in zip(channels, channels[1:], (32, 16, 8, 4), strict=False):
        total += o * i * 9 + o
        work += o * i * 9 * side * side
    flat = channels[-1] * 16
    return total + flat * 512 + 512 + 512 * classes + classes, work + flat * 512 + 512 * classes


def vgg_closed_form(width, classes, *, repeats=(2, 2, 3, 3, 3)):
    """(parameters, MACs): convolutions without biases, scale and shift of each channel, one linear layer."""
    total = work = 0
    before, side = 3, 32
    for times, c in zip(repeats, (64, 128, 256, 512, 512), strict=True):
        out = max(1, round(width * c))
        for _ in range(times):
            total += out * before * 9 + 2 * out
            work += out * before * 9 * side * side
            before = out
        side //= 2
    return total + before * classes + classes, work + before * classes


def vgg16_closed_form(width, classes):
    """(parameters, MACs): convolutions with biases, 49 values of each of the last channels, five linear layers."""
    total = work = 0
    before, side = 3, 32
    for times, c in zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), strict=True):
        out = max(1, round(width * c))
        for _ in range(times):
            total += out * before * 9 + out
            work += out * before * 9 * side * side
            before = out
        side //= 2
    wide = [before * 49, *(max(1, round(width * c)) for c in (4096, 4096, 1000, 500)), classes]
    for i, o in pairwise(wide):
        total += i * o + o
        work += i * o
    return total, work


def vgg19_closed_form(width, classes):
    return vgg_closed_form(width, classes, repeats=(2, 2, 4, 4, 4))


def resnet_closed_form(width, classes, *, widths, blocks):
    """(parameters, MACs): 2·blocks convolutions a stage, a 1×1 projection where a stage changes the width or side."""
    channels = [max(1, round(width * c)) for c in widths]
    total, work = channels[0] * 27 + 2 * channels[0], channels[0] * 27 * 32 * 32
    before, side = channels[0], 32
    for stage, out in enumerate(channels):
        if stage:
            side //= 2
            total += before * out + 2 * out
            work += before * out * side * side
        for into in [before] + [out] * (2 * blocks - 1):
            total += into * out * 9 + 2 * out
            work += into * out * 9 * side * side
        before = out
    return total + before * classes + classes, work + before * classes


def densenet_closed_form(width, classes):
    """(parameters, MACs): a norm in front of each of 36 convolutions, of two 1×1 transitions, and of the classifier."""
    channels, growth = max(1, round(16 * width)), max(1, round(12 * width))
    total, work = channels * 27, channels * 27 * 32 * 32
    for block, side in enumerate((32, 16, 8)):
        for _ in range(12):
            total += 2 * channels + channels * growth * 9
            work += channels * growth * 9 * side * side
            channels += growth
        total += 2 * channels
        if block < 2:
            total += channels * channels
            work += channels * channels * side * side
    return total + channels * classes + classes, work + channels * classes


CLOSED_FORMS = {
    "densenet40": densenet_closed_form,
    "resnet18": partial(resnet_closed_form, widths=(64, 128, 256, 512), blocks=2),
    "resnet20": partial(resnet_closed_form, widths=(16, 32, 64), blocks=3),
    "resnet56": partial(resnet_closed_form, widths=(16, 32, 64), blocks=9),
    "seed-cnn": seed_cnn_closed_form,
    "vgg16": vgg16_closed_form,
    "vgg16-bn": vgg_closed_form,
    "vgg19-bn": vgg19_closed_form,
}


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        *(("seed-cnn", 5, 592_933), ("seed-cnn", 10, 595_498)),
        *(("vgg16-bn", 10, 14_724_042), ("vgg19-bn", 10, 20_035_018)),
        # He 2016 has .27 M and .85 M with zeros in place of the projections, which have 2,752 parameters.
        *(("resnet20", 10, 269_722 + 2_752), ("resnet56", 10, 853_018 + 2_752), ("resnet18", 10, 11_173_962)),
        ("densenet40", 10, 1_019_722),
        # torchvision's 138,357,544, and 1000 → 500 → 10 on top.
        ("vgg16", 10, 138_357_544 + 500_500 + 5_010),
    ],
)
def test_published_parameter_counts(name, classes, expected):
    assert parameters(shapes_of(name, classes=classes)) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("vgg16-bn", 313_201_664), ("vgg19-bn", 398_136_320), ("vgg16", 437_335_208)]
)
def test_published_macs_of_vgg(name, expected):
    assert macs(shapes_of(name)) == expected


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("name", sorted(CLOSED_FORMS))
def test_counts_equal_the_closed_form_at_any_width(name, classes, width):
    network = shapes_of(name, width=width, classes=classes)
    assert (parameters(network), macs(network)) == CLOSED_FORMS[name](width, classes)


def test_every_network_has_a_closed_form():
    assert names() == sorted(CLOSED_FORMS)


@pytest.mark.parametrize("name", names())
def test_logits_have_one_column_a_class_whatever_the_batch(name):
    network = built(name, width=0.25, classes=7).eval()
    assert network(torch.zeros(3, 3, 32, 32)).shape == (3, 7)


@pytest.mark.parametrize("name", names())
def test_same_seed_same_weights_and_other_seed_others(name):
    first, again, other = (built(name, width=0.25, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    weight = next(key for key in first if key.endswith(".weight"))
    assert not torch.equal(first[weight], other[weight])


@pytest.mark.parametrize("name", names())
def test_building_leaves_the_global_random_state_alone(name):
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    built(name, width=0.25)
    assert torch.equal(torch.rand(4), expected)


def test_first_convolution_weights_have_he_variance():
    network = built("vgg16-bn", width=0.25)
    assert network.features[24].weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(bool((norm.weight == 1).all() and (norm.bias == 0).all()) for norm in norms)


@pytest.mark.parametrize("name", ["vgg19-bn", "resnet20", "densenet40"])
def test_scales_start_where_they_are_asked_to_and_nothing_else_changes(name):
    usual, asked = (build(Network(name=name, width=0.1, **s), classes=10, seed=0) for s in ({}, {"scales": 0.5}))
    norms = [prefix for prefix, module in usual.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) > 10
    for entry, tensor in usual.state_dict().items():
        factor = 0.5 if entry.removesuffix(".weight") in norms else 1
        assert torch.equal(asked.state_dict()[entry], tensor * factor), entry


def test_weights_drawn_anew_start_at_the_same_scales():
    network = Network(name="vgg16-bn", width=0.1, scales=0.5)
    thin = build(network, classes=3, seed=0)
    nn.init.constant_(thin.features[1].weight, 7)
    redraw(thin, build(network, classes=3, seed=0), network=network, seed=1)
    assert all(bool((m.weight == 0.5).all()) for m in thin.modules() if isinstance(m, nn.BatchNorm2d))


def test_a_width_that_rounds_to_nothing_keeps_one_channel():
    assert scaled(32, 0.001) == 1


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="'vgg16_bn' is not a network: did you mean vgg16-bn"):
        Network(name="vgg16_bn")


def test_a_plain_string_is_a_name():
    assert Network.model_validate("seed-cnn") == Network(name="seed-cnn")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either a name or code"),
        ({"name": "seed-cnn", "code": "a:b"}, "either a name or code"),
        ({"name": "vgg16-bn", "weights": "imagenet"}, "imagenet is there for vgg16, not for vgg16-bn: give a .safe"),
        ({"code": "a:b", "weights": "imagenet"}, "imagenet is there for vgg16, not for a:b"),
        ({"name": "vgg16", "weights": "imagenet", "width": 0.5}, "imagenet fits width 1, got 0.5"),
        ({"name": "seed-cnn", "freeze": "dense"}, "as vgg16 has; seed-cnn has none"),
        ({"code": "a:b", "weights": "w.safetensors", "freeze": "always"}, "as vgg16 has; a:b has none"),
        ({"name": "vgg16", "freeze": "always"}, "freeze: always would keep random layers: give weights too"),
        ({"name": "vgg16", "freeze": "dense", "weights": "w.safetensors"}, "freeze: dense has nothing to keep"),
        ({"name": "vgg16", "freeze": "sometimes"}, "'none', 'dense' or 'always'"),
        ({"name": "vgg16", "scales": 0.5}, "scales are batch norm's, and vgg16 has none: leave them out, got 0.5"),
        ({"name": "vgg16-bn", "scales": 0}, "greater than 0"),
        ({"code": "a:b", "scales": 0.5}, "scales start prunefront's own networks, not code"),
        ({"code": "a.b"}, "package.module:function"),
        ({"code": "a:b", "width": 0.5}, "width scales prunefront's own networks"),
        ({"name": "seed-cnn", "width": 0}, "greater than 0"),
        ({"name": "seed-cnn", "widht": 1}, "widht"),
    ],
)
def test_settings_that_contradict_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Network.model_validate(given)


def test_no_setting_points_to_a_command_that_is_not_there():
    """The name's description once sent readers to `prunefront doctor`."""
    described = [field.description or "" for field in Network.model_fields.values()]
    assert not [text for text in described if "prunefront doctor" in text]
