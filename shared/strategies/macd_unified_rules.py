"""The 24 rules of `macd_unified` on one row: which hold by their own parts, and which let go of their latch."""

from typing import TYPE_CHECKING, Final

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

PIVOT_UP: Final = ("P", "S1", "S2", "S3", "R1", "R2")
PIVOT_DOWN: Final = ("P", "S1", "S2", "R1", "R2", "R3")
_LEVELS: Final = ("P", "R1", "R2", "R3", "S1", "S2", "S3")  # as fibonacci_pivots gives them
_UP_AT: Final = tuple(_LEVELS.index(level) for level in PIVOT_UP)
_DOWN_AT: Final = tuple(_LEVELS.index(level) for level in PIVOT_DOWN)
ALERTS: Final = 24
FIRST_PIVOT: Final = 12
# Bits of the alerts of each side: the pairs up and down by turns, then six pivots each.
BUY_ALERTS: Final = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10 | 63 << FIRST_PIVOT
SELL_ALERTS: Final = 1 << 1 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 11 | 63 << (FIRST_PIVOT + 6)


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
