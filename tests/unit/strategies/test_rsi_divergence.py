"""rsi_divergence: extremes, divergences, levels, parameters; a row never depends on its neighbours."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.bias import Direction
from shared.domain.decisions import Action
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe
from shared.strategies.base import WindowColumns
from shared.strategies.levels import percent_levels
from shared.strategies.registry import build_strategy


def columns_of(closes, volumes=None, *, spread=0.0):
    close = np.atleast_2d(np.array(closes, dtype=np.float64))
    volume = np.ones_like(close) if volumes is None else np.atleast_2d(np.array(volumes, dtype=np.float64))
    return WindowColumns(open=close.copy(), high=close + spread, low=close - spread, close=close, volume=volume)


def verdicts(columns, **parameters):
    return build_strategy("rsi_divergence", Timeframe.M1, parameters).evaluate({Timeframe.M1: columns})


FALLING = [200.0 - i for i in range(120)]
RISING = [100.0 + i for i in range(120)]
SPIKE = [1.0] * 119 + [3.0]


def test_long_at_an_oversold_extreme_with_a_volume_spike():
    [outcome] = verdicts(columns_of(FALLING, SPIKE))
    assert outcome.action is Action.ENTER_LONG
    assert outcome.trigger == "extreme"
    assert (outcome.take_profit, outcome.stop_loss) == percent_levels(81.0, Direction.LONG, 1.5, 0.7)
    by_name = {condition.name: condition for condition in outcome.conditions}
    assert by_name["rsi_oversold"].value == 0.0
    assert by_name["rsi_oversold"].margin == 25.0
    assert by_name["volume_spike"].threshold == pytest.approx(1.5 * 22 / 20)  # the current volume is in its own mean
    assert not by_name["rsi_overbought"].passed


def test_short_mirrors_it():
    [outcome] = verdicts(columns_of(RISING, SPIKE))
    assert outcome.action is Action.ENTER_SHORT


@pytest.mark.parametrize(("last_volume", "fires"), [(1.6, False), (1.621, False), (1.622, True)])
def test_the_spike_must_exceed_the_mean_that_holds_it(last_volume, fires):
    # v > 1.5 * (19 + v) / 20  <=>  v > 28.5 / 18.5 = 1.5405...; with a mean volume of 1.0526 before it, 1.6216
    volumes = [20 / 19] * 119 + [last_volume]
    [outcome] = verdicts(columns_of(FALLING, volumes))
    assert (outcome.action is Action.ENTER_LONG) == fires


def test_levels_are_the_golden_ones():
    assert percent_levels(100.0, Direction.LONG, 1.5, 0.7) == (101.5, 99.3)
    assert percent_levels(100.0, Direction.SHORT, 1.5, 0.7) == (98.5, 100.7)


def diverging():
    """A steep fall to a first low, a bounce, then a slow lower low that is confirmed by the last candle."""
    closes = [100.0] * 70
    closes += [100 - 1.5 * i for i in range(1, 21)]  # 70.0
    closes += [70 + 0.8 * i for i in range(1, 11)]  # 78.0
    slow = [78 - 0.9 * i for i in range(1, 11)]  # 69.0
    closes += [*slow, 69.5, 70.0, 70.5]
    return [100.0] * (120 - len(closes)) + closes


def test_a_bullish_divergence_fires_when_the_second_low_is_confirmed_and_only_then():
    closes = diverging()
    parameters = {"mode": "divergence", "oversold": 40, "swing_near": 10}
    [outcome] = verdicts(columns_of(closes), **parameters)
    assert (outcome.action, outcome.trigger) == (Action.ENTER_LONG, "divergence")
    assert all(condition.passed for condition in outcome.conditions[:3])
    [a_candle_early] = verdicts(columns_of([100.0, *closes[:-1]]), **parameters)
    [a_candle_late] = verdicts(columns_of([*closes[1:], 71.0]), **parameters)
    assert a_candle_early.action is Action.NONE
    assert a_candle_late.action is Action.NONE


def test_a_bearish_divergence_mirrors_it():
    closes = [170 - close for close in diverging()]
    [outcome] = verdicts(columns_of(closes), mode="divergence", overbought=60, swing_near=10)
    assert (outcome.action, outcome.trigger) == (Action.ENTER_SHORT, "divergence")


def test_both_takes_either_rule():
    [extreme] = verdicts(columns_of(FALLING, SPIKE), mode="both")
    [divergence] = verdicts(columns_of(diverging()), mode="both", oversold=40)
    assert (extreme.trigger, divergence.trigger) == ("extreme", "divergence")


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 8))
def test_the_outcome_does_not_depend_on_which_symbols_share_a_call(seed, rows):
    source = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(source.normal(0, 0.01, (rows, 120)), axis=1))
    volumes = source.random((rows, 120))
    together = verdicts(columns_of(closes, volumes, spread=0.1), mode="both")
    order = source.permutation(rows)
    shuffled = verdicts(columns_of(closes[order], volumes[order], spread=0.1), mode="both")
    alone = [verdicts(columns_of(closes[i], volumes[i], spread=0.1), mode="both")[0] for i in range(rows)]
    assert together == alone
    assert [together[i] for i in order] == shuffled


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rsi_periode": 14}, "rsi_periode"),
        ({"rsi_period": 1}, "rsi_period must be"),
        ({"rsi_period": 61}, "rsi_period must be"),
        ({"mode": "extremes"}, "mode"),
        ({"oversold": "low"}, "oversold"),
        ({"take_profit_pct": 0}, "take_profit_pct must be"),
        ({"volume_factor": float("nan")}, "volume_factor must be"),
    ],
)
def test_wrong_parameters_are_refused_by_name(parameters, words):
    with pytest.raises(InvalidValueError, match=words):
        build_strategy("rsi_divergence", Timeframe.M1, parameters)


def test_an_unknown_strategy_is_refused():
    with pytest.raises(InvalidValueError, match="rsi_divergence"):
        build_strategy("macd", Timeframe.M1, {})


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_the_cached_code_of_a_kernel_is_keyed_by_the_sources_of_all_it_calls():
    from shared.indicators.compiled import _FILES
    from shared.indicators.kernels import averages, levels, momentum, volatility
    from shared.strategies import rsi_divergence_kernel

    files = _FILES["shared.strategies.rsi_divergence_kernel.rsi_divergence_figures"]
    assert files == {module.__file__ for module in (rsi_divergence_kernel, averages, levels, momentum, volatility)}
    cache = rsi_divergence_kernel.rsi_divergence_figures._cache
    assert cache._index_key((), _Codegen())[-1] == cache._sources


class _Codegen:
    def magic_tuple(self):
        return ()


def tired(*, volume_last=0.1, wick=True):
    """A fall whose last two candles have long lower wicks at the same low, on little volume: all three signs."""
    columns = columns_of(FALLING, [1.0] * 119 + [volume_last])
    open_, high, low = columns.open, columns.high, columns.low
    open_[0, :], high[0, :], low[0, :] = (
        columns.close + 0.05,
        columns.close + 0.1,
        columns.close - 0.1,
    )
    if wick:
        low[0, -2:] = columns.close[0, -1] - 5.0
    return columns


@pytest.mark.parametrize(
    ("least", "volume_last", "wick", "signs", "enters"),
    [
        (2, 0.1, True, 3, True),
        (2, 0.1, False, 2, True),
        (3, 0.1, False, 2, False),
        (2, 3.0, False, 1, False),
        (0, 3.0, False, None, True),
    ],
)
def test_exhaustion_asks_for_so_many_signs(least, volume_last, wick, signs, enters):
    [outcome] = verdicts(tired(volume_last=volume_last, wick=wick), exhaustion_min=least, volume_factor=0)
    by_name = {condition.name: condition for condition in outcome.conditions}
    assert (by_name["exhaustion_low"].value if "exhaustion_low" in by_name else None) == signs
    assert (outcome.action is Action.ENTER_LONG) == enters
    assert 0 <= outcome.score <= 100
    assert sum(outcome.components.values()) == pytest.approx(outcome.score)


def test_levels_by_atr_and_a_trailing_distance_within_its_bounds():
    columns = columns_of(FALLING, SPIKE, spread=0.5)
    [outcome] = verdicts(columns, levels="atr", trailing=True)
    reach = 1.5  # each true range: from the close before down to this low, 1 + 0.5
    assert (outcome.take_profit, outcome.stop_loss) == (81.0 + 2 * reach, 81.0 - reach)
    assert outcome.trail_pct == pytest.approx(50 * reach / 81.0)
    [calm] = verdicts(columns_of([200.0 - i / 1000 for i in range(120)], SPIKE), trailing=True)
    assert calm.trail_pct == 0.3
    assert verdicts(columns)[0].trail_pct is None
