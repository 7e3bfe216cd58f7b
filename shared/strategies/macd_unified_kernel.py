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

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

PIVOT_UP: Final = ("P", "S1", "S2", "S3", "R1", "R2")
PIVOT_DOWN: Final = ("P", "S1", "S2", "R1", "R2", "R3")
_LEVELS: Final = ("P", "R1", "R2", "R3", "S1", "S2", "S3")  # as fibonacci_pivots gives them
_UP_AT: Final = tuple(_LEVELS.index(level) for level in PIVOT_UP)
_DOWN_AT: Final = tuple(_LEVELS.index(level) for level in PIVOT_DOWN)
COMMON: Final = 12
ALERTS: Final = 24
FIRST_PIVOT: Final = 12
JUMP: Final = 1 << 30  # in the third mask: the candle is passed over
_DAY_MS: Final = 86_400_000
_DOJI: Final = 1e-9


@kernel("void(float64[:, ::1], int64, float64, float64, float64)")
def put(alerts: "FloatArray", at: int, value: float, threshold: float, margin: float) -> None:
    """One alert's value, threshold and least margin."""
    alerts[at, 0] = value
    alerts[at, 1] = threshold
    alerts[at, 2] = margin


@kernel("int64(float64[:, ::1], int64, float64, float64, float64, float64)")
def cross(alerts: "FloatArray", at: int, now: float, before: float, level: float, level_before: float) -> int:
    """Up at `at`, down at `at + 1`: bits of those that cross."""
    up = min(now - level, level_before - before)
    down = min(level - now, before - level_before)
    found = 0
    if now > level and before <= level_before:
        found |= 1
    if now < level and before >= level_before:
        found |= 2
    put(alerts, at, now, level, up)
    put(alerts, at + 1, now, level, down)
    return found


@kernel("int64(float64[:, ::1], float64, float64, float64, float64, float64, float64, float64[::1])")
def oscillator_crosses(
    alerts: "FloatArray",
    now: float,
    before: float,
    signal: float,
    signal_before: float,
    rsi: float,
    rsi_before: float,
    limits: "FloatArray",
) -> int:
    """Bits of the alerts of PPO (`now`, `before`) and smooth RSI, the first eight. limits: as macd_unified_figures has them."""
    # The guards are one-sided: PPO below +guard for up, above -guard for down.
    found = cross(alerts, 0, now, before, signal, signal_before)
    if not now < limits[0]:
        found &= ~1
    if not now > -limits[0]:
        found &= ~2
    alerts[0, 2] = min(alerts[0, 2], limits[0] - now)
    alerts[1, 2] = min(alerts[1, 2], now + limits[0])
    found |= cross(alerts, 2, now, before, 0.0, 0.0) << 2
    # Each side has a level of its own: what the second call writes at `at` replaces the first's.
    down = cross(alerts, 4, now, before, -limits[2], -limits[2]) & 2
    margin = alerts[5, 2]
    up = cross(alerts, 4, now, before, limits[2], limits[2]) & 1
    put(alerts, 5, now, -limits[2], margin)
    found |= (up | down) << 4
    middle = cross(alerts, 6, rsi, rsi_before, 50.0, 50.0)
    if not now < limits[1]:
        middle &= ~1
    if not now > -limits[1]:
        middle &= ~2
    alerts[6, 2] = min(alerts[6, 2], limits[1] - now)
    alerts[7, 2] = min(alerts[7, 2], now + limits[1])
    return found | middle << 6


@kernel("int64(float64[:, ::1], float64[::1])")
def momentum_turns(alerts: "FloatArray", momentum: "FloatArray") -> int:
    """Bits of mmh_buy and mmh_sell on the last four values: two steps against the side, then one with it."""
    m3, m2, m1, m0 = momentum[0], momentum[1], momentum[2], momentum[3]
    put(alerts, 10, m0, m1, min(m0, m3 - m2, m2 - m1, m0 - m1))
    put(alerts, 11, m0, m1, min(-m0, m2 - m3, m1 - m2, m1 - m0))
    found = 0
    if m0 > 0.0 and m3 > m2 > m1 and m0 > m1:
        found |= 1 << 10
    if m0 < 0.0 and m3 < m2 < m1 and m0 < m1:
        found |= 1 << 11
    return found


