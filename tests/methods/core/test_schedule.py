from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.core.cut import count
from methods.core.schedule import OneShot, Polynomial, Stepwise

HUNDREDTHS = st.integers(0, 95).map(lambda percent: percent / 100)


@given(ratio=HUNDREDTHS, rounds=st.integers(1, 40), initial=st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_ratios_never_fall_and_end_at_the_decimal_that_was_written(ratio: float, rounds: int, initial: float) -> None:
    for schedule in (OneShot(), Stepwise(rounds=rounds), Polynomial(rounds=rounds, initial=initial)):
        ratios = schedule.ratios(ratio)
        assert ratios[-1] == Fraction(str(ratio))
        assert list(ratios) == sorted(ratios)
        assert ratios[0] >= 0


def test_one_shot_is_one_cut() -> None:
    assert OneShot().ratios(0.29) == (Fraction(29, 100),)


def test_stepwise_is_r_t_over_n_exactly() -> None:
    assert Stepwise(rounds=3).ratios(0.3) == (Fraction(1, 10), Fraction(2, 10), Fraction(3, 10))
    # In floating point .3 · 1/3 is .09999…, and one unit of ten too few would go.
    assert 0.3 * 1 / 3 < 0.1
    assert [count(ratio, 10) for ratio in Stepwise(rounds=3).ratios(0.3)] == [1, 2, 3]


def test_polynomial_is_the_papers_cubic() -> None:
    # s_t = s_f + (s_i − s_f)(1 − t/n)³, by hand for s_f = .8, n = 4: 1 − t/n = 1, ¾, ½, ¼, 0.
    from_half = [0.5, 0.8 - 0.3 * 27 / 64, 0.8 - 0.3 / 8, 0.8 - 0.3 / 64, 0.8]
    assert [float(ratio) for ratio in Polynomial(rounds=4, initial=0.5).ratios(0.8)] == pytest.approx(from_half)
    from_nothing = [0.8 * 37 / 64, 0.7, 0.8 * 63 / 64, 0.8]
    assert [float(ratio) for ratio in Polynomial(rounds=4).ratios(0.8)] == pytest.approx(from_nothing)


def test_a_first_cut_beyond_the_ratio_is_the_ratio() -> None:
    assert Polynomial(rounds=2, initial=0.5).ratios(0.3) == (Fraction(3, 10),) * 3
