"""The numbers that SYSTEMS 8 gives for indicators, and the buffer that a steady series overran in the reference system."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from shared.domain.errors import InvalidValueError
from shared.indicators import checked


def test_the_kalman_gain_settles_at_0_4633_within_twenty_values():
    # After a step from 0 to 1 the estimate's distance shrinks by (1 - gain) per value.
    away = 1 - checked.kalman(np.array([0.0] * 30 + [1.0] * 20))[30:]
    gains = 1 - away[1:] / away[:-1]
    assert gains == pytest.approx([0.46332] * 19, abs=5e-6)
    early = checked.kalman(np.array([0.0] * 20 + [1.0]))[-1]
    assert early == pytest.approx(0.4633, abs=5e-5)


def test_mmh_begins_at_index_286_and_needs_287_closes():
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.002, 400)))
    found = checked.mmh(closes)
    assert np.flatnonzero(~np.isnan(found))[0] == 286
    assert np.isnan(checked.mmh(closes[:286])).all()


@pytest.mark.parametrize("bend", [2e-6, -2e-6, 2e-5, -2e-5])
def test_mmh_stays_bounded_where_raw_runs_one_way_past_its_window(bend):
    # v comes to rest at 0.9999, so that each step adds 0.25 * ln(1.9999 / 0.0001) and half of the last.
    bound = 0.5 * np.log(1.9999 / 0.0001)
    closes = 100 * np.exp(bend * np.arange(1000.0) ** 2)  # ever steeper: raw never turns
    found = checked.mmh(closes)
    known = found[~np.isnan(found)]
    assert len(known) == 1000 - 286
    assert np.abs(known).max() == pytest.approx(bound, rel=1e-12)


def test_fibonacci_pivots_of_110_100_105():
    pivots = checked.fibonacci_pivots(110, 100, 105)
    assert pivots._asdict() == pytest.approx(
        {"p": 105, "r1": 108.82, "r2": 111.18, "r3": 115, "s1": 101.18, "s2": 98.82, "s3": 95}, rel=1e-14
    )


@pytest.mark.parametrize(
    ("high", "low", "close", "words"),
    [(float("nan"), 1, 1, "high must be finite"), (2, 0, 1, "low must be"), (2, 1, 3, r"close must be low\.\.high")],
)
def test_pivots_refuse_a_day_that_cannot_be(high, low, close, words):
    with pytest.raises(InvalidValueError, match=words):
        checked.fibonacci_pivots(high, low, close)


def test_a_day_of_equal_high_and_low_has_one_pivot():
    assert set(checked.fibonacci_pivots(100, 100, 100)) == {100.0}


def test_the_daily_deviation_that_scales_a_position():
    # 21 closes whose returns are +-5 %: their sample deviation, and the scale target / deviation of SYSTEMS 2.3.
    returns = np.array([0.05, -0.05] * 10)
    closes = 100 * np.concatenate([[1.0], np.cumprod(1 + returns)])
    daily = checked.realised_volatility(closes, 20)[-1]
    assert daily == pytest.approx(0.05 * (20 / 19) ** 0.5, rel=1e-12)
    assert checked.realised_volatility(closes, 20, "variance")[-1] == pytest.approx(20 * 0.05**2, rel=1e-12)
    assert checked.realised_volatility(closes, 20, "root_mean_square")[-1] == pytest.approx(0.05, rel=1e-12)


def test_a_divergence_speaks_at_the_candle_that_confirms_the_later_swing_and_only_there():
    low = np.array([12.0, 11, 10, 11, 12, 11, 9, 10, 11, 12, 13, 12, 11.5, 12, 13])
    oscillator = np.array([50.0, 40, 30, 40, 50, 45, 35, 40, 45, 50, 50, 40, 33, 40, 50])
    # Lows at 2, 6 and 12, each known two candles later: lower low with a higher low of the oscillator, then the other way.
    found = checked.bullish_divergence(low, oscillator, bars=2)
    assert np.flatnonzero(found).tolist() == [8, 14]
    assert (found[8], found[14]) == (1.0, 2.0)
    assert_array_equal(checked.bearish_divergence(-low + 20, -oscillator, bars=2), found)
    near = checked.bullish_divergence(low, oscillator, bars=2, distance_max=5)
    assert np.flatnonzero(near).tolist() == [8]
