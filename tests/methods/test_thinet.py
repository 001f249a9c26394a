import numpy as np
import pytest

from methods.thinet import ThiNet, greedy
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

MOST = {"plain": 4, "normed": 12, "flat": 4, "residual": 12, "concatenated": 4, "depthwise": 12, "inception": 4}
"""Outputs of the reader with the most entries: with so many samples a position every reader gives all it has."""


def contributions(rows: Rows) -> np.ndarray:
    """x̂: a row for each image, position and output channel, a column for each input channel."""
    return np.array([[(x[c] * w[c]).sum() for c in range(len(x))] for x in rows.x for w in rows.w])


def brute(x: np.ndarray, count: int) -> list[int]:
    """T grows by the channel with the least Σ_n(Σ_{c∈T} x̂_nc)², every sum taken anew."""
    gone: list[int] = []
    for _ in range(count):
        left = [c for c in range(x.shape[1]) if c not in gone]
        gone.append(min(left, key=lambda c: sum(sum(row[j] for j in [*gone, c]) ** 2 for row in x)))
    return gone


def chosen_by_sums(readings: list[Rows], count: int) -> list[int]:
    # Sums over columns at once; `brute` takes them one by one.
    x = np.concatenate([contributions(rows) for rows in readings])
    gone: list[int] = []
    for _ in range(count):
        left = [c for c in range(x.shape[1]) if c not in gone]
        gone.append(min(left, key=lambda c: float((x[:, [*gone, c]].sum(1) ** 2).sum())))
    return gone


def scaled(rows: Rows, stay: list[int]) -> np.ndarray:
    """W times ŵ = argmin ‖y − X̂_kept ŵ‖², channel by channel; y is the sum over all channels."""
    x = contributions(rows)
    scales = 1 + least_squares(x[:, stay], x.sum(1) - x[:, stay].sum(1))
    return rows.w[:, stay] * scales[None, :, None]


@pytest.mark.parametrize("reconstruct", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_cut_and_weights_are_the_papers(name: str, reconstruct: bool) -> None:
    given = alive(name)
    method = ThiNet(ratio=0.5, samples=every(name) * MOST[name], reconstruct=reconstruct)
    cut = method.cut(given, varied_evidence(), ratio=0.5)
    chosen, written = front_to_back(
        given, name, counts=going(name, linear=True), choose=chosen_by_sums, solve=scaled if reconstruct else None
    )
    assert {group: gone.tolist() for group, gone in cut.channels.items()} == chosen
    assert cut.replaced.keys() == (written.keys() if reconstruct else set())
    for entry, weight in cut.replaced.items():
        live = live_rows(name, chosen, entry.removesuffix(".weight"))
        assert weight.numpy()[live] == pytest.approx(written[entry][live], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("seed", range(6))
def test_greedy_is_that_of_explicit_sums(seed: int) -> None:
    stream = np.random.default_rng(seed)
    x = stream.normal(size=(15, 7)) + stream.normal(size=(15, 1))
    for count in range(8):
        assert greedy(x.T @ x, going=count) == brute(x, count)


def test_channels_that_cancel_go_together() -> None:
    # 0 and 3 are the largest and cancel; alone 1 is the smallest, then 2: the sum with 1 in T is least for 2.
    x = np.array([[9.0, 1.0, 2.0, -9.0], [-8.0, 1.0, -1.0, 8.0]])
    assert greedy(x.T @ x, going=2) == brute(x, 2) == [1, 2]
    x[:, 1:3] = [[5.0, 0.1], [5.0, 6.0]]
    x[:, 0], x[:, 3] = [4.0, 1.0], [-4.0, -1.0]
    assert greedy(x.T @ x, going=2) == brute(x, 2) == [0, 3]


def test_equal_channels_go_from_the_front() -> None:
    x = np.array([[1.0, 1.0, 0.0, 1.0, 0.0]])
    assert greedy(x.T @ x, going=4) == [2, 4, 0, 1]
    assert greedy(np.zeros((3, 3)), going=3) == [0, 1, 2]


def test_three_treatments_of_hidden_linear_layers() -> None:
    given = network("flat")
    cuts = {
        linear: ThiNet(ratio=0.5, samples=100, linear=linear).cut(given, evidence(), ratio=0.5)
        for linear in ("channel", "magnitude", "leave")
    }
    assert {linear: set(cut.channels) for linear, cut in cuts.items()} == {
        "channel": {"0", "3", "6"},
        "magnitude": {"0", "3"},
        "leave": {"0", "3"},
    }
    assert {linear: set(cut.weights) for linear, cut in cuts.items()} == {
        "channel": set(),
        "magnitude": {"6"},
        "leave": set(),
    }
    sizes = given.get_parameter("6.weight").detach().abs().flatten().tolist()
    lowest = sorted(range(len(sizes)), key=lambda position: (sizes[position], position))[: 6 * 36]
    assert cuts["magnitude"].weights["6"].tolist() == sorted(lowest)
    assert [cuts[linear].units for linear in ("channel", "magnitude", "leave")] == [24, 12 + 12 * 36, 12]


def test_one_seed_draws_one_sample_and_another_seed_another() -> None:
    method = ThiNet(ratio=0.5, samples=30)
    cuts = [plain(method.cut(network("normed"), evidence(seed=seed), ratio=0.5)) for seed in (0, 0, 1)]
    assert cuts[0] == cuts[1]
    assert cuts[0]["replaced"] != cuts[2]["replaced"]


def test_more_samples_than_there_are_entries_are_refused_in_one_line() -> None:
    """Twelve outputs at 16 places on 5 images; the stem has more entries, and reads no channel."""
    text = "thinet is to sample 961 outputs, and no layer that reads channels has more than 960 on 5 images: "
    ThiNet(ratio=0.5, samples=960).cut(network("normed"), evidence(), ratio=0.5)
    with pytest.raises(ValueError, match=f"^{text}"):
        ThiNet(ratio=0.5, samples=961).cut(network("normed"), evidence(), ratio=0.5)
