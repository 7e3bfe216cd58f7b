"""Compiled scanner of trade rows: bytes of CSV lines to integer columns. Plain fields only: the format knows no quotes."""

from typing import Any, Final

import numpy as np
from numba import njit

# Roles of a field, in the order of the output columns.
EVENT_TIME, SYMBOL, TRADE_ID, PRICE, QUANTITY, TRADE_TIME, MAKER, IGNORED = range(8)
# Why a row was refused.
GOOD, FIELD_COUNT, BAD_TIME, BAD_PRICE, BAD_QUANTITY, TOO_WIDE, BAD_FLAG, BAD_SYMBOL, TOO_MANY, EMPTY_ID = range(10)
# What a trade id is, each kind holding the ones before it: a number below 2^63, a longer number, any text.
NUMBER, LONG_NUMBER, TEXT = range(3)
REASONS: Final = {
    FIELD_COUNT: "a row has as many fields as the header",
    BAD_TIME: "event_time and trade_time must be UTC epoch milliseconds",
    BAD_PRICE: "price must be a finite decimal number > 0",
    BAD_QUANTITY: "quantity must be a finite decimal number > 0",
    TOO_WIDE: "price and quantity may have at most 18 digits",
    BAD_FLAG: "buyer_market_maker must be true or false",
    BAD_SYMBOL: "symbol must be printable text without '#' or ':'",
    TOO_MANY: "a tape may hold at most 4096 symbols",
    EMPTY_ID: "trade_id must not be empty",
}
_COMMA, _NEWLINE, _RETURN, _DOT, _ZERO, _NINE = 44, 10, 13, 46, 48, 57
_DIGITS_MAX: Final = 18
ID_DIGITS_MAX: Final = 27  # longer numbers are texts
_INT64_MAX_TENTH: Final = 922_337_203_685_477_580  # 2^63 - 1 without its last digit, which is 7
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
def _identity(buffer: Any, start: int, end: int) -> tuple[int, int]:
    """A trade id's value and kind; leading zeros do not count; the value is 0 where the kind is not NUMBER."""
    for i in range(start, end):
        if buffer[i] < _ZERO or buffer[i] > _NINE:
            return 0, TEXT
    while end - start > 1 and buffer[start] == _ZERO:
        start += 1
    if end - start > ID_DIGITS_MAX:
        return 0, TEXT
    if end - start > _DIGITS_MAX + 1:
        return 0, LONG_NUMBER
    value = 0
    for i in range(start, end):
        digit = buffer[i] - _ZERO
        if value > _INT64_MAX_TENTH or (value == _INT64_MAX_TENTH and digit > 7):  # noqa: PLR2004 - 2^63 - 1 ends in 7
            return 0, LONG_NUMBER
        value = value * 10 + digit
    return value, NUMBER


@njit(cache=True, nogil=True)
def _symbol(buffer: Any, start: int, end: int, hashes: Any, names: Any, count: int, unprintable: Any) -> int:
    """Position of the symbol in the table; count where it is new, -1 where the text is not allowed."""
    if end <= start:
        return -1
    value = np.uint64(_HASH_START)
    for i in range(start, end):
        c = buffer[i]
        if c < 32 or c == 127 or c == 35 or c == 58:  # noqa: PLR2004, PLR1714 - control, '#', ':'; no tuples in kernels
            return -1
        value = (value ^ np.uint64(c)) * np.uint64(_HASH_PRIME)
    for i in range(len(unprintable)):
        if unprintable[i] == value:
            return -1
    for known in range(count):
        if hashes[known] == value:
            return known
    if count < SYMBOLS_MAX:
        hashes[count] = value
        names[count, 0], names[count, 1] = start, end
    return count


@njit(cache=True, nogil=True)
def scan_rows(  # noqa: C901, PLR0912, PLR0915 - one pass over the bytes; splitting it would cost the speed it exists for
    buffer: Any,
    length: int,
    roles: Any,
    hashes: Any,
    unprintable: Any,
    names: Any,
    known_count: int,
    out: Any,
    status: Any,
    spans: Any,
) -> tuple[int, int, int, int]:
    """Read complete lines of `buffer[:length]`.

    roles:  role of each field. hashes, names, known_count: the symbol table; names get (start, end) of new symbols.
    unprintable: hashes of symbols beyond ASCII that are refused.
    out:    int64 (rows, 9), zeros: event_time, symbol, trade_id, price mantissa, price decimals, quantity mantissa, quantity
            decimals, trade_time, maker. status: why a row was refused, GOOD else. spans: (start, end) of the trade id.
    Returns (rows, bytes consumed, symbols known, the widest kind of the good rows' ids). A row refused keeps its place and
    makes no symbol known.
    """
    row, position, symbol_count, ids_kind = 0, 0, known_count, NUMBER
    field_count = len(roles)
    row_kind, row_symbols = NUMBER, known_count
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
            value = _symbol(buffer, start, end, hashes, names, symbol_count, unprintable)
            out[row, 1] = value
            if value < 0:
                code = BAD_SYMBOL
            elif value >= SYMBOLS_MAX:
                code = TOO_MANY
            elif value == symbol_count:
                row_symbols = symbol_count + 1
        elif role == TRADE_ID:
            out[row, 2], row_kind = _identity(buffer, start, end)
            spans[row, 0], spans[row, 1] = start, end
            if end <= start:
                code = EMPTY_ID
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
            if status[row] == GOOD:
                symbol_count = row_symbols
                ids_kind = max(ids_kind, row_kind)
            row_kind, row_symbols = NUMBER, symbol_count
            row += 1
            position = cursor
            field, code = 0, GOOD
    return row, position, symbol_count, ids_kind


@njit(cache=True, nogil=True)
def ids_rise(ids: Any, symbol_index: Any, last_ids: Any) -> bool:
    """Whether every id is above all earlier ones of its symbol; `last_ids`, the highest per symbol, is brought up to date."""
    rising = True
    for row in range(len(ids)):
        symbol = symbol_index[row]
        if ids[row] > last_ids[symbol]:
            last_ids[symbol] = ids[row]
        else:
            rising = False
    return rising
