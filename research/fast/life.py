"""Kernel of a slot: what becomes of what is asked for, on the finest candles, as `shared/portfolio/signal_life.py` has it."""

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
ENTRY, EXIT_BASE, EXIT, SIDE, REASON, ASK = range(
    6
)  # columns of a trade: own index, base index, own index, ..., index of its ask
TRADE_COLUMNS: Final = 6
REASON_STOP, REASON_TARGET, REASON_EXPIRED, REASON_REVERSED, REASON_OPEN = 0, 1, 2, 3, 4


@kernel("int64(float64[:, ::1], int64, int64, int64, float64, float64, int64, float64[::1])", inline=True)
def _end_between(
    base: "FloatArray", begin: int, end: int, side: int, stop: float, target: float, last: int, price: "FloatArray"
) -> int:
    """First candle of begin .. end - 1 on which the signal ends, -1 for none. price: [0] at which, [1] the reason.

    stop, target: NaN for none. last: the candle whose close is its age's end, -1 for none.
    """
    for j in range(begin, end):
        opened, high, low = base[0, j], base[1, j], base[2, j]
        if (opened - stop) * side <= 0.0:
            price[0], price[1] = opened, REASON_STOP
        elif (opened - target) * side >= 0.0:
            price[0], price[1] = opened, REASON_TARGET
        elif low <= stop <= high:  # both levels inside: no tape here, so the stop
            price[0], price[1] = stop, REASON_STOP
        elif low <= target <= high:
            price[0], price[1] = target, REASON_TARGET
        elif 0 <= last <= j:
            price[0], price[1] = base[3, j], REASON_EXPIRED
        else:
            continue
        return j
    return -1


@kernel(
    "int64(int64[::1], int64[::1], int64, float64[:, ::1], int64, int64, float64[::1], float64[:, ::1], boolean[::1], int64,"
    " boolean, int64[:, ::1], float64[:, ::1])"
)
def live_through(
    asked: "IntArray",
    asks: "IntArray",
    count: int,
    levels: "FloatArray",
    before: int,
    ratio: int,
    close: "FloatArray",
    base: "FloatArray",
    barred: "npt.NDArray[np.bool_]",
    age: int,
    reverse: bool,  # noqa: FBT001 - kernels have no keywords
    trades: "IntArray",
    prices: "FloatArray",
) -> int:
    """Trades of one slot; how many. asked, asks: (count,), own index and ASK_ value, oldest first.

    levels: (count, 2), stop and target of an entry, NaN for none; (0, 2) where nothing has any. base: (4, m), open, high, low,
    close; own candle i ends with base candle before + (i + 1) * ratio - 1. barred: (n,) entries that a gate keeps out, (0,)
    for none. age: base candles, 0 for no limit. trades, prices: a row each; asked entry and exit price.
    """
    done, held, side, looked, last = 0, False, 0, 0, -1
    stop, target, price = np.nan, np.nan, np.empty(2)
    for k in range(count + 1):  # the last one: the history's end
        at = asked[k] if k < count else close.shape[0] - 1
        end = before + (at + 1) * ratio if k < count else base.shape[1]
        if held and (levels.shape[0] > 0 or age > 0):
            # From behind the last look to the end of this candle, before the strategy speaks.
            j = _end_between(base, looked, end, side, stop, target, last, price)
            looked = end
            if j >= 0:
                trades[done, EXIT_BASE], trades[done, REASON], prices[done, 1] = j, int(price[1]), price[0]
                trades[done, EXIT] = min((j - before) // ratio, close.shape[0] - 1)
                done, held = done + 1, False
        if k == count:
            break
        if held:
            if reverse and (asks[k] == ASK_EXIT or asks[k] == -side):
                trades[done, EXIT_BASE], trades[done, REASON], prices[done, 1] = end - 1, REASON_REVERSED, close[at]
                trades[done, EXIT] = at
                done, held = done + 1, False
        elif asks[k] != ASK_EXIT and (barred.shape[0] == 0 or not barred[at]):
            held, side, looked, last = True, asks[k], end, end + age - 1 if age > 0 else -1
            trades[done, ENTRY], trades[done, SIDE], trades[done, ASK], prices[done, 0] = at, side, k, close[at]
            if levels.shape[0] > 0:
                stop, target = levels[k, 0], levels[k, 1]
    if held:
        trades[done, EXIT_BASE], trades[done, EXIT] = base.shape[1] - 1, close.shape[0] - 1
        trades[done, REASON], prices[done, 1] = REASON_OPEN, close[close.shape[0] - 1]
        done += 1
    return done
