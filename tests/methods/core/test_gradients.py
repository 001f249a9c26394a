from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from methods.core.gradients import batch_gradients, mean_gradients
from methods.core.method import Evidence
from tests.methods.examples import CLASSES, images, network
from tests.methods.laws import state


def many(count: int = 70) -> Evidence:
    """More images than a batch holds, the last batch smaller; the classes are drawn."""
    labels = torch.randint(0, CLASSES, (count,), generator=torch.Generator().manual_seed(2))
    return Evidence(images(count), labels, 0)


def loss(given: nn.Module, seen: Evidence) -> float:
    """Mean of −log of the true class's share, written out."""
    with torch.no_grad():
        logits = given(seen.images)
        true = logits[torch.arange(len(logits)), seen.labels]
        return float((logits.exp().sum(1).log() - true).mean())


def slope_at_one(of: Callable[[float], float], *, step: float = 1e-6) -> float:
    """The derivative of a function at 1; so small a step seldom takes an activation over the kink of a ReLU."""
    return (of(1 + step) - of(1 - step)) / (2 * step)


def scaling(part: Tensor, of: Callable[[], float]) -> Callable[[float], float]:
    """What ``of`` gives with part of a parameter times a factor; the part is put back."""

    def scaled(factor: float) -> float:
        before = part.clone()
        part.mul_(factor)
        try:
            return of()
        finally:
            part.copy_(before)

    return scaled


@pytest.mark.parametrize("name", ["plain", "normed", "residual"])
def test_the_mean_gradient_is_the_slope_of_the_mean_loss(name: str) -> None:
    given, seen = network(name), many()
    parameters = dict(given.named_parameters())
    made = dict(zip(parameters, mean_gradients(given, seen, list(parameters.values())), strict=True))
    for entry, parameter in parameters.items():
        # In the direction of the parameter itself: every entry of it counts.
        slope = slope_at_one(scaling(parameter.detach(), lambda: loss(given, seen)))
        assert float((made[entry] * parameter.detach()).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("count", [5, 64, 70, 130])
def test_batches_are_weighted_by_their_sizes(count: int) -> None:
    given, seen = network("normed"), many(count)
    parameters = list(given.parameters())
    at_once = torch.autograd.grad(nn.functional.cross_entropy(given(seen.images), seen.labels), parameters)
    for made, expected in zip(mean_gradients(given, seen, parameters), at_once, strict=True):
        torch.testing.assert_close(made, expected, rtol=1e-10, atol=1e-14)
    sizes = [size for size, _ in batch_gradients(given, seen, parameters)]
    assert sizes == [64] * (count // 64) + [count % 64] * (count % 64 > 0)


@pytest.mark.parametrize("follows", [True, False])
def test_the_network_is_as_it_was_between_batches_and_after(follows: bool) -> None:
    given = network("residual").train()
    given.first.requires_grad_(False)
    before = state(given)
    with torch.set_grad_enabled(follows):
        inside = state(given)
        for _ in batch_gradients(given, many(), [given.first.weight, given.stem.weight]):
            assert state(given) == inside
    assert state(given) == before


def test_the_network_is_as_it_was_after_an_error() -> None:
    given = network("normed").train()
    given[0].requires_grad_(False)
    before = state(given)
    wrong = Evidence(images(5), torch.full((5,), CLASSES + 3), 0)
    with pytest.raises((IndexError, RuntimeError)):
        mean_gradients(given, wrong, list(given.parameters()))
    assert state(given) == before


def test_batch_norm_uses_its_running_statistics() -> None:
    """In training mode an image's gradient would depend on the others of its batch, and the statistics would move."""
    given, seen = network("normed").train(), many(6)
    alone = [Evidence(seen.images[i : i + 1], seen.labels[i : i + 1], 0) for i in range(6)]
    together = mean_gradients(given, seen, [given[0].weight])[0]
    singles = [mean_gradients(given, one, [given[0].weight])[0] for one in alone]
    torch.testing.assert_close(together, torch.stack(singles).mean(0), rtol=1e-10, atol=1e-14)


def test_a_parameter_that_the_loss_does_not_depend_on_has_a_gradient_of_zeros() -> None:
    given = network("normed")
    given.register_module("unread", nn.Identity())
    aside = nn.Parameter(torch.ones(2, 3, dtype=torch.float64))
    given.unread.register_parameter("aside", aside)
    _, made = mean_gradients(given, many(), [given[0].weight, aside])
    assert torch.equal(made, torch.zeros(2, 3, dtype=torch.float64))


def test_nan_is_told_by_its_name() -> None:
    given = network("normed")
    nn.init.constant_(given.get_parameter("4.weight"), torch.nan)
    with pytest.raises(ValueError, match=r"4\.weight holds NaN"):
        mean_gradients(given, many(), [given[0].weight])
    seen = Evidence(images(5) * torch.nan, many(5).labels, 0)
    with pytest.raises(ValueError, match="the loss on the images is NaN"):
        mean_gradients(network("normed"), seen, [given[0].weight])
