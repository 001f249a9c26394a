from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from sklearn.linear_model import lasso_path as coordinate_descent

from methods.channel_lasso import ChannelLasso, lasso_path, support
from tests.methods.examples import NETWORKS, evidence, network
from tests.methods.laws import plain
from tests.methods.readings import (
    Rows,
    alive,
    every,
    front_to_back,
    going,
    least_squares,
    live_rows,
    varied_evidence,
)


def stacked(readings: list[Rows]) -> tuple[np.ndarray, np.ndarray]:
    """All outputs in one column, and each channel's contribution Z_i = X_i W_iᵀ in another."""
    contributions, outputs = [], []
    for rows in readings:
        for x, y in zip(rows.x, rows.y, strict=True):
            for w, value in zip(rows.w, y, strict=True):
                contributions.append([(x[i] * w[i]).sum() for i in range(len(x))])
                outputs.append(value)
    return np.array(contributions), np.array(outputs)


def supports(z: np.ndarray, y: np.ndarray) -> list[list[int]]:
    """Nonzero entries of β for rising λ on a fine grid, by scikit-learn's coordinate descent, whatever its path."""
    top = np.abs(z.T @ y).max() / len(z)
    grid = np.geomspace(top, top * 1e-5, 1500)
    _, betas, _ = coordinate_descent(z, y, alphas=grid, precompute=True, tol=1e-10, max_iter=100_000)
    return [np.flatnonzero(beta).tolist() for beta in betas.T[::-1]]


def lasso(readings: list[Rows], count: int) -> list[int]:
    """The entries that are zero at the first λ, rising, with at most c' others."""
    z, y = stacked(readings)
    keep = z.shape[1] - count
    chosen = next(support for support in supports(z, y) if len(support) <= keep)
    assert len(chosen) == keep, "a tie: the twin cannot tell"
    return [entry for entry in range(z.shape[1]) if entry not in chosen]


def solved(rows: Rows, stay: list[int]) -> np.ndarray:
    """W + argmin_D ‖Y − X'(W + D)ᵀ‖², of the least D where several do."""
    x = rows.x[:, stay].reshape(len(rows.x), -1)
    w = rows.w[:, stay].reshape(len(rows.w), -1)
    return (w + least_squares(x, rows.y - x @ w.T).T).reshape(len(w), len(stay), -1)


