"""The figures of `macd_unified` for all symbols in one call: its gates, its 24 rules, which hold and which let go."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import SEED_AVERAGE, rma
from shared.indicators.kernels.levels import fibonacci_pivots
from shared.indicators.kernels.momentum import ppo
from shared.indicators.kernels.oscillators import mmh
from shared.indicators.kernels.smoothing import cirrus_cloud, smooth_rsi
from shared.indicators.kernels.volume import vwap_daily
from shared.strategies.macd_unified_rules import (
    BUY_ALERTS,
    SELL_ALERTS,
    cross,
    let_go,
    momentum_turns,
    oscillator_crosses,
    pivot_crosses,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

COMMON: Final = 12
JUMP: Final = 1 << 30  # in the third mask: the candle is passed over
_BUY: Final = 1
_SELL: Final = 2
_DAY_MS: Final = 86_400_000
_DOJI: Final = 1e-9
_JUMP_SHARE: Final = 0.5


@kernel("void(float64[::1], float64[::1], float64[::1], int64[::1], int64, float64, float64[::1])")
def pivots_of(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    open_time_ms: "IntArray",
    candle_open_ms: int,
    price: float,
    out: "FloatArray",
) -> None:
    """Levels of the UTC day before the candle's; NaN where that day is absent or price is more than half its range away."""
    out[:] = np.nan
    day_before = (candle_open_ms // _DAY_MS - 1) * _DAY_MS
    for i in range(open_time_ms.shape[0]):
        if open_time_ms[i] == day_before:
            reach = (high[i] - low[i]) / 2.0
            if low[i] - reach <= price <= high[i] + reach:
                fibonacci_pivots(high[i], low[i], close[i], out)


@kernel("boolean(float64[:, ::1], int64, float64, float64, float64, float64, float64, float64, float64)")
def side_gates(
    common: "FloatArray",
    at: int,
    close: float,
    rma_15m: float,
    close_5m: float,
    rma_5m: float,
    momentum: float,
    cloud: float,
    open_price: float,
) -> bool:
    """Value and threshold of five gates of one side from `at` on; whether they pass (the wick is judged by the caller)."""
    common[at, 0] = close
    common[at, 1] = rma_15m
    common[at + 1, 0] = close_5m
    common[at + 1, 1] = rma_5m
    common[at + 2, 0] = momentum
    common[at + 2, 1] = 0.0
    common[at + 3, 0] = cloud
    common[at + 3, 1] = 0.0
    common[at + 4, 0] = close
    common[at + 4, 1] = open_price
    if at == 0:
        return close > rma_15m and close_5m > rma_5m and momentum > 0.0 and cloud > 0.0 and close > open_price
    return close < rma_15m and close_5m < rma_5m and momentum < 0.0 and cloud < 0.0 and close < open_price


@kernel(
    "int64(float64[:, ::1], float64, float64, float64, float64, float64, float64, float64, float64, float64, float64)"
)
def gates_of(
    common: "FloatArray",
    open_price: float,
    high: float,
    low: float,
    close: float,
    rma_15m: float,
    close_5m: float,
    rma_5m: float,
    momentum: float,
    cloud: float,
    wick_max: float,
) -> int:
    """Value and threshold of all gates; which sides they let pass: _BUY, _SELL, both bits or none."""
    span = high - low
    upper = (high - close) / span if span > _DOJI else np.nan
    lower = (close - low) / span if span > _DOJI else np.nan
    buy = side_gates(common, 0, close, rma_15m, close_5m, rma_5m, momentum, cloud, open_price)
    sell = side_gates(common, 6, close, rma_15m, close_5m, rma_5m, momentum, cloud, open_price)
    common[5, 0], common[5, 1] = upper, wick_max
    common[11, 0], common[11, 1] = lower, wick_max
    passed = 0
    if buy and upper < wick_max:
        passed |= _BUY
    if sell and lower < wick_max:
        passed |= _SELL
    return passed


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], int64[:, ::1],"
    " float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], int64[:, ::1],"
    " int64[::1], float64[::1], float64[:, :, ::1], float64[:, :, ::1], int64[:, ::1])"
)
def macd_unified_figures(
    open_price: "FloatArray",
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    volume: "FloatArray",
    open_time_ms: "IntArray",
    close_5m: "FloatArray",
    day_high: "FloatArray",
    day_low: "FloatArray",
    day_close: "FloatArray",
    day_open_time_ms: "IntArray",
    periods: "IntArray",
    limits: "FloatArray",
    common: "FloatArray",
    alerts: "FloatArray",
    masks: "IntArray",
) -> None:
    """Row by row: gates (value, threshold), alerts (value, threshold, least margin), and three masks over the alerts.

    periods: PPO fast, slow, signal; RSI, its smoothing; RMA 15m, RMA 5m; MMH. limits: guards of signal and RSI, PPO level,
    largest wick, largest pivot distance in percent, MMH responsiveness. masks: rules that hold (gates included), that let
    go, and whose own parts pass; JUMP in the last for a candle that is passed over.
    """
    length = close.shape[1]
    last = length - 1
    line, signal, histogram = np.empty(length), np.empty(length), np.empty(length)
    rsi, vwap, momentum, slow_15m = np.empty(length), np.empty(length), np.empty(length), np.empty(length)
    filter_1, filter_2, cloud = np.empty(length), np.empty(length), np.empty(length)
    slow_5m = np.empty(close_5m.shape[1])
    pivots = np.empty(7)
    for row in range(close.shape[0]):
        ppo(close[row], periods[0], periods[1], periods[2], line, signal, histogram)
        smooth_rsi(close[row], periods[3], 5, 0.01, 0.1, periods[4], rsi)
        vwap_daily(open_time_ms[row], high[row], low[row], close[row], volume[row], vwap)
        rma(close[row], periods[5], SEED_AVERAGE, slow_15m)
        rma(close_5m[row], periods[6], SEED_AVERAGE, slow_5m)
        mmh(close[row], periods[7], limits[5], momentum)
        cirrus_cloud(close[row], 22, 9.0, 15, 5.0, filter_1, filter_2, cloud)
        now, before, strength = close[row, last], close[row, last - 1], line[last]
        sides = gates_of(
            common[row],
            open_price[row, last],
            high[row, last],
            low[row, last],
            now,
            slow_15m[last],
            close_5m[row, close_5m.shape[1] - 1],
            slow_5m[close_5m.shape[1] - 1],
            momentum[last],
            cloud[last],
            limits[3],
        )
        own = alerts[row]
        found = oscillator_crosses(
            own, strength, line[last - 1], signal[last], signal[last - 1], rsi[last], rsi[last - 1], limits
        )
        found |= cross(own, 8, now, before, vwap[last], vwap[last - 1]) << 8
        found |= momentum_turns(own, momentum[last - 3 :])
        pivots_of(
            day_high[row], day_low[row], day_close[row], day_open_time_ms[row], open_time_ms[row, last], now, pivots
        )
        found |= pivot_crosses(own, pivots, now, before, limits[4])
        masks[row, 2] = found
        if high[row, last] - low[row, last] <= _DOJI or abs(now / before - 1.0) > _JUMP_SHARE:
            masks[row, 2] |= JUMP
            continue
        buy, sell = sides & _BUY > 0, sides & _SELL > 0
        masks[row, 0] = found & ((BUY_ALERTS if buy else 0) | (SELL_ALERTS if sell else 0))
        masks[row, 1] = let_go(
            own, buy, sell, strength, signal[last], limits[1], limits[2], momentum[last], momentum[last - 1]
        )
