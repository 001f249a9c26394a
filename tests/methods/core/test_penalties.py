from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from methods.core.penalties import L1, LP_BOUND, MCP, RVSM, SCAD, TL1, Lp, Penalty, add_subgradient, scales

LAMBDA = 1e-3


def scad(size: float, knee: float, a: float) -> float:
    if size <= knee:
        return LAMBDA * size
    if size <= a * knee:
        return LAMBDA * (2 * a * knee * size - size**2 - knee**2) / (2 * (a - 1) * knee)
    return LAMBDA * knee * (a + 1) / 2


def envelope(size: float, c: float) -> float:
    """The least over u of λ|u| + (c/2)(γ − u)², searched for by thirds between 0 and γ: the function is convex."""

    def split(u: float) -> float:
        return LAMBDA * abs(u) + c / 2 * (size - u) ** 2

    low, high = 0.0, size
    while high - low > 1e-9 * size:
        third = (high - low) / 3
        low, high = (low, high - third) if split(low + third) < split(high - third) else (low + third, high)
    return split((low + high) / 2)


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
    *(
        (
            MCP(lambda_=LAMBDA, knee=knee),
            lambda size, knee=knee: LAMBDA * (size - size**2 / (2 * knee)) if size <= knee else LAMBDA * knee / 2,
            lambda size, knee=knee: LAMBDA * max(1 - size / knee, 0),
        )
        for knee in (0.1, 0.7, 2.0)
    ),
    *(
        (
            SCAD(lambda_=LAMBDA, knee=knee, a_scad=a),
            lambda size, knee=knee, a=a: scad(size, knee, a),
            lambda size, knee=knee, a=a: (
                LAMBDA if size <= knee else LAMBDA * max(a * knee - size, 0) / ((a - 1) * knee)
            ),
        )
        for knee, a in ((0.1, 3.7), (0.3, 3.7), (0.7, 2.1), (2.0, 9.0))
    ),
    *(
        (
            RVSM(lambda_=LAMBDA, c=c),
            lambda size, c=c: envelope(size, c),
            lambda size, c=c: c * (size - max(size - LAMBDA / c, 0)),
        )
        for c in (1e-3, 0.03, 1.0, 10.0)
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
    assert of(penalty, size, -size) == pytest.approx([slope(size), -slope(size)], rel=1e-11)


@pytest.mark.parametrize(("penalty", "value", "slope"), PENALTIES)
@pytest.mark.parametrize("size", [0.01, 0.5, 1.0, 3.0])
def test_subgradient_is_the_derivative_away_from_zero(
    penalty: Penalty, value: Callable[[float], float], slope: Callable[[float], float], size: float
) -> None:
    del slope
    step = 1e-6 * size
    # The second term is what rounding of g leaves where g is flat.
    slope_there = (value(size + step) - value(size - step)) / (2 * step)
    assert of(penalty, size)[0] == pytest.approx(slope_there, rel=1e-6, abs=1e-9 * LAMBDA)


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


@pytest.mark.parametrize(
    ("penalty", "knees"),
    [
        (MCP(lambda_=LAMBDA, knee=0.5), [0.5]),
        (SCAD(lambda_=LAMBDA, knee=0.5, a_scad=3.7), [0.5, 3.7 * 0.5]),
        (RVSM(lambda_=LAMBDA, c=0.01), [LAMBDA / 0.01]),
    ],
    ids=str,
)
def test_subgradients_are_continuous_at_their_knees(penalty: Penalty, knees: list[float]) -> None:
    for knee in knees:
        before, at, beyond = of(penalty, knee - 1e-9, knee, knee + 1e-9)
        assert before == pytest.approx(at, abs=1e-7 * LAMBDA)
        assert beyond == pytest.approx(at, abs=1e-7 * LAMBDA)


@pytest.mark.parametrize("gamma", [0.2, 1.0, 1.0 - 2**-53, 1e30])
def test_mcp_and_scad_leave_scales_beyond_their_knees_alone_and_push_small_ones_as_l1(gamma: float) -> None:
    assert of(MCP(lambda_=LAMBDA, knee=0.2), gamma, -gamma) == [0.0, 0.0]
    assert of(SCAD(lambda_=LAMBDA, knee=0.05, a_scad=4.0), gamma, -gamma) == [0.0, 0.0]
    assert of(SCAD(lambda_=LAMBDA, knee=0.05, a_scad=4.0), 0.05, -1e-300) == [LAMBDA, -LAMBDA]
    assert of(MCP(lambda_=LAMBDA, knee=0.2), 1e-300, -1e-300) == [LAMBDA, -LAMBDA]


@pytest.mark.parametrize("lambda_", [1e-5, 1e-4, 1e-2])
def test_mcp_and_scad_act_on_scales_of_a_half_however_small_lambda_is(lambda_: float) -> None:
    """With λ as the knee too, as the papers print them, the gradient there is exactly zero."""
    assert of(MCP(lambda_=lambda_, knee=1.0), 0.5) == [lambda_ / 2]
    assert of(SCAD(lambda_=lambda_, knee=1.0, a_scad=3.7), 0.5) == [lambda_]


def test_rvsm_nears_l1_as_c_grows_and_is_never_stronger() -> None:
    assert of(RVSM(lambda_=LAMBDA, c=10.0), 1e-4, -0.5, 3.0) == [LAMBDA, -LAMBDA, LAMBDA]
    assert of(RVSM(lambda_=LAMBDA, c=10.0), 0.5e-4) == pytest.approx([LAMBDA / 2])


def test_rvsm_is_exact_where_the_difference_is_not() -> None:
    """In float32, c(γ − u) of γ = 3, λ = 1e-5, c = 10 is off by 5%: u moves in steps of 2.4e-7."""
    assert RVSM(lambda_=1e-5, c=10.0).subgradient(torch.tensor([3.0])).tolist() == pytest.approx([1e-5], rel=1e-6)


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