@kernel("int64(float64[:, ::1], float64[::1], float64, float64, float64)")
def pivot_crosses(alerts: "FloatArray", pivots: "FloatArray", close: float, before: float, distance_pct: float) -> int:
    """Bits, from the first alert on, of the pivot levels crossed and near."""
    found = 0
    for place in range(len(_UP_AT)):
        level = pivots[_UP_AT[place]]
        near = distance_pct - 100.0 * abs(close - level) / level
        margin = min(100.0 * (close - level) / level, 100.0 * (level - before) / level, near)
        put(alerts, FIRST_PIVOT + place, close, level, margin)
        if before <= level and close > level and near >= 0.0:
            found |= 1 << (FIRST_PIVOT + place)
        level = pivots[_DOWN_AT[place]]
        near = distance_pct - 100.0 * abs(close - level) / level
        margin = min(100.0 * (level - close) / level, 100.0 * (before - level) / level, near)
        put(alerts, FIRST_PIVOT + 6 + place, close, level, margin)
        if before >= level and close < level and near >= 0.0:
            found |= 1 << (FIRST_PIVOT + 6 + place)
    return found


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


@kernel("int64(float64[:, ::1], boolean, boolean, float64, float64, float64, float64, float64, float64)")
def let_go(  # noqa: C901, PLR0912 - one line per rule reads best
    alerts: "FloatArray",
    buy: bool,  # noqa: FBT001 - kernels have no keywords
    sell: bool,  # noqa: FBT001 - a compiled function takes no keywords
    ppo_now: float,
    signal: float,
    guard: float,
    level: float,
    momentum: float,
    momentum_before: float,
) -> int:
    """Bits of the rules that let go of their latch; a NaN lets nothing go."""
    gone = 0
    rsi, close, vwap = alerts[6, 0], alerts[8, 0], alerts[8, 1]
    if ppo_now <= signal:
        gone |= 1 << 0
    if ppo_now >= signal:
        gone |= 1 << 1
    if not buy:
        gone |= 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8
    if not sell:
        gone |= 1 << 3 | 1 << 5 | 1 << 7 | 1 << 9
    if ppo_now <= 0.0:
        gone |= 1 << 2
    if ppo_now >= 0.0:
        gone |= 1 << 3
    if ppo_now <= level:
        gone |= 1 << 4
    if ppo_now >= -level:
        gone |= 1 << 5
    if rsi <= 50.0 or ppo_now >= guard:  # noqa: PLR2004 - the middle of an RSI
        gone |= 1 << 6
    if rsi >= 50.0 or ppo_now <= -guard:  # noqa: PLR2004 - the middle of an RSI
        gone |= 1 << 7
    if close <= vwap:
        gone |= 1 << 8
    if close >= vwap:
        gone |= 1 << 9
    if momentum <= momentum_before:
        gone |= 1 << 10
    if momentum >= momentum_before:
        gone |= 1 << 11
    for place in range(6):
        if alerts[FIRST_PIVOT + place, 0] <= alerts[FIRST_PIVOT + place, 1]:
            gone |= 1 << (FIRST_PIVOT + place)
        if alerts[FIRST_PIVOT + 6 + place, 0] >= alerts[FIRST_PIVOT + 6 + place, 1]:
            gone |= 1 << (FIRST_PIVOT + 6 + place)
    return gone


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
        now, before = close[row, last], close[row, last - 1]
        five, five_slow = close_5m[row, close_5m.shape[1] - 1], slow_5m[close_5m.shape[1] - 1]
        opened = open_price[row, last]
        span = high[row, last] - low[row, last]
        upper = (high[row, last] - now) / span if span > _DOJI else np.nan
        lower = (now - low[row, last]) / span if span > _DOJI else np.nan
        buy = side_gates(common[row], 0, now, slow_15m[last], five, five_slow, momentum[last], cloud[last], opened)
        sell = side_gates(common[row], 6, now, slow_15m[last], five, five_slow, momentum[last], cloud[last], opened)
        common[row, 5, 0], common[row, 5, 1] = upper, limits[3]
        common[row, 11, 0], common[row, 11, 1] = lower, limits[3]
        buy = buy and upper < limits[3]
        sell = sell and lower < limits[3]

        own = alerts[row]
        strength = line[last]
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
        if span <= _DOJI or abs(now / before - 1.0) > 0.5:  # noqa: PLR2004 - stated in the strategy's head
            masks[row, 2] |= JUMP
            continue
        allowed = (1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10 | 63 << FIRST_PIVOT) if buy else 0
        if sell:
            allowed |= 1 << 1 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 11 | 63 << (FIRST_PIVOT + 6)
        masks[row, 0] = found & allowed
        masks[row, 1] = let_go(
            own, buy, sell, strength, signal[last], limits[1], limits[2], momentum[last], momentum[last - 1]
        )
