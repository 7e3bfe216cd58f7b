"""Kernels of the account: equity of every candle from trades, and what compares many sets of them."""

from typing import TYPE_CHECKING

import numpy as np

from research.fast.life import ENTRY, EXIT, REASON, REASON_OPEN, SIDE
from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]


@kernel(
    "void(float64[::1], int64[:, ::1], float64[:, ::1], float64[::1], float64, float64, float64[::1], float64[::1])"
)
def account(
    close: "FloatArray",
    trades: "IntArray",
    prices: "FloatArray",
    fraction: "FloatArray",
    fee: float,
    worse: float,
    returns: "FloatArray",
    gains: "FloatArray",
) -> None:
    """Return of each own candle and of each trade (as a share of the equity before), costs paid; what is still open is marked.

    trades: (m, TRADE_COLUMNS). prices: (m, 2), as asked. fraction: (m,), of equity. worse: half the spread and the slippage, a share.
    """
    returns[:] = 0.0
    for k in range(trades.shape[0]):
        i0, i1, side = trades[k, ENTRY], trades[k, EXIT], float(trades[k, SIDE])
        quantity = fraction[k] / prices[k, 0]
        bought = prices[k, 0] * (1.0 + side * worse)
        worth = 1.0 - quantity * bought * fee - side * quantity * bought
        lever = side * quantity
        before = 1.0 / (1.0 + returns[i0])  # 1, or what a trade that ended on this candle left of it
        for i in range(i0, i1):
            after = worth + lever * close[i]
            returns[i] = after / before - 1.0
            before = after
        after = worth + lever * close[i1]
        if trades[k, REASON] != REASON_OPEN:
            sold = prices[k, 1] * (1.0 - side * worse)
            after = worth + lever * sold - quantity * sold * fee
        returns[i1] = after / before - 1.0
        gains[k] = after - 1.0


@kernel("void(float64[::1], int64[:, ::1], float64[:, ::1], float64[::1], float64, float64, int64, float64[::1])")
def measure(
    close: "FloatArray",
    trades: "IntArray",
    prices: "FloatArray",
    fraction: "FloatArray",
    fee: float,
    worse: float,
    first: int,
    out: "FloatArray",
) -> None:
    """What `account` gives, summed up without being written down, from candle `first` on; no trade may begin before it.

    out: mean and sample deviation of the candles' returns, equity at the end, deepest fall (shares), winners, candles held.
    """
    total, squares, last = 0.0, 0.0, 0.0
    equity, peak, low, fall, winners, held = 1.0, 1.0, 1.0, 0.0, 0, 0
    for k in range(trades.shape[0]):
        i0, i1, side = trades[k, ENTRY], trades[k, EXIT], float(trades[k, SIDE])
        quantity = fraction[k] / prices[k, 0]
        bought = prices[k, 0] * (1.0 + side * worse)
        worth = 1.0 - quantity * bought * fee - side * quantity * bought
        lever = side * quantity
        before, start = 1.0, equity
        if k > 0 and trades[k - 1, EXIT] == i0:  # the trade before ended on this candle: one return of both
            total, squares = total - last, squares - last * last
            before = 1.0 / (1.0 + last)
        for i in range(i0, i1):
            after = worth + lever * close[i]
            change = after / before - 1.0
            total, squares, before = total + change, squares + change * change, after
            low = min(low, start * after)
            if start * after > peak:  # the fall behind a peak is known when a higher one comes
                fall = max(fall, 1.0 - low / peak)
                peak = low = start * after
        after = worth + lever * close[i1]
        if trades[k, REASON] != REASON_OPEN:
            sold = prices[k, 1] * (1.0 - side * worse)
            after = worth + lever * sold - quantity * sold * fee
        last = after / before - 1.0
        total, squares, equity = total + last, squares + last * last, start * after
        if k + 1 == trades.shape[0] or trades[k + 1, ENTRY] != i1:
            low = min(low, equity)
            if equity > peak:
                fall = max(fall, 1.0 - low / peak)
                peak = low = equity
        winners += after > 1.0
        held += i1 - i0
    count = close.shape[0] - first
    out[0] = total / count if count > 0 else 0.0
    out[1] = np.sqrt(max(squares - total * total / count, 0.0) / (count - 1)) if count > 1 else 0.0
    out[2], out[3], out[4], out[5] = equity, max(fall, 1.0 - low / peak), float(winners), float(held)
