"""Kernels of the exact path: the figures of `macd_adx` on every window of a series, all windows of a block side by side.

Each window is summed as the strategy's own kernel sums it, step by step and in its order, from its own first candle: the bits are
equal, which a test shows on recorded candles. What does not depend on where a window begins (range and movement of a candle) is
computed once. Row r is the window of candles r .. r + length - 1.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_BLOCK: Final = 256  # windows whose averages stay in the first cache


@kernel("void(float64[::1], int64, int64, int64, int64, float64[:, ::1])")
def macd_of_windows(  # noqa: C901, PLR0912 - three averages, each with its seed
    close: "FloatArray", length: int, fast: int, slow: int, signal: int, out: "FloatArray"
) -> None:
    """MACD's histogram, seeded as TA-Lib does, at the last candle of each window and at the one before. out: (rows, 2)."""
    rows = close.shape[0] - length + 1
    a_fast, a_slow, a_signal = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    quick, steady, smooth = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for begin in range(0, rows, _BLOCK):
        size = min(_BLOCK, rows - begin)
        for j in range(size):
            quick[j] = steady[j] = smooth[j] = 0.0
        for k in range(slow):
            price = close[begin + k : begin + k + size]
            for j in range(size):
                steady[j] += price[j]
            if k >= slow - fast:
                for j in range(size):
                    quick[j] += price[j]
        for j in range(size):
            quick[j] /= fast
            steady[j] /= slow
            smooth[j] += quick[j] - steady[j]
        for k in range(slow, slow + signal - 1):
            price = close[begin + k : begin + k + size]
            for j in range(size):
                quick[j] += (price[j] - quick[j]) * a_fast
                steady[j] += (price[j] - steady[j]) * a_slow
                smooth[j] += quick[j] - steady[j]
        for j in range(size):
            smooth[j] /= signal
        for k in range(slow + signal - 1, length):
            price = close[begin + k : begin + k + size]
            for j in range(size):
                quick[j] += (price[j] - quick[j]) * a_fast
                steady[j] += (price[j] - steady[j]) * a_slow
                smooth[j] += (quick[j] - steady[j] - smooth[j]) * a_signal
            if k >= length - 2:
                for j in range(size):
                    out[begin + j, length - 1 - k] = quick[j] - steady[j] - smooth[j]


@kernel("void(float64[::1], float64[::1], float64[::1], float64[:, ::1])")
def movements(high: "FloatArray", low: "FloatArray", close: "FloatArray", out: "FloatArray") -> None:
    """True range, +DM and -DM of each candle but the first. out: (3, n)."""
    out[:, 0] = 0.0
    for i in range(1, high.shape[0]):
        widest = high[i] - low[i]
        widest = max(widest, abs(high[i] - close[i - 1]))
        out[0, i] = max(widest, abs(low[i] - close[i - 1]))
        up, down = high[i] - high[i - 1], low[i - 1] - low[i]
        out[1, i] = up if up > down and up > 0.0 else 0.0
        out[2, i] = down if down > up and down > 0.0 else 0.0


@kernel("void(float64[:, ::1], int64, int64, float64[::1])")
def adx_of_windows(moved: "FloatArray", length: int, period: int, out: "FloatArray") -> None:
    """ADX, seeded as TA-Lib does, at the last candle of each window; 2 x period <= length. moved: see `movements`. out: (rows,)."""
    rows = moved.shape[1] - length + 1
    span, plus, minus, level = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for begin in range(0, rows, _BLOCK):
        size = min(_BLOCK, rows - begin)
        for j in range(size):
            span[j] = plus[j] = minus[j] = level[j] = 0.0
        for k in range(1, length):
            ranges, ups, downs = (
                moved[0, begin + k : begin + k + size],
                moved[1, begin + k : begin + k + size],
                moved[2, begin + k : begin + k + size],
            )
            kept = (period - 1.0) / period if k >= period else 1.0
            for j in range(size):
                span[j] = span[j] * kept + ranges[j]
                plus[j] = plus[j] * kept + ups[j]
                minus[j] = minus[j] * kept + downs[j]
            if k < period:
                continue
            seeding = k - period + 1 <= period
            for j in range(size):
                up = 0.0 if span[j] == 0.0 else 100.0 * plus[j] / span[j]
                down = 0.0 if span[j] == 0.0 else 100.0 * minus[j] / span[j]
                both = up + down
                index = 0.0 if both == 0.0 else 100.0 * abs(up - down) / both
                after = level[j] + index if seeding else (level[j] * (period - 1) + index) / period
                level[j] = after if seeding or both != 0.0 else level[j]
            if k - period + 1 == period:
                for j in range(size):
                    level[j] /= period
        for j in range(size):
            out[begin + j] = level[j]


@kernel("void(float64[::1], int64, float64[::1], float64[::1])")
def return_deviations(close: "FloatArray", count: int, deviation: "FloatArray", squares: "FloatArray") -> None:
    """Sample deviation and mean square of the last `count` simple returns at every candle from index `count` on. Each out: (n - count,)."""
    n = close.shape[0]
    change = np.empty(n - 1)
    for i in range(n - 1):
        change[i] = close[i + 1] / close[i] - 1.0
    total, apart, power = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for begin in range(0, n - count, _BLOCK):
        size = min(_BLOCK, n - count - begin)
        for j in range(size):
            total[j] = apart[j] = power[j] = 0.0
        for k in range(count):
            part = change[begin + k : begin + k + size]
            for j in range(size):
                total[j] += part[j]
        for j in range(size):
            total[j] /= count
        for k in range(count):
            part = change[begin + k : begin + k + size]
            for j in range(size):
                off = part[j] - total[j]
                apart[j] += off * off
                power[j] += part[j] * part[j]
        for j in range(size):
            deviation[begin + j] = np.sqrt(apart[j] / (count - 1))
            squares[begin + j] = power[j] / count
