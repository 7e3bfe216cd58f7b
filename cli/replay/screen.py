"""Compiled checks of rows against their neighbours: times that fit the tape, values that fit their symbol's scale.

Both go row by row and keep what they know in arrays of the caller, so that chunk sizes change nothing.
"""

from typing import Any, Final

import msgspec
import numpy as np
from numba import njit

from cli.replay.kernel import GOOD

# Continues the codes of the scanner.
TIMES_APART, AHEAD, BEHIND, FIRST_ALONE, PRICE_STEPS, QUANTITY_STEPS = range(100, 106)
CONFIRMING_ROWS: Final = 8
_PRICE, _QUANTITY = 0, 1
# The batch's own check multiplies in float64, which rounds: two steps of distance keep it below 2^53.
_UNITS_MAX: Final = (2**53 - 4, 2**63 - 1)
_FITTING: Final = np.array([[most // 10**more for more in range(19)] for most in _UNITS_MAX], dtype=np.int64)
_POWERS: Final = np.array([10**exponent for exponent in range(19)], dtype=np.int64)


class TimeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How far a row's times may lie from where the tape is; recorded tapes stay within 3 s and 2 h 15 min (a halt).

    apart_ms: largest difference between a row's event_time and trade_time.
    jump_ms:  an event_time further ahead of the newest one is believed only when the next rows agree; one further behind
              never.
    """

    apart_ms: int = 3_600_000
    jump_ms: int = 24 * 3_600_000

    def reason(self, code: int, by_ms: int) -> str:
        """The rule that a row broke, with the value; `by_ms` as `screen_times` reports it."""
        return {
            TIMES_APART: f"event_time and trade_time may differ by {self.apart_ms} ms, event_time was {by_ms} ms later",
            AHEAD: f"event_time may jump by {self.jump_ms} ms unless the next rows do too, was {by_ms} ms ahead",
            BEHIND: f"event_time may be {self.jump_ms} ms behind the newest one, was {-by_ms} ms behind",
            FIRST_ALONE: f"the first event_time may be {self.jump_ms} ms from the next rows', was {by_ms} ms later",
            PRICE_STEPS: "a price in steps of its symbol's most decimals must be below 2^53, like those before it",
            QUANTITY_STEPS: "a quantity in steps of its symbol's most decimals must fit 64 bits, like those before it",
        }[code]


@njit(cache=True, nogil=True)
def _good_after(status: Any, row: int, rows: int) -> int:
    row += 1
    while row < rows and status[row] != GOOD:
        row += 1
    return row


@njit(cache=True, nogil=True)
def _first_alone(out: Any, status: Any, row: int, rows: int, jump_ms: int, final: bool) -> int:
    """1 where the next two rows agree with each other but not with this one, 0 where not, -1 where more rows must come."""
    second = _good_after(status, row, rows)
    third = _good_after(status, second, rows) if second < rows else rows
    if third >= rows:
        return 0 if final else -1
    near = abs(out[second, 0] - out[third, 0]) <= jump_ms
    far = abs(out[second, 0] - out[row, 0]) > jump_ms and abs(out[third, 0] - out[row, 0]) > jump_ms
    return 1 if near and far else 0


@njit(cache=True, nogil=True)
def _jump_alone(
    out: Any,
    status: Any,
    row: int,
    rows: int,
    newest_ms: int,
    jump_ms: int,
    final: bool,
) -> int:
    """1 where one of the next rows is back at the old time or there is none, 0 where not, -1 where more must come."""
    after, seen = row, 0
    while seen < CONFIRMING_ROWS:
        after = _good_after(status, after, rows)
        if after >= rows:
            if not final:
                return -1
            return 1 if seen == 0 else 0
        at_ms = out[after, 0]
        if at_ms >= newest_ms - jump_ms:  # else it is wrong itself and says nothing
            if out[row, 0] - at_ms > at_ms - newest_ms:
                return 1
            seen += 1
    return 0


@njit(cache=True, nogil=True)
def screen_times(  # noqa: C901 - one pass over the rows, each rule named once
    out: Any,
    status: Any,
    rows: int,
    newest: Any,
    apart_ms: int,
    jump_ms: int,
    final: bool,
    by_ms: Any,
) -> int:
    """Set the status of rows whose times cannot be; `by_ms` gets by how much.

    out, status: of `scan_rows`. newest: int64 (1,), the newest event_time accepted, 0 before the first.
    Returns how many rows are decided: a row that waits for those after it ends them, unless this is the `final` call.
    """
    for row in range(rows):
        if status[row] == GOOD and abs(out[row, 0] - out[row, 7]) > apart_ms:
            status[row], by_ms[row] = TIMES_APART, out[row, 0] - out[row, 7]
    for row in range(rows):
        if status[row] != GOOD:
            continue
        ahead_ms = out[row, 0] - newest[0]
        alone, code = 0, AHEAD
        if newest[0] == 0:
            alone, code = _first_alone(out, status, row, rows, jump_ms, final), FIRST_ALONE
            if alone == 1:
                ahead_ms = out[row, 0] - out[_good_after(status, row, rows), 0]
        elif ahead_ms > jump_ms:
            alone = _jump_alone(out, status, row, rows, newest[0], jump_ms, final)
        elif ahead_ms < -jump_ms:
            alone, code = 1, BEHIND
        if alone < 0:
            return row
        if alone == 1:
            status[row], by_ms[row] = code, ahead_ms
        else:
            newest[0] = max(newest[0], out[row, 0])
    return rows


@njit(cache=True, nogil=True)
def _fits(mantissa: int, decimals: int, scale: int, largest: int, kind: int) -> bool:
    """Whether the value and the largest one so far are below the limit in steps of the finer of both scales."""
    if decimals > scale:
        return mantissa <= _FITTING[kind, 0] and largest <= _FITTING[kind, decimals - scale]  # type: ignore[no-any-return]  # Any array
    return mantissa <= _FITTING[kind, scale - decimals]  # type: ignore[no-any-return]  # Any array


@njit(cache=True, nogil=True)
def _take(mantissa: int, decimals: int, scale: int, largest: int) -> tuple[int, int]:
    """Scale and largest value with this one."""
    if decimals > scale:
        return decimals, max(largest * _POWERS[decimals - scale], mantissa)
    return scale, max(largest, mantissa * _POWERS[scale - decimals])


@njit(cache=True, nogil=True)
def screen_scales(out: Any, status: Any, rows: int, scales: Any, largest: Any) -> None:
    """Refuse a row whose price or quantity cannot stand beside its symbol's earlier ones in one scale.

    scales, largest: int64 (symbols, 2) for price and quantity: most decimals so far, largest value in steps of them.
    """
    for row in range(rows):
        if status[row] != GOOD:
            continue
        symbol = out[row, 1]
        for kind in range(2):
            at = 3 + 2 * kind
            if not _fits(out[row, at], out[row, at + 1], scales[symbol, kind], largest[symbol, kind], kind):
                status[row] = PRICE_STEPS if kind == _PRICE else QUANTITY_STEPS
        if status[row] == GOOD:
            for kind in range(2):
                at = 3 + 2 * kind
                scales[symbol, kind], largest[symbol, kind] = _take(
                    out[row, at], out[row, at + 1], scales[symbol, kind], largest[symbol, kind]
                )