@pytest.mark.parametrize("reconstruct", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_cut_and_weights_are_the_papers(name: str, reconstruct: bool) -> None:
    given = alive(name)
    method = ChannelLasso(ratio=0.5, samples=every(name), reconstruct=reconstruct)
    cut = method.cut(given, varied_evidence(), ratio=0.5)
    chosen, written = front_to_back(
        given, name, counts=going(name, linear=False), choose=lasso, solve=solved if reconstruct else None
    )
    assert {group: gone.tolist() for group, gone in cut.channels.items()} == chosen
    assert cut.replaced.keys() == (written.keys() if reconstruct else set())
    for entry, weight in cut.replaced.items():
        live = live_rows(name, chosen, entry.removesuffix(".weight"))
        dead = [row for row in range(len(weight)) if row not in live]
        assert weight[dead].count_nonzero() == 0, "a channel that went was solved back to life"
        assert weight.numpy()[live] == pytest.approx(written[entry][live], rel=1e-5, abs=1e-6)


def problem(rows: int, channels: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Contributions that overlap, so that entries come back on the path, and an output that is nearly their sum."""
    stream = np.random.default_rng(seed)
    z = stream.normal(size=(rows, channels)) @ stream.normal(size=(channels, channels))
    return z, z.sum(1) + stream.normal(size=rows)


@pytest.mark.parametrize("seed", range(5))
def test_every_knot_solves_the_lasso(seed: int) -> None:
    z, y = problem(40, 9, seed=seed)
    lambdas, betas = lasso_path(z.T @ z, z.T @ y)
    assert (np.diff(lambdas) < 0).all()
    assert (lambdas[0], lambdas[-1]) == (pytest.approx(np.abs(z.T @ y).max()), pytest.approx(0, abs=1e-5))
    for lambda_, beta in zip(lambdas, betas.T, strict=True):
        # Karush-Kuhn-Tucker: zᵢᵀ(y − zβ) = λ sign βᵢ where βᵢ ≠ 0, and no larger than λ elsewhere.
        pull = z.T @ (y - z @ beta)
        slack = 1e-6 * lambdas[0]
        assert pull[beta != 0] == pytest.approx(lambda_ * np.sign(beta[beta != 0]), abs=slack)
        assert (np.abs(pull) <= lambda_ + slack).all()


@pytest.mark.parametrize("seed", [1, 3, 4, 5, 7])
def test_support_is_that_of_the_smallest_lambda_with_few_enough_entries(seed: int) -> None:
    z, y = problem(30, 8, seed=seed)
    on_grid = supports(z, y)
    for entries in range(1, 8):
        first = next(support for support in on_grid if len(support) <= entries)
        chosen = support(z.T @ z, z.T @ y, entries=entries).tolist()
        assert len(chosen) == entries
        assert chosen == first or set(first) < set(chosen)


def test_scikit_learns_lasso_has_lambda_over_the_number_of_outputs_as_its_alpha() -> None:
    stream = np.random.default_rng(0)
    rows = Rows(stream.normal(size=(12, 6, 9)), stream.normal(size=(4, 6, 9)), stream.normal(size=(12, 4)))
    z, y = stacked([rows])
    lambdas, betas = lasso_path(z.T @ z, z.T @ y)
    for knot in range(1, len(lambdas) - 1):
        # The paper's λ belongs to (1/2N)‖…‖²; N rows of Y, 4 outputs each.
        found = Lasso(alpha=lambdas[knot] / 12 / 4, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(z, y).coef_
        assert found == pytest.approx(betas[:, knot], abs=1e-6)


def test_degenerate_paths_are_filled_to_the_exact_number() -> None:
    nothing = np.zeros((5, 5))
    assert support(nothing, np.zeros(5), entries=2).tolist() == [3, 4]
    z, y = problem(20, 3, seed=0)
    doubled = np.concatenate([z, z], 1)
    dead = np.concatenate([np.zeros((20, 2)), z], 1)
    for entries in range(1, 6):
        for columns in (doubled, dead):
            chosen = support(columns.T @ columns, columns.T @ y, entries=min(entries, columns.shape[1])).tolist()
            assert len(set(chosen)) == entries
    assert set(support(dead.T @ dead, dead.T @ y, entries=3).tolist()) == {2, 3, 4}
    assert support(dead.T @ dead, dead.T @ y, entries=4).tolist() == [1, 2, 3, 4]


def test_entries_that_leave_together_are_told_apart_by_size() -> None:
    # Orthogonal columns leave at λ = |zᵢᵀy|: those at 2 leave together, the larger coefficient is of the shorter.
    products, with_output = np.diag([1.0, 0.5, 1.0, 1.0]), np.array([2.0, 2.0, 5.0, 1.0])
    assert support(products, with_output, entries=2).tolist() == [1, 2]
    assert support(products, with_output, entries=3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", [0, 1])
def test_reader_weights_times_a_constant_cut_the_same(seed: int) -> None:
    given, scaled = network("plain", seed=seed), network("plain", seed=seed)
    with torch.no_grad():
        # Biases by 8 and 64: the network is homogeneous, and what each layer reads scales.
        for power, layer in enumerate(("0", "2", "6", "8"), 1):
            scaled.get_parameter(f"{layer}.weight").mul_(8)
            scaled.get_parameter(f"{layer}.bias").mul_(8**power)
    cuts = [
        ChannelLasso(ratio=0.5, samples=every("plain")).cut(each, varied_evidence(), ratio=0.5)
        for each in (given, scaled)
    ]
    assert plain(cuts[0])["channels"] == plain(cuts[1])["channels"]


def test_one_seed_draws_one_sample_and_another_seed_another() -> None:
    method = ChannelLasso(ratio=0.5, samples=30)
    cuts = [plain(method.cut(network("normed"), evidence(seed=seed), ratio=0.5)) for seed in (0, 0, 1)]
    assert cuts[0] == cuts[1]
    assert cuts[0]["replaced"] != cuts[2]["replaced"]


def test_hidden_linear_layers_are_left_alone_and_counted_nowhere() -> None:
    cut = ChannelLasso(ratio=0.5, samples=every("flat")).cut(network("flat"), varied_evidence(), ratio=0.5)
    assert set(cut.channels) == {"0", "3"}
    assert (cut.units, cut.size) == (12, 6)
    assert set(cut.replaced) == {"3.weight", "6.weight"}


def test_more_samples_than_there_are_positions_are_refused_in_one_line() -> None:
    text = "channel-lasso is to sample 81 outputs, and no layer that reads channels has more than 80 on 5 images: "
    method = ChannelLasso(ratio=0.5, samples=80)
    method.cut(network("normed"), evidence(), ratio=0.5)
    with pytest.raises(ValueError, match=f"^{text}"):
        replace(method, samples=81).cut(network("normed"), evidence(), ratio=0.5)
