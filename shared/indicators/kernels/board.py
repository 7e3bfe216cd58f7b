"""RSI, MACD, ADX, ATR and Bollinger bands of many series at once, candle by candle: what a whole market needs at a close.

Rows are taken in blocks of LANES: one block's state is one run of memory with a lane per row, small enough for the first
cache, and each loop below runs over all lanes of a block with constant places only, so that the compiler makes vector code
of it. Averages are all `state * kept + value * taken`: while an average is seeded both weights are 1 (or 0 before it
begins), with its last seed 1 / period, afterwards the usual ones. All rows of a block are equally old, so that the weights
hold for a whole loop. Divisions are slow: constant ones are products here, hence equal to the other kernels within
rounding only; DX is taken from the sums of movement, in which the range cancels; what no average needs is computed only for
the candles that are asked for.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

LANES: Final = 48

# Places in a block's state, each LANES values; the ring of closes follows at RING, `window` times LANES.
HIGH: Final = 0
LOW: Final = LANES
CLOSE: Final = 2 * LANES
LAST_HIGH: Final = 3 * LANES
LAST_LOW: Final = 4 * LANES
LAST_CLOSE: Final = 5 * LANES
GAIN: Final = 6 * LANES
LOSS: Final = 7 * LANES
FAST: Final = 8 * LANES
SLOW: Final = 9 * LANES
PLUS: Final = 10 * LANES
MINUS: Final = 11 * LANES
SUM: Final = 12 * LANES
SQUARES: Final = 13 * LANES
REFERENCE: Final = 14 * LANES
OLDEST: Final = 15 * LANES
SEEN: Final = 16 * LANES  # candles, in the first lane
TOUCHED: Final = SEEN + 1  # keeps touch_rows from being optimised away
LINE_VALUES: Final = 8  # float64 in a cache line
# Outputs, some of which are averages themselves.
OUTPUT: Final = 17 * LANES
RSI: Final = OUTPUT
LINE: Final = 18 * LANES
SIGNAL: Final = 19 * LANES
HISTOGRAM: Final = 20 * LANES
ADX: Final = 21 * LANES
ATR: Final = 22 * LANES
UPPER: Final = 23 * LANES
MIDDLE: Final = 24 * LANES
LOWER: Final = 25 * LANES
RING: Final = 26 * LANES
OUTPUTS: Final = 9

# Places in the row of parameters.
RSI_PERIOD: Final = 0
MACD_FAST: Final = 1
MACD_SLOW: Final = 2
MACD_SIGNAL: Final = 3
ADX_PERIOD: Final = 4
ATR_PERIOD: Final = 5
WINDOW: Final = 6


@kernel("UniTuple(float64, 2)(int64, int64, int64, float64)", inline=True)
def weights(seen: int, begin: int, period: int, alpha: float) -> tuple[float, float]:
    """(kept, taken) for the value of candle `seen` of an average whose first value is that of candle `begin`."""
    if seen >= begin + period:
        return 1.0 - alpha, alpha
    if seen < begin:
        return 0.0, 0.0
    share = 1.0 / period if seen == begin + period - 1 else 1.0
    return share, share


@kernel("void(float64[::1], int64, int64[::1])", inline=True)
def averages_step(s: "FloatArray", seen: int, parameters: "IntArray") -> None:
    """One candle per lane into the averages of RSI, MACD, ADX and ATR."""
    rsi, atr, adx = parameters[RSI_PERIOD], parameters[ATR_PERIOD], parameters[ADX_PERIOD]
    fast, slow, signal = parameters[MACD_FAST], parameters[MACD_SLOW], parameters[MACD_SIGNAL]
    kept_rsi, taken_rsi = weights(seen, 1, rsi, 1.0 / rsi)
    kept_fast, taken_fast = weights(seen, slow - fast, fast, 2.0 / (fast + 1.0))
    kept_slow, taken_slow = weights(seen, 0, slow, 2.0 / (slow + 1.0))
    kept_signal, taken_signal = weights(seen, slow - 1, signal, 2.0 / (signal + 1.0))
    kept_atr, taken_atr = weights(seen, 1, atr, 1.0 / atr)
    kept_adx, taken_adx = weights(seen, adx, adx, 1.0 / adx)
    kept_sum = 1.0 if seen < adx else (adx - 1.0) / adx  # TA-Lib: the first period - 1 are summed
    steady = seen >= 2 * adx
    half = 0.5 * taken_rsi
    percent = 100.0 * taken_adx
    for i in range(LANES):
        close = s[CLOSE + i]
        before = s[LAST_CLOSE + i]
        change = close - before
        # Exact, and NaN where the change is, which max() would hide.
        s[GAIN + i] = s[GAIN + i] * kept_rsi + (abs(change) + change) * half
        s[LOSS + i] = s[LOSS + i] * kept_rsi + (abs(change) - change) * half
        s[FAST + i] = s[FAST + i] * kept_fast + close * taken_fast
        s[SLOW + i] = s[SLOW + i] * kept_slow + close * taken_slow
        s[SIGNAL + i] = s[SIGNAL + i] * kept_signal + (s[FAST + i] - s[SLOW + i]) * taken_signal
        high = s[HIGH + i]
        low = s[LOW + i]
        above = abs(high - before)
        below = abs(low - before)
        widest = high - low
        widest = above if above > widest else widest  # noqa: FURB136 - max() treats NaN differently
        widest = below if below > widest else widest  # noqa: FURB136 - a branch keeps NaN out, max() would not
        s[ATR + i] = s[ATR + i] * kept_atr + (widest + 0.0 * before) * taken_atr  # NaN where the last close is
        up = high - s[LAST_HIGH + i]
        down = s[LAST_LOW + i] - low
        rise = up if up > down else 0.0
        fall = down if down > up else 0.0
        plus = s[PLUS + i] * kept_sum + (max(0.0, rise))
        minus = s[MINUS + i] * kept_sum + (max(0.0, fall))
        s[PLUS + i] = plus
        s[MINUS + i] = minus
        both = plus + minus
        dx = abs(plus - minus) / (both if both != 0.0 else 1.0)
        level = s[ADX + i] * kept_adx + dx * percent + 0.0 * s[ATR + i]
        # Without any movement the ADX stays what it was.
        s[ADX + i] = s[ADX + i] if steady and both == 0.0 else level
        s[LAST_HIGH + i] = high
        s[LAST_LOW + i] = low
        s[LAST_CLOSE + i] = close


@kernel("void(float64[::1], int64, int64)", inline=True)
def sums_step(s: "FloatArray", seen: int, window: int) -> None:
    """One close per lane into the sums of the bands: about a reference, and taken anew once in a turn of the ring."""
    place = RING + seen % window * LANES
    for i in range(LANES):
        s[OLDEST + i] = s[place + i]
    for i in range(LANES):
        s[place + i] = s[CLOSE + i]
    if seen % window != 0:
        leaves = 1.0 if seen >= window else 0.0
        for i in range(LANES):
            off = s[CLOSE + i] - s[REFERENCE + i]
            old = (s[OLDEST + i] - s[REFERENCE + i]) * leaves
            s[SUM + i] += off - old
            s[SQUARES + i] += off * off - old * old
        return
    for i in range(LANES):
        s[REFERENCE + i] = s[CLOSE + i]
        s[SUM + i] = 0.0
        s[SQUARES + i] = 0.0
    for slot in range(min(seen + 1, window)):
        for i in range(LANES):
            s[OLDEST + i] = s[RING + slot * LANES + i]
        for i in range(LANES):
            off = s[OLDEST + i] - s[REFERENCE + i]
            s[SUM + i] += off
            s[SQUARES + i] += off * off


@kernel("void(float64[::1], int64, float64)", inline=True)
def outputs_step(s: "FloatArray", window: int, deviations: float) -> None:
    """The outputs that are no averages, from the state after a candle."""
    share = 1.0 / window
    for i in range(LANES):
        both = s[GAIN + i] + s[LOSS + i]
        strength = 100.0 * s[GAIN + i] / (both if both != 0.0 else 1.0)
        s[RSI + i] = strength if both != 0.0 else 50.0
        line = s[FAST + i] - s[SLOW + i]
        s[LINE + i] = line
        s[HISTOGRAM + i] = line - s[SIGNAL + i]
        mean = s[SUM + i] * share
        variance = s[SQUARES + i] * share - mean * mean
        reach = deviations * np.sqrt(variance if variance > 0.0 else 0.0)  # noqa: FURB136 - max() treats NaN differently
        middle = s[REFERENCE + i] + mean
        s[MIDDLE + i] = middle
        s[UPPER + i] = middle + reach
        s[LOWER + i] = middle - reach


@kernel("void(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64, int64, float64[::1])", inline=True)
def touch_rows(
    high: "FloatArray", low: "FloatArray", close: "FloatArray", begin: int, end: int, s: "FloatArray"
) -> None:
    """Read the rows once in their order, which memory is fast at; candle by candle they are then in the cache."""
    total = 0.0
    for row in range(begin, end):
        for k in range(0, close.shape[1], LINE_VALUES):
            total += high[row, k] + low[row, k] + close[row, k]
    s[TOUCHED] = total


@kernel(
    "int64(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64, int64, int64[::1], float64[::1])",
    inline=True,
)
def candle_step(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    begin: int,
    k: int,
    parameters: "IntArray",
    s: "FloatArray",
) -> int:
    """Candle k of the block's rows, from row `begin` on, into its state; how many candles it had before."""
    for i in range(min(LANES, close.shape[0] - begin)):
        s[HIGH + i] = high[begin + i, k]
        s[LOW + i] = low[begin + i, k]
        s[CLOSE + i] = close[begin + i, k]
    seen = int(s[SEEN])
    s[SEEN] = seen + 1.0
    if seen == 0:  # a candle before the first like the first: no gain, no loss, no movement
        s[LAST_HIGH : LAST_CLOSE + LANES] = s[HIGH : CLOSE + LANES]
    averages_step(s, seen, parameters)
    return seen


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64[::1], float64, int64[::1], boolean, float64[:, ::1],"
    " float64[:, :, ::1])"
)
def board_advance(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    parameters: "IntArray",
    deviations: float,
    first: "IntArray",
    fresh: bool,  # noqa: FBT001 - a compiled function takes no keywords
    state: "FloatArray",
    out: "FloatArray",
) -> None:
    """Candles of shape (n, length) from nothing (fresh) or following those in `state`; see board.Board.

    first: per output the index of its first value. state: shape (blocks of LANES rows, RING + window * LANES).
    out: shape (steps, OUTPUTS, n), the outputs of the last `steps` candles, 1 <= steps <= length.
    """
    rows, length = close.shape
    window = parameters[WINDOW]
    skipped = length - out.shape[0]
    # The sums are taken anew at each turn of the ring: a turn that is over before the first candle asked for leaves no trace.
    sums_begin = max(0, (skipped - window) // window * window) if fresh else 0
    for block in range(state.shape[0]):
        begin = block * LANES
        end = min(rows, begin + LANES)
        s = state[block]
        if fresh:
            s[:] = 0.0
        touch_rows(high, low, close, begin, end, s)
        for k in range(length):
            seen = candle_step(high, low, close, begin, k, parameters, s)
            if k >= sums_begin:
                sums_step(s, seen, window)
            if k < skipped:
                continue
            outputs_step(s, window, deviations)
            for output in range(OUTPUTS):
                place = OUTPUT + output * LANES
                if seen >= first[output]:
                    out[k - skipped, output, begin:end] = s[place : place + end - begin]
                else:
                    out[k - skipped, output, begin:end] = np.nan
