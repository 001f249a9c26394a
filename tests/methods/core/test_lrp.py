import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from methods.core.lrp import STABILISER, Propagation, stabilised
from tests.methods.examples import NETWORKS, drawn, images, network
from tests.methods.laws import state
from trial.networks import Network, build, names


def built(make: Callable[[], nn.Module], *, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return drawn(make()).double().eval()


def relevances(given: nn.Module, read: Tensor) -> dict[str, Tensor]:
    propagation = Propagation(given)
    propagation.agrees(given, read)
    return propagation.relevances(read)


def same(left: dict[str, Tensor], right: dict[str, Tensor], *, rel: float = 0.0) -> None:
    assert left.keys() == right.keys()
    for layer, values in left.items():
        assert values.shape == right[layer].shape
        assert (values - right[layer]).abs().max() <= rel * right[layer].abs().max(), layer
        assert right[layer].abs().max() > 0, layer


class Modules(nn.Sequential):
    """Modules only and no batch norm, so that zennit's own hooks can do all of it."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, groups=2), nn.Dropout()),
            *(nn.Conv2d(8, 4, 1, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 7), nn.ReLU()),
            *(nn.Linear(7, 4, bias=False),),
        )


@pytest.mark.parametrize("make", [Modules, NETWORKS["plain"]], ids=["modules", "plain"])
def test_zennits_hooks_agree(make: Callable[[], nn.Module]) -> None:
    from zennit.composites import LayerMapComposite
    from zennit.rules import AlphaBeta, Norm, Pass
    from zennit.types import Activation, AvgPool, Convolution, Linear

    given, read = built(make), images(3)
    computed = relevances(given, read)
    rules = [
        (Activation, Pass()),
        (AvgPool, Norm(stabilizer=STABILISER)),
        (Convolution, AlphaBeta(2, 1, stabilizer=STABILISER)),
        (Linear, AlphaBeta(2, 1, stabilizer=STABILISER)),
    ]
    outputs = {}
    with LayerMapComposite(rules).context(given) as hooked:
        for name, module in given.named_modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
        logits = hooked(read.requires_grad_())
        predicted = F.one_hot(logits.argmax(1), logits.shape[1])
        gradients = torch.autograd.grad(logits, list(outputs.values()), predicted * logits.detach())
    same(computed, dict(zip(outputs, (each.flatten(2) for each in gradients), strict=True)), rel=1e-9)


class Functions(nn.Module):
    """`Modules` written in functions and tensor methods, in two ways."""

    def __init__(self, *, methods: bool) -> None:
        super().__init__()
        self.methods, self.layers = (
            methods,
            nn.ModuleDict({name: module for name, module in Modules().named_children() if hasattr(module, "weight")}),
        )

    def forward(self, given: Tensor) -> Tensor:
        one = F.max_pool2d(F.relu(self.layers["0"](given)), 2)
        two = F.dropout(self.layers["3"](one), training=self.training)
        three = self.layers["5"](two)
        if self.methods:
            flat = F.adaptive_avg_pool2d(three.relu(), 1).view(three.size(0), -1)
            hidden = self.layers["9"](flat.permute(1, 0).transpose(0, 1).contiguous()).relu()
        else:
            flat = torch.flatten(F.avg_pool2d(torch.relu(three), 2), 1)
            hidden = torch.relu(self.layers["9"](torch.cat([flat[:, :2], flat[:, 2:]], 1).reshape(flat.shape[0], 4)))
        logits: Tensor = self.layers["11"](hidden)
        return logits


@pytest.mark.parametrize("methods", [False, True])
def test_functions_and_methods_have_the_modules_rules(methods: bool) -> None:
    given, modules = built(lambda: Functions(methods=methods)), built(Modules)
    for name, module in given.layers.items():
        module.load_state_dict(modules.get_submodule(name).state_dict())
    expected = {f"layers.{layer}": values for layer, values in relevances(modules, images(2)).items()}
    same(relevances(given, images(2)), expected, rel=1e-9)


class OneSided(nn.Sequential):
    """Filters that lack a positive or a negative part, and biases."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(5 * 16, 4))
        with torch.no_grad():
            self[2].weight[0] = self[2].weight[0].abs()
            self[2].weight[1] = -self[2].weight[1].abs()
            self[2].bias.copy_(torch.tensor([0.1, -0.1, 0.2, -0.2, 0.0]))


def test_relevance_is_conserved_with_bias_shares_and_missing_parts() -> None:
    given, read = built(OneSided), images(4)
    computed = relevances(given, read)
    inputs, layer = given[0](read).relu().detach(), given[2]
    parts = [
        (F.conv2d(inputs, layer.weight.detach().clamp(**sign)), layer.bias.detach().clamp(**sign)[:, None, None])
        for sign in ({"min": 0}, {"max": 0})
    ]
    received = computed["2"].unflatten(2, (4, 4))
    # Of a unit's R the inputs get 2·(1 − bias share of the positive part) − (1 − bias share of the negative part).
    (positive, negative) = (torch.where(z == 0, 0, z / (z + b)) for z, b in parts)
    expected = (received * (2 * positive - negative)).sum((1, 2, 3))
    assert computed["0"].sum((1, 2)).tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert (negative[:, 0] == 0).all(), "the first filter has no negative part: 2·R"
    assert (positive[:, 1] == 0).all(), "the second no positive: −R"
    assert ((expected - received.sum((1, 2, 3))).abs() > 0.1 * expected.abs()).any(), "a plain sum is not conserved"


def test_without_biases_a_layers_scale_scales_all_relevance() -> None:
    def make() -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 5, 3, bias=False), nn.ReLU(), nn.Flatten()),
            nn.Linear(80, 4, bias=False),
        )

    for scaled in (0, 2, 5):
        given, other = built(make), built(make)
        with torch.no_grad():
            other[scaled].weight.mul_(3)
        expected = {layer: 3 * values for layer, values in relevances(given, images(3)).items()}
        same(relevances(other, images(3)), expected, rel=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("pool", [lambda: nn.MaxPool2d(2), lambda: nn.AdaptiveMaxPool2d(2)], ids=["max", "adaptive"])
def test_of_equal_maxima_the_first_wins(pool: Callable[[], nn.Module], layout: torch.memory_format) -> None:
    given = built(lambda: nn.Sequential(nn.Conv2d(3, 8, 1), pool(), nn.Flatten(), nn.Linear(32, 4)))
    read = torch.ones(2, 3, 4, 4, dtype=torch.float64).to(memory_format=layout)
    reached = relevances(given.to(memory_format=layout), read)["0"].unflatten(2, (4, 4)) != 0
    assert reached[:, :, ::2, ::2].all()
    assert reached.sum() == 2 * 8 * 4


class InPlace(nn.Module):
    """Five ways to write over a value; one ReLU serves twice."""

    def __init__(self, *, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.norm, self.relu, self.out = nn.BatchNorm2d(3), nn.ReLU(inplace=inplace), nn.Linear(3, 4)

    def forward(self, given: Tensor) -> Tensor:
        one = self.first(given)
        if self.inplace:
            self.relu(one)
            two = self.norm(self.second(one))
            # Reads negative values, of which nothing is left a line below.
            three = self.third(two)
            self.relu(two)
            two.add_(one)
            four = torch.relu_(three + two).relu_()
            logits: Tensor = self.out(F.relu(four, inplace=True).mean((2, 3)))
        else:
            one = self.relu(one)
            two = self.norm(self.second(one))
            three = self.third(two)
            two = self.relu(two).add(one)
            four = torch.relu(three + two).relu()
            logits = self.out(F.relu(four).mean((2, 3)))
        return logits


def test_values_written_over_are_read_as_they_were() -> None:
    given, read = built(lambda: InPlace(inplace=True)), images(3)
    before = state(given)
    same(relevances(given, read), relevances(built(lambda: InPlace(inplace=False)), read))
    assert state(given) == before
    assert given.relu.inplace


class CalledTwice(nn.Module):
    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        self.first, self.out = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)
        self.second = self.first if shared else nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, given: Tensor) -> Tensor:
        logits: Tensor = self.out(torch.relu(self.second(torch.relu(self.first(given)))).mean((2, 3)))
        return logits


