from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from methods.core.penalties import L1, LP_BOUND, TL1, Lp, Penalty, add_subgradient, scales

LAMBDA = 1e-3

# (penalty, g(γ) of one scale, its derivative at γ > 0), as methods' sources print them.
FORMULAS: list[tuple[Penalty, Callable[[float], float], Callable[[float], float]]] = [
    (L1(lambda_=LAMBDA), lambda size: LAMBDA * size, lambda _: LAMBDA),
    *(
        (
            Lp(lambda_=LAMBDA, p=p),
            lambda size, p=p: LAMBDA * size**p,
            lambda size, p=p: LAMBDA * p / size ** (1 - p),
        )
        for p in (0.25, 0.5, 0.75)
    ),
    *(
        (
            TL1(lambda_=LAMBDA, a=a),
            lambda size, a=a: LAMBDA * (a + 1) * size / (a + size),
            lambda size, a=a: LAMBDA * a * (a + 1) / (a + size) ** 2,
        )
        for a in (0.01, 0.5, 1.0, 100.0)
    ),
]
PENALTIES = [pytest.param(*row, id=str(row[0])) for row in FORMULAS]
SIZES = [LP_BOUND, 0.01, 0.5, 1.0, 3.0]


def of(penalty: Penalty, *gammas: float) -> list[float]:
    return penalty.subgradient(torch.tensor(gammas, dtype=torch.float64)).tolist()


@pytest.mark.parametrize(("penalty", "value", "slope"), PENALTIES)
@pytest.mark.parametrize("size", SIZES)
def test_subgradient_is_the_formula(
    penalty: Penalty, value: Callable[[float], float], slope: Callable[[float], float], size: float
) -> None:
    del value
    assert of(penalty, size, -size) == pytest.approx([slope(size), -slope(size)], rel=1e-12)


@pytest.mark.parametrize(("penalty", "value", "slope"), PENALTIES)
@pytest.mark.parametrize("size", [0.01, 0.5, 1.0, 3.0])
def test_subgradient_is_the_derivative_away_from_zero(
    penalty: Penalty, value: Callable[[float], float], slope: Callable[[float], float], size: float
) -> None:
    del slope
    step = 1e-6 * size
    assert of(penalty, size)[0] == pytest.approx((value(size + step) - value(size - step)) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(("penalty", "value", "slope"), PENALTIES)
def test_a_scale_at_zero_is_left_alone(penalty: Penalty, value: object, slope: object) -> None:
    del value, slope
    assert of(penalty, 0.0, -0.0) == [0.0, 0.0]


@pytest.mark.parametrize("p", [0.01, 0.25, 0.5, 0.99])
def test_lp_is_bounded_as_the_scale_goes_to_zero(p: float) -> None:
    """Public Lp code divides by zero there and trains NaN."""
    bound = LAMBDA * p * LP_BOUND ** (p - 1)
    assert of(Lp(lambda_=LAMBDA, p=p), LP_BOUND, 1e-9, -5e-324) == pytest.approx([bound, bound, -bound], rel=1e-12)


def test_tl1_nears_l1_as_a_grows() -> None:
    # λa(a+1)/(a+|γ|)² is λ(1 + (1 − 2|γ|)/a) up to terms in 1/a².
    distances = [max(abs(slope - LAMBDA) for slope in of(TL1(lambda_=LAMBDA, a=a), *SIZES)) for a in (1.0, 10.0, 100.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.06 * LAMBDA


@pytest.mark.parametrize("size", [0.001, 0.01, 0.1, 0.3])
def test_smaller_a_and_smaller_p_press_harder_on_small_scales_relative_to_one(size: float) -> None:
    """Sparser means: a small scale is pushed more than a scale of 1 is."""
    ladders: list[list[Penalty]] = [
        [TL1(lambda_=LAMBDA, a=a) for a in (100.0, 1.0, 0.5, 0.01)],
        [Lp(lambda_=LAMBDA, p=p) for p in (0.99, 0.75, 0.5, 0.25)],
    ]
    for ladder in ladders:
        pressed = [small / one for small, one in (of(penalty, size, 1.0) for penalty in ladder)]
        assert pressed == sorted(pressed)
        assert pressed[0] > 1


@pytest.mark.parametrize(("penalty", "value", "slope"), PENALTIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_dtype_and_input_are_kept(penalty: Penalty, value: object, slope: object, dtype: torch.dtype) -> None:
    del value, slope
    gamma = torch.tensor([[-1.0, 0.0], [2.0, 1e-9]], dtype=dtype)
    before = gamma.clone()
    given = penalty.subgradient(gamma)
    assert (given.shape, given.dtype) == (gamma.shape, dtype)
    assert torch.equal(gamma, before)


def some_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2, affine=False)),
        *(nn.Flatten(), nn.Linear(32, 5), nn.BatchNorm1d(5), nn.LayerNorm(5), nn.Linear(5, 3)),
    )


def test_scales_are_those_of_affine_batch_norms() -> None:
    network = some_network()
    assert [id(gamma) for gamma in scales(network)] == [id(network[1].weight), id(network[6].weight)]


def test_the_subgradient_is_added_to_batch_norm_scales_and_to_nothing_else() -> None:
    network = some_network()
    nn.init.constant_(network[1].weight, -0.5)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    before = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    values = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    add_subgradient(network, L1(lambda_=0.01))
    for name, parameter in network.named_parameters():
        added: Tensor | float = {"1.weight": -0.01, "6.weight": 0.01}.get(name, 0.0)
        assert torch.equal(parameter.grad, before[name] + added), name
        assert torch.equal(parameter, values[name]), name


def test_a_scale_without_a_gradient_gets_none() -> None:
    network = some_network()
    add_subgradient(network, L1(lambda_=0.01))
    assert all(gamma.grad is None for gamma in scales(network))
