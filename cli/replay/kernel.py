"""Compiled scanner of trade rows: bytes of CSV lines to integer columns. Plain fields only: the format knows no quotes."""

from typing import Any, Final

import numpy as np
from numba import njit

# Roles of a field, in the order of the output columns.
EVENT_TIME, SYMBOL, TRADE_ID, PRICE, QUANTITY, TRADE_TIME, MAKER, IGNORED = range(8)
# Why a row was refused.
GOOD, FIELD_COUNT, BAD_TIME, BAD_PRICE, BAD_QUANTITY, TOO_WIDE, BAD_FLAG, EMPTY_NAME = range(8)
REASONS: Final = {
    FIELD_COUNT: "a row has as many fields as the header",
    BAD_TIME: "event_time and trade_time must be UTC epoch milliseconds",
    BAD_PRICE: "price must be a finite decimal number > 0",
    BAD_QUANTITY: "quantity must be a finite decimal number > 0",
    TOO_WIDE: "price and quantity may have at most 18 digits",
    BAD_FLAG: "buyer_market_maker must be true or false",
    EMPTY_NAME: "symbol and trade_id must not be empty nor hold '#' or ':'",
}
_COMMA, _NEWLINE, _RETURN, _DOT, _ZERO, _NINE = 44, 10, 13, 46, 48, 57
_DIGITS_MAX: Final = 18
SYMBOLS_MAX: Final = 4096
_HASH_START: Final = 1469598103934665603
_HASH_PRIME: Final = 1099511628211


@njit(cache=True, nogil=True)
def _decimal(buffer: Any, start: int, end: int) -> tuple[int, int]:
    """Mantissa without trailing fractional zeros and its decimals; (-1, 0) malformed, (-2, 0) too wide."""
    value, decimals, digits, pending, seen_dot = 0, 0, 0, 0, False
    for i in range(start, end):
        c = buffer[i]
        if c == _DOT and not seen_dot:
            seen_dot = True
        elif c < _ZERO or c > _NINE:
            return -1, 0
        elif seen_dot and c == _ZERO:
            pending += 1
            digits += 1
        else:
            for _ in range(pending + 1):
                if value >= 10 ** (_DIGITS_MAX - 1):
                    return -2, 0
                value *= 10
            value += c - _ZERO
            if seen_dot:
                decimals += pending + 1
            pending = 0
            digits += 1
    return (value, decimals) if digits else (-1, 0)


@njit(cache=True, nogil=True)
def _integer(buffer: Any, start: int, end: int) -> int:
    """A non-negative integer of at most 18 digits without leading zeros; -1 where it is something else."""
    if end <= start or end - start > _DIGITS_MAX or (buffer[start] == _ZERO and end - start > 1):
        return -1
    value = 0
    for i in range(start, end):
        if buffer[i] < _ZERO or buffer[i] > _NINE:
            return -1
        value = value * 10 + (buffer[i] - _ZERO)
    return value


@njit(cache=True, nogil=True)
def _symbol(buffer: Any, start: int, end: int, hashes: Any, names: Any, count: int) -> int:
    """Position of the symbol in the table; count where it is new, -1 where the text is not allowed."""
    if end <= start:
        return -1
    value = np.uint64(_HASH_START)
    for i in range(start, end):
        if buffer[i] == 35 or buffer[i] == 58:  # noqa: PLR2004 - '#' and ':'; no tuples in kernels
            return -1
        value = (value ^ np.uint64(buffer[i])) * np.uint64(_HASH_PRIME)
    for known in range(count):
        if hashes[known] == value:
            return known
    if count < SYMBOLS_MAX:
        hashes[count] = value
        names[count, 0], names[count, 1] = start, end
    return count


@njit(cache=True, nogil=True)
def scan_rows(  # noqa: C901, PLR0912, PLR0915 - one pass over the bytes; splitting it would cost the speed it exists for
    buffer: Any, length: int, roles: Any, hashes: Any, names: Any, known_count: int, out: Any, status: Any, spans: Any
) -> tuple[int, int, int, bool]:
    """Read complete lines of `buffer[:length]`.

    roles:  role of each field. hashes, names, known_count: the symbol table; names get (start, end) of new symbols.
    out:    int64 (rows, 9), zeros: event_time, symbol, trade_id, price mantissa, price decimals, quantity mantissa, quantity
            decimals, trade_time, maker. status: why a row was refused, GOOD else. spans: (start, end) of the trade id.
    Returns (rows, bytes consumed, symbols known, whether every trade id was an integer). A row refused keeps its place.
    """
    row, position, symbol_count, ids_integer = 0, 0, known_count, True
    field_count = len(roles)
    field, start, code, cursor = 0, 0, GOOD, 0
    while cursor < length and row < len(status):
        c = buffer[cursor]
        if c != _COMMA and c != _NEWLINE:  # noqa: PLR1714 - sets and tuples are slow in kernels
            cursor += 1
            continue
        end = cursor
        if c == _NEWLINE and end > start and buffer[end - 1] == _RETURN:
            end -= 1
        role = roles[field] if field < field_count else IGNORED
        if role in (EVENT_TIME, TRADE_TIME):
            value = _integer(buffer, start, end)
            out[row, 0 if role == EVENT_TIME else 7] = value
            if value <= 0 or value >= 4102444800000:  # noqa: PLR2004 - the year 2100
                code = BAD_TIME
        elif role == SYMBOL:
            value = _symbol(buffer, start, end, hashes, names, symbol_count)
            out[row, 1] = value
            if value < 0 or value >= SYMBOLS_MAX:
                code = EMPTY_NAME
            elif value == symbol_count:
                symbol_count += 1
        elif role == TRADE_ID:
            value = _integer(buffer, start, end)
            out[row, 2] = value
            spans[row, 0], spans[row, 1] = start, end
            if value < 0:
                ids_integer = False
            if end <= start:
                code = EMPTY_NAME
        elif role in (PRICE, QUANTITY):
            mantissa, decimals = _decimal(buffer, start, end)
            at = 3 if role == PRICE else 5
            out[row, at], out[row, at + 1] = mantissa, decimals
            if mantissa == -2 or decimals > _DIGITS_MAX:  # noqa: PLR2004 - the decimal's own code
                code = TOO_WIDE
            elif mantissa <= 0:
                code = BAD_PRICE if role == PRICE else BAD_QUANTITY
        elif role == MAKER:
            size = end - start
            out[row, 8] = 1 if size == 4 and buffer[start] == 116 else 0  # noqa: PLR2004 - 't' of true
            if out[row, 8] == 0 and not (size == 5 and buffer[start] == 102):  # noqa: PLR2004 - 'f' of false
                code = BAD_FLAG
        field += 1
        cursor += 1
        start = cursor
        if c == _NEWLINE:
            status[row] = code if field == field_count else FIELD_COUNT
            row += 1
            position = cursor
            field, code = 0, GOOD
    return row, position, symbol_count, ids_integer