def test_a_layer_called_twice_has_the_places_of_both_calls() -> None:
    shared, apart = CalledTwice(shared=True).double().eval(), CalledTwice(shared=False).double().eval()
    for one, other in itertools.product((apart.first, apart.second), (shared.first,)):
        one.load_state_dict(other.state_dict())
    apart.out.load_state_dict(shared.out.state_dict())
    both, each = relevances(shared, images(2)), relevances(apart, images(2))
    assert both.keys() == {"first"}
    same(both, {"first": torch.cat([each["second"], each["first"]], 2)})


def test_a_norm_without_scales_is_one_with_scales_of_1() -> None:
    def make(*, affine: bool) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = nn.Sequential(
                *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=affine), nn.ReLU(), nn.Flatten()),
                *(nn.Linear(144, 5), nn.BatchNorm1d(5, affine=affine), nn.ReLU(), nn.Linear(5, 4)),
            )
            for norm in (made[1], made[5]):
                norm.running_mean, norm.running_var = torch.randn(norm.num_features), torch.rand(norm.num_features)
        return made.double().eval()

    same(relevances(make(affine=False), images(2)), relevances(make(affine=True), images(2)))


def test_a_norm_behind_a_linear_layer_is_merged_into_it() -> None:
    given = built(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5), nn.BatchNorm1d(5)))
    norm = given[3]
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 2)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    merged = nn.Sequential(given[0], given[1], nn.Linear(144, 5).double()).eval()
    with torch.no_grad():
        merged[2].weight.copy_(given[2].weight * scale[:, None])
        merged[2].bias.copy_((given[2].bias - norm.running_mean) * scale + norm.bias)
    same(relevances(given, images(2)), relevances(merged, images(2)), rel=1e-9)


