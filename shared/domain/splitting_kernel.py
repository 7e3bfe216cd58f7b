"""The compiled passes behind `splitting`. Importing this module imports Numba."""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np

from shared.domain.timeframe import MINUTE_MS

INTEGERS: Final = 12  # count, volume, quote high and low word, first and last key (3 each), lowest and highest id
_INT64_MAX: Final = 2**63 - 1
_LOW_32: Final = np.uint64(0xFFFFFFFF)
_32: Final = np.uint64(32)
_POWERS: Final = np.array([10.0**scale for scale in range(19)])
_MINUTE_MS: Final = MINUTE_MS
_COLUMN = "Array(int64, 1, 'C', readonly=True)"


_Function = TypeVar("_Function", bound=Callable[..., Any])


def _kernel(signature: str) -> Callable[[_Function], _Function]:
    """As the kernels of the indicators are made: compiled on import for one signature, through the on-disk cache."""

    def compile_now(function: _Function) -> _Function:
        return cast("_Function", numba.njit(signature, cache=True, nogil=True, error_model="numpy")(function))

    return compile_now


@_kernel(f"Tuple((int64[::1], int64[::1], int64[::1]))({_COLUMN}, {_COLUMN}, int64, int64, int64)")
def sorted_by_minute(symbol_index: Any, traded_at_ms: Any, first_minute: int, span: int, symbol_count: int) -> Any:
    """Order of the trades by (symbol, minute), stable; the cells that hold some (symbol x span + minute - first), ascending;
    and where each begins in that order, with the end behind the last.
    """
    size = len(symbol_index)
    cell_of = np.empty(size, dtype=np.int64)
    counts = np.zeros(symbol_count * span, dtype=np.int64)
    for row in range(size):
        cell = symbol_index[row] * span + traded_at_ms[row] // _MINUTE_MS - first_minute
        cell_of[row] = cell
        counts[cell] += 1
    used = 0
    for cell in range(len(counts)):
        used += counts[cell] > 0
    cells, bounds = np.empty(used, dtype=np.int64), np.empty(used + 1, dtype=np.int64)
    start, number = 0, 0
    for cell in range(len(counts)):
        if counts[cell] > 0:
            cells[number], bounds[number] = cell, start
            start, counts[cell] = start + counts[cell], start
            number += 1
    bounds[used] = start
    order = np.empty(size, dtype=np.int64)
    for row in range(size):
        cell = cell_of[row]
        order[counts[cell]] = row
        counts[cell] += 1
    return order, cells, bounds


@_kernel("int64[:, ::1](int64[:, ::1], int64[::1])")
def taken(rows: Any, order: Any) -> Any:
    """rows[:, order], row by row."""
    out = np.empty((rows.shape[0], len(order)), dtype=np.int64)
    for field in range(rows.shape[0]):
        for at in range(len(order)):
            out[field, at] = rows[field, order[at]]
    return out


@_kernel("boolean(int64[:])")
def _distinct(ids: Any) -> bool:
    """Whether no id repeats: rising ids show it in one pass."""
    for at in range(1, len(ids)):
        if ids[at] <= ids[at - 1]:
            ordered = np.sort(ids)
            for place in range(1, len(ordered)):  # noqa: SIM110 - no generators in kernels
                if ordered[place] == ordered[place - 1]:
                    return False
            return True
    return True


@_kernel("int64(int64[:, :], int64, int64)")
def _order(rows: Any, one: int, other: int) -> int:
    """-1, 0 or 1: how two trades stand by (time, venue sequence, tie rank)."""
    for field in (3, 5, 6):
        if rows[field, one] != rows[field, other]:
            return -1 if rows[field, one] < rows[field, other] else 1
    return 0


@_kernel("void(int64[:, :], float64, boolean, float64[:], int64[:])")
def fold_run(rows: Any, price_factor: float, numbered: bool, prices: Any, counts: Any) -> None:  # noqa: FBT001 - kernels take places
    """Fold the trades of one minute. rows: as in MinuteTrades. price_factor: 10^price scale. numbered: ids are numbers.

    prices: gets open, high, low, close. counts: gets the INTEGERS; its first, the count, is 0 where ids repeat, two trades
    have one place in the market's order, or the volume exceeds 64 bits: then nothing else holds.
    """
    size = rows.shape[1]
    counts[0] = 0
    if numbered and not _distinct(rows[0]):
        return
    price = rows[1].view(np.float64)
    first, last, first_again, last_again = 0, 0, False, False
    high, low, volume = price[0], price[0], 0
    quote_high, quote_low = np.uint64(0), np.uint64(0)
    for row in range(size):
        value, quantity = price[row], rows[2, row]
        high, low = max(high, value), min(low, value)
        if row:
            place = _order(rows, row, first)
            if place < 0:
                first, first_again = row, False
            elif place == 0:
                first_again = True
            place = _order(rows, row, last)
            if place > 0:
                last, last_again = row, False
            elif place == 0:
                last_again = True
        if volume > _INT64_MAX - quantity:
            return
        volume += quantity
        # 53 x 63 bits: four products of halves, added up in two words.
        left, right = np.uint64(np.rint(value * price_factor)), np.uint64(quantity)
        left_low, left_high = left & _LOW_32, left >> _32
        right_low, right_high = right & _LOW_32, right >> _32
        low_word = left_low * right_low
        middle = left_low * right_high + left_high * right_low
        shifted = low_word + (middle << _32)
        high_word = left_high * right_high + (middle >> _32) + np.uint64(shifted < low_word)
        quote_low += shifted
        quote_high += high_word + np.uint64(quote_low < shifted)
    if (first_again or last_again) and size > 1:
        return
    prices[0], prices[1], prices[2], prices[3] = price[first], high, low, price[last]
    counts[0], counts[1], counts[2], counts[3] = size, volume, np.int64(quote_high), np.int64(quote_low)
    counts[4], counts[5], counts[6] = rows[3, first], rows[5, first], rows[6, first]
    counts[7], counts[8], counts[9] = rows[3, last], rows[5, last], rows[6, last]
    counts[10], counts[11] = (rows[0].min(), rows[0].max()) if numbered else (0, -1)


@_kernel("void(int64[:, ::1], int64[::1], int64[::1], boolean, float64[:, ::1], int64[:, ::1])")
def fold_runs(rows: Any, bounds: Any, price_scales: Any, numbered: bool, prices: Any, counts: Any) -> None:  # noqa: FBT001 - as above
    """`fold_run` of each run rows[:, bounds[i]:bounds[i + 1]] into line i of prices and counts."""
    for run in range(len(bounds) - 1):
        fold_run(rows[:, bounds[run] : bounds[run + 1]], _POWERS[price_scales[run]], numbered, prices[run], counts[run])
