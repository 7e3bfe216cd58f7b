"""Series kernels of `macd_adx`: where the histogram crosses zero, and what the strategy asks for there.

Nothing is written down for the other candles, and what only the crosses need is computed only there.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

# strength_min, long_flat, candles_per_day, target, inverse_var, scale_min, scale_max, fraction_min, fraction_max
RULE: Final = 9
_SPREAD_MIN: Final = 1e-12  # returns that differ by more have a deviation, whatever its rounding


@kernel("void(float64[::1], int64, int64, int64, int64, float64[::1])", inline=True)
def _seeded(close: "FloatArray", fast: int, slow: int, signal: int, end: int, state: "FloatArray") -> None:
    """Fast, slow and signal average behind candle end - 1, seeded as TA-Lib does; end >= slow + signal."""
    quick, steady = 0.0, 0.0
    for i in range(slow):
        steady += close[i]
        if i >= slow - fast:
            quick += close[i]
    quick /= fast
    steady /= slow
    smooth = quick - steady
    for i in range(slow, end):
        quick += 2.0 / (fast + 1.0) * (close[i] - quick)
        steady += 2.0 / (slow + 1.0) * (close[i] - steady)
        if i < slow + signal - 1:
            smooth += quick - steady
            if i == slow + signal - 2:
                smooth /= signal
        else:
            smooth += 2.0 / (signal + 1.0) * (quick - steady - smooth)
    state[0], state[1], state[2] = quick, steady, smooth


@kernel("int64(float64[::1], int64, int64, int64, int64, int64[::1])")
def macd_crosses(close: "FloatArray", fast: int, slow: int, signal: int, first: int, at: "IntArray") -> int:
    """How many candles from `first` on the histogram crosses zero at; at[:that]: the index, -1 - index for a cross down.

    slow + signal <= first <= n. at: (n - first + 1,).
    """
    state = np.empty(3)
    _seeded(close, fast, slow, signal, first, state)
    quick, steady, smooth = state[0], state[1], state[2]
    a_fast, a_slow, a_signal = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    # An average waits for itself: a product and a sum, not a difference, a product and a sum, from candle to candle.
    k_fast, k_slow, k_signal = 1.0 - a_fast, 1.0 - a_slow, 1.0 - a_signal
    was_up, was_down, count = quick - steady > smooth, quick - steady < smooth, 0
    for i in range(first, close.shape[0]):
        quick = quick * k_fast + a_fast * close[i]
        steady = steady * k_slow + a_slow * close[i]
        line = quick - steady
        smooth = smooth * k_signal + a_signal * line
        up, down = line > smooth, line < smooth
        # Written on every candle, kept at a cross: a branch that comes out otherwise on one candle in twelve costs more.
        at[count] = i if up else -1 - i
        count += int((up and not was_up) | (down and not was_down))
        was_up, was_down = up, down
    return count


@kernel("int64(float64[::1])")
def longest_rest(close: "FloatArray") -> int:
    """How many candles in a row close where the one before did, at most: there averages that began elsewhere differ in noise alone."""
    run, longest = 0, 0
    for i in range(1, close.shape[0]):
        run = run + 1 if close[i] == close[i - 1] else 0
        longest = max(longest, run)
    return longest


@kernel("float64(float64[::1], boolean)", inline=True)
def _mean(values: "FloatArray", ordered: bool) -> float:  # noqa: FBT001 - kernels have no keywords
    """ordered: added one by one, as the strategy does; else four sums that need not wait for one another."""
    count, a, b, c, d = values.shape[0], 0.0, 0.0, 0.0, 0.0
    whole = 0 if ordered else count // 4 * 4
    for i in range(0, whole, 4):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
    a += b + (c + d)
    for i in range(whole, count):
        a += values[i]
    mean: float = a / count
    return mean


@kernel("float64(float64[::1], int64, float64[::1], float64[::1], float64[::1])", inline=True)
def _scale_at(close: "FloatArray", at: int, change: "FloatArray", square: "FloatArray", rule: "FloatArray") -> float:
    """What the volatility target allows after the last returns; 0 for nothing. change, square: room for as many as count."""
    count = change.shape[0]
    for i in range(count):
        change[i] = close[at - count + i + 1] / close[at - count + i] - 1.0
    # Whether there is any deviation may hang on the order of the sums only where the returns are all but equal.
    ordered = abs(change[count - 1] - change[count - 2]) <= _SPREAD_MIN
    mean = _mean(change, ordered)
    for i in range(count):
        square[i] = (change[i] - mean) * (change[i] - mean)
    by_day = np.sqrt(_mean(square, ordered) * count / (count - 1)) * np.sqrt(rule[2])
    if not 0.0 < by_day < np.inf:
        return 0.0
    raw = rule[3] / by_day
    if rule[4] > 0.0:
        for i in range(count):
            square[i] = change[i] * change[i]
        raw = rule[3] * rule[3] / (_mean(square, ordered) * rule[2])
    scale: float = min(max(raw, rule[5]), rule[6])
    return scale


@kernel("boolean(float64[::1], int64, float64[::1])", inline=True)
def _moves(close: "FloatArray", at: int, rule: "FloatArray") -> bool:
    """Whether the scale is surely above 0: the last two returns differ. False where that is not so clear."""
    apart = close[at] / close[at - 1] - close[at - 1] / close[at - 2]
    moves: bool = abs(apart) > _SPREAD_MIN and rule[6] > 0.0
    return moves


@kernel(
    "int64(int64[::1], int64, float64[::1], float64[::1], float64[::1], int64, float64, float64[::1], int64[::1], int64[::1],"
    " float64[::1])"
)
def macd_asks(
    at: "IntArray",
    count: int,
    strength: "FloatArray",
    close: "FloatArray",
    scales: "FloatArray",
    candles: int,
    risk_fraction: float,
    rule: "FloatArray",
    asked: "IntArray",
    asks: "IntArray",
    fraction: "FloatArray",
) -> int:
    """What `macd_adx` asks for at its crosses; how many. asked: own index; asks: ASK_ values; fraction: of equity.

    strength: ADX, empty where none is needed. scales: (n,), kept from set to set of one rule: 0 where nobody asked, -1 for none.
    candles: of the volatility. rule: see RULE.
    """
    found, change, square, flat = 0, np.empty(candles), np.empty(candles), rule[1] > 0.0
    for k in range(count):
        index = at[k] if at[k] >= 0 else -1 - at[k]
        if strength.shape[0] > 0 and not strength[index] >= rule[0]:
            continue
        exits = flat and at[k] < 0
        if scales[index] == 0.0 and not (exits and _moves(close, index, rule)):
            scale = _scale_at(close, index, change, square, rule)
            scales[index] = scale if scale > 0.0 else -1.0
        if scales[index] >= 0.0:  # 0 here: an exit, which has no size
            asked[found] = index
            asks[found] = 2 if exits else (1 if at[k] >= 0 else -1)
            fraction[found] = max(rule[7], min(rule[8], risk_fraction * scales[index]))
            found += 1
    return found
