"""The estimator beside one written from the formula, number by number."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.parzen import Mixture, Parzen

KNOBS = {
    "rate": FloatDistribution(1e-3, 1e-1, log=True),
    "ratio": FloatDistribution(0.0, 0.9),
    "epochs": IntDistribution(1, 5),
    "scope": CategoricalDistribution(("layer", "global", "block")),
}


def density(point: list[float], points: list[list[float]], choices: list[int]) -> float:
    """Of one point, kernel by kernel and column by column."""
    count = len(points) + 1
    total = 0.0
    for kernel in range(count):
        product = 1.0
        for column, options in enumerate(choices):
            own = points[kernel][column] if kernel < len(points) else None
            if options:
                shares = [1 / count + (own == option) for option in range(options)]
                product *= shares[int(point[column])] / sum(shares)
                continue
            centre, width = (0.5, 1.0) if own is None else (own, gap(kernel, [each[column] for each in points]))
            mass = 0.5 * (math.erf((1 - centre) / width / math.sqrt(2)) + math.erf(centre / width / math.sqrt(2)))
            height = math.exp(-(((point[column] - centre) / width) ** 2) / 2) / (width * math.sqrt(2 * math.pi))
            product *= height / mass
        total += product / count
    return total


def gap(place: int, values: list[float]) -> float:
    """The larger distance to the next value below and above; ties keep their order."""
    order = sorted(range(len(values)), key=lambda each: values[each])
    rank = order.index(place)
    left = values[order[rank]] - (values[order[rank - 1]] if rank else 0.0)
    right = (values[order[rank + 1]] if rank + 1 < len(values) else 1.0) - values[order[rank]]
    if len(values) > 1:
        left, right = (0.0 if rank == 0 else left), (0.0 if rank == len(values) - 1 else right)
    return min(max(left, right, 1 / min(100, len(values) + 2)), 1.0)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 120])
def test_densities_are_those_of_the_formula(count: int) -> None:
    chance = np.random.default_rng(count)
    choices = [0, 3, 0]
    points = np.column_stack([chance.random(count), chance.integers(3, size=count), chance.random(count).round(1)])
    before = points.copy()
    mixture = Mixture(points, choices)
    drawn = mixture.draw(20, chance)
    expected = [math.log(density(point, points.tolist(), choices)) for point in drawn.tolist()]
    np.testing.assert_allclose(mixture.log_density(drawn), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(points, before)


def test_draws_follow_the_density() -> None:
    """Shares of draws beside the density summed up over cells."""
    mixture = Mixture(np.array([[0.2, 0.0], [0.25, 0.0], [0.9, 1.0]]), [0, 2])
    drawn = mixture.draw(40_000, np.random.default_rng(1))
    centres = (np.arange(2000) + 0.5) / 2000
    for option in (0, 1):
        cells = np.exp(mixture.log_density(np.column_stack([centres, np.full(2000, option)]))) / 2000
        shares, _ = np.histogram(drawn[drawn[:, 1] == option, 0], bins=10, range=(0, 1))
        np.testing.assert_allclose(shares / 40_000, cells.reshape(10, 200).sum(axis=1), atol=0.01)


def told(study: optuna.Study, ratio: float, scope: str, value: float) -> None:
    parameters = {"rate": 0.01, "ratio": ratio, "epochs": 3, "scope": scope}
    study.add_trial(optuna.create_trial(params=parameters, distributions=dict(KNOBS), value=value))


def asked(study: optuna.Study) -> dict[str, float]:
    trial = study.ask()
    for name, knob in KNOBS.items():
        trial._suggest(name, knob)
    return trial.params


def test_proposals_lie_in_their_ranges_and_where_the_good_ones_are() -> None:
    study = optuna.create_study(sampler=Parzen(KNOBS, startup=5, seed=0))
    for step in range(40):
        good = step % 4 == 0
        told(study, 0.6 + 0.002 * step if good else 0.01 * step, "block" if good else "layer", 0.0 if good else 1.0)
    proposals = [asked(study) for _ in range(30)]
    for proposal in proposals:
        assert all(knob._contains(knob.to_internal_repr(proposal[name])) for name, knob in KNOBS.items())
    assert sum(each["scope"] == "block" for each in proposals) > 20
    assert sum(0.5 < each["ratio"] < 0.8 for each in proposals) > 20


def test_knobs_of_one_group_are_drawn_together() -> None:
    """Good are (.1, layer) and (.8, block): one knob at a time would cross them."""
    study = optuna.create_study(sampler=Parzen(KNOBS, startup=5, seed=0))
    for step in range(60):
        low = step % 2 == 0
        good = step % 3 == 0
        scope = "layer" if low == good else "block"
        told(study, (0.1 if low else 0.8) + 0.001 * step, scope, 0.0 if good else 1.0)
    proposals = [asked(study) for _ in range(40)]
    together = [each for each in proposals if each["scope"] == ("layer" if each["ratio"] < 0.45 else "block")]
    assert len(together) > 30


def test_before_the_start_is_over_all_is_drawn_at_random() -> None:
    study = optuna.create_study(sampler=Parzen(KNOBS, startup=5, seed=0))
    for _ in range(4):
        told(study, 0.5, "block", 0.0)
    assert {asked(study)["scope"] for _ in range(30)} == {"layer", "global", "block"}
    assert len([trial for trial in study.trials if trial.state.is_finished()]) == 4