def trial_network(name: str) -> nn.Module:
    made = build(Network(name=name, width=0.125), classes=4, seed=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return drawn(made).double().eval()


EVERY: dict[str, tuple[Callable[[], nn.Module], int]] = {
    **{name: (lambda name=name: network(name), 8) for name in NETWORKS},
    **{name: (lambda name=name: trial_network(name), 32) for name in names()},
}


@pytest.mark.parametrize("name", EVERY)
def test_every_network_is_followed_and_left_as_it_was(name: str) -> None:
    make, side = EVERY[name]
    given, read = make().train(), images(3, side=side)
    next(given.parameters()).requires_grad_(False)
    before, read_before = state(given), read.clone()
    computed = relevances(given, read)
    assert state(given) == before
    assert torch.equal(read, read_before)
    convolutions = {name for name, module in given.named_modules() if isinstance(module, nn.Conv2d)}
    assert computed.keys() == convolutions
    for layer, values in computed.items():
        assert values.shape[:2] == (3, given.get_submodule(layer).out_channels)
        assert values.isfinite().all()
        assert values.abs().max() > 0
        assert not values.requires_grad
    alone = Propagation(given).relevances(read[1:2])
    same({layer: values[1:2] for layer, values in computed.items()}, alone, rel=1e-9)
    if name != "depthwise":  # its sums of few terms come close to zero, where float32 is coarse
        coarse = Propagation(given.float()).relevances(read.float())
        for layer, values in computed.items():
            assert (coarse[layer] - values).abs().max() <= 1e-2 * values.abs().max()


def test_sums_of_zero_hand_nothing_on_and_others_keep_their_sign() -> None:
    sums = torch.tensor([0.0, -0.0, 2.0, -2.0, 1e-9, torch.nan], dtype=torch.float64)
    quotients = (1 / stabilised(sums)).tolist()
    assert quotients[:2] == [0, 0]
    assert quotients[2:5] == pytest.approx([1 / (2 + 1e-9), -1 / (2 + 1e-9), 1 / 2e-9])
    assert quotients[5] != quotients[5]


class Written(nn.Module):
    """A convolution, a linear layer and some code between."""

    def __init__(self, code: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.code, self.first, self.out = code, nn.Conv2d(3, 4, 1), nn.Linear(4, 4)

    def forward(self, given: Tensor) -> Tensor:
        logits: Tensor = self.out(self.code(self.first(given)).mean((2, 3)))
        return logits


def branches(given: Tensor) -> Tensor:
    return given if given.sum() > 0 else -given


def changes_a_view(given: Tensor) -> Tensor:
    given.view(-1).relu_()
    return given


class WithFeatures(nn.Conv2d):
    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return given, given


def by_batch() -> nn.Module:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(3, 4, 1), norm, nn.Flatten(), nn.Linear(256, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid(), nn.Flatten()), r"no rule for Sigmoid \(layer 1\)"),
        (lambda: Written(torch.sigmoid), r"no rule for sigmoid \(layer sigmoid\)"),
        (lambda: Written(lambda given: given.tanh()), r"no rule for tanh \(layer tanh\)"),
        (lambda: Written(lambda given: given * given), r"no rule for mul \(layer mul\)"),
        (lambda: WithFeatures(3, 4, 1), "relevance cannot follow WithFeatures: it returns more than logits"),
        (by_batch, r"BatchNorm2d without running statistics \(layer 1\)"),
        (lambda: Written(branches), "relevance cannot follow Written: torch.fx cannot trace it: symbolically traced"),
        (lambda: Written(changes_a_view), "relevance cannot follow Written: traced by torch.fx it gives other logits"),
    ],
)
def test_what_has_no_rule_is_refused_in_one_line(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        relevances(make().double().eval(), images(2))
    assert "\n" not in str(refused.value)


def test_what_lies_in_front_of_every_convolution_needs_no_rule() -> None:
    given = built(lambda: nn.Sequential(nn.Sigmoid(), nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(256, 4)))
    assert relevances(given, images(2))["1"].abs().max() > 0
