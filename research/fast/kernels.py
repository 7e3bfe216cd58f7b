"""Kernels of the fast path: what a strategy asks for on every candle, the life of its signals, the account's returns."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

ASK_LONG: Final = 1
ASK_SHORT: Final = -1
ASK_EXIT: Final = 2
TRADE_COLUMNS: Final = 6  # entry (own index), exit (base index), own index at or after the exit, side, reason, unused
REASON_STOP, REASON_TARGET, REASON_EXPIRED, REASON_REVERSED, REASON_OPEN = 0, 1, 2, 3, 4


@kernel("void(float64[::1], float64[::1], float64[::1], int64, int64, int64, int64, float64, boolean, int64[::1])")
def macd_asks(
    close: "FloatArray",
    strength: "FloatArray",
    scale: "FloatArray",
    fast: int,
    slow: int,
    signal: int,
    first: int,
    strength_min: float,
    long_flat: bool,  # noqa: FBT001 - kernels have no keywords
    asks: "IntArray",
) -> None:
    """`macd_adx` on every candle from `first` on (before it no window is whole); asks: ASK_ values, 0 for none.

    strength: ADX. scale: what the volatility target allows. MACD as TA-Lib seeds it, over the whole series.
    """
    n = close.shape[0]
    a_fast, a_slow, a_signal = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    asks[:] = 0
    if n < slow + signal:
        return
    quick, steady = 0.0, 0.0
    for i in range(slow):
        steady += close[i]
        if i >= slow - fast:
            quick += close[i]
    quick /= fast
    steady /= slow
    smooth = quick - steady
    for i in range(slow, slow + signal - 1):
        quick += a_fast * (close[i] - quick)
        steady += a_slow * (close[i] - steady)
        smooth += quick - steady
    smooth /= signal
    before = quick - steady - smooth
    for i in range(slow + signal - 1, n):
        quick += a_fast * (close[i] - quick)
        steady += a_slow * (close[i] - steady)
        line = quick - steady
        smooth += a_signal * (line - smooth)
        now = line - smooth
        if i >= first and strength[i] >= strength_min and scale[i] > 0.0:
            if now > 0.0 and before <= 0.0:
                asks[i] = 1
            elif now < 0.0 and before >= 0.0:
                asks[i] = 2 if long_flat else -1
        before = now


@kernel(
    "int64(int64[::1], int64[::1], float64[::1], float64[::1], float64[::1], float64[:, ::1], boolean[::1], int64, boolean,"
    " int64[:, ::1], float64[:, ::1])"
)
def live_through(  # noqa: C901, PLR0912 - one signal's life reads best in one piece
    asks: "IntArray",
    base_end: "IntArray",
    close: "FloatArray",
    stop: "FloatArray",
    target: "FloatArray",
    base: "FloatArray",
    barred: "npt.NDArray[np.bool_]",
    age: int,
    reverse: bool,  # noqa: FBT001 - kernels have no keywords
    trades: "IntArray",
    prices: "FloatArray",
) -> int:
    """Trades of one slot; how many. base_end[i]: index of the first base candle after own candle i.

    stop, target: levels of an entry at i, NaN for none. base: (4, m) open, high, low, close. barred: entries that a gate
    keeps out. age: base candles, 0 for no limit. trades, prices: rows as TRADE_COLUMNS says; asked entry and exit price.
    """
    count, held, entry, side = 0, False, 0, 0
    n, m = asks.shape[0], base.shape[1]
    levels = False
    for i in range(n):
        if held:
            # From the candle behind the last look to the end of this one, before the strategy speaks.
            if levels or age > 0:
                begin = base_end[i - 1] if i > entry + 1 else base_end[entry]
                for j in range(begin, min(base_end[i], m)):
                    o, h, low = base[0, j], base[1, j], base[2, j]
                    reason, price = -1, 0.0
                    if (o - stop[entry]) * side <= 0.0:
                        reason, price = 0, o
                    elif (o - target[entry]) * side >= 0.0:
                        reason, price = 1, o
                    elif low <= stop[entry] <= h:
                        reason, price = 0, stop[entry]
                    elif low <= target[entry] <= h:
                        reason, price = 1, target[entry]
                    elif age > 0 and j + 1 - base_end[entry] >= age:
                        reason, price = 2, base[3, j]
                    if reason >= 0:
                        trades[count, 1], trades[count, 2], trades[count, 4] = j, i, reason
                        prices[count, 1] = price
                        count += 1
                        held = False
                        break
            if held:
                if reverse and (asks[i] == 2 or asks[i] == -side):  # noqa: PLR2004 - 2 asks for both ways, -side for the other one
                    trades[count, 1], trades[count, 2], trades[count, 4] = base_end[i] - 1, i, 3
                    prices[count, 1] = close[i]
                    count += 1
                    held = False
                continue
        ask = asks[i]
        if (ask == 1 or ask == -1) and not barred[i]:  # noqa: PLR1714 - kernels have no sets
            held, entry, side = True, i, ask
            trades[count, 0], trades[count, 3] = i, ask
            prices[count, 0] = close[i]
            levels = stop[i] == stop[i] or target[i] == target[i]
    if held:
        trades[count, 1], trades[count, 2], trades[count, 4] = m - 1, n - 1, 4
        prices[count, 1] = close[n - 1]
        count += 1
    return count


@kernel(
    "void(float64[::1], int64[:, ::1], float64[:, ::1], float64[::1], int64, float64, float64, float64[::1], float64[::1])"
)
def account(
    close: "FloatArray",
    trades: "IntArray",
    prices: "FloatArray",
    fraction: "FloatArray",
    count: int,
    fee: float,
    worse: float,
    returns: "FloatArray",
    gains: "FloatArray",
) -> None:
    """Return of each own candle and of each trade (as a share of the equity before), costs paid; what is still open is marked.

    fraction: of equity by own index of the entry.
    """
    returns[:] = 0.0
    for k in range(count):
        i0, i1, side = trades[k, 0], trades[k, 2], float(trades[k, 3])
        quantity = fraction[i0] / prices[k, 0]
        bought = prices[k, 0] * (1.0 + side * worse)
        worth = 1.0 - quantity * bought * fee
        before = 1.0
        for i in range(i0, i1 + 1):
            after = worth + side * quantity * (close[i] - bought)
            if i == i1 and trades[k, 4] != 4:  # noqa: PLR2004 - REASON_OPEN
                sold = prices[k, 1] * (1.0 - side * worse)
                after = worth + side * quantity * (sold - bought) - quantity * sold * fee
            returns[i] = (1.0 + returns[i]) * (after / before) - 1.0
            before = after
        gains[k] = before - 1.0


@kernel("void(float64[::1], int64, float64[::1], float64[::1])")
def return_deviations(  # noqa: C901 - one sum, taken by blocks
    close: "FloatArray", count: int, deviation: "FloatArray", squares: "FloatArray"
) -> None:
    """Sample deviation and mean square of the last `count` simple returns at every candle; 0 before there are so many.

    Each value is summed in the order in which the strategy's own kernel sums it, so that both are equal to the bit; blocks of
    candles go through the sum together, which is what makes it quick.
    """
    n = close.shape[0]
    deviation[:] = 0.0
    squares[:] = 0.0
    if n <= count:
        return
    change = np.empty(n - 1)
    for i in range(n - 1):
        change[i] = close[i + 1] / close[i] - 1.0
    block = 512
    total, apart, power = np.empty(block), np.empty(block), np.empty(block)
    rows = n - count
    for begin in range(0, rows, block):
        size = min(block, rows - begin)
        for j in range(size):
            total[j] = 0.0
            apart[j] = 0.0
            power[j] = 0.0
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
            deviation[begin + count + j] = np.sqrt(apart[j] / (count - 1))
            squares[begin + count + j] = power[j] / count
