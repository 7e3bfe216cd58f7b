"""The tape on the store: one row per batch, symbol and minute, packed; beside them what was ruled out, and why.

Key exchange#symbol#<minute>#<session>#<sequence>. Value: layout byte, a MessagePack header with its length in four
bytes, then one record per trade, little endian. An exclusion's key has '!' where the session stands.
"""

from collections.abc import Sequence
from enum import IntFlag
from functools import cache, lru_cache
from typing import Any, Final

import msgspec
import numpy as np

from shared.domain.errors import InvalidValueError
from shared.domain.exclusions import Exclusion, TapeMinute
from shared.domain.identity import digest_text
from shared.domain.minute_trades import BUYER, ID, PRICE, QUANTITY, ROW_COUNT, SEQUENCE, TIE, TIME, MinuteTrades
from shared.domain.timeframe import MINUTE_MS
from shared.domain.trades import TradeSource, id_column
from shared.store.port import Row, Store, Write, key_of

TABLE: Final = "market-trades"
_TRADES: Final = 1
_EXCLUSION: Final = 2
_REPORTED: Final = 3
_LAYOUT_TRADES: Final = bytes([_TRADES])
_MARK: Final = "!"
_HEADER_LENGTH_BYTES: Final = 4
_NARROW_MAX: Final = 2**32 - 1
_ENCODER: Final = msgspec.msgpack.Encoder()


class _Layout(IntFlag):
    """What the records of a row leave out or keep narrow, so that a usual trade takes half the room."""

    PLAIN = 0
    TEXT_IDS = 1  # in the header instead
    NARROW_IDS = 2  # 32 bits
    SEQUENCE_IS_ID = 4
    NO_TIES = 8
    NARROW_QUANTITIES = 16


class _Header(msgspec.Struct, frozen=True, array_like=True):
    rows: int
    layout: int
    session_started_at_ms: int
    refill: bool
    price_scale: int
    quantity_scale: int
    texts: tuple[str, ...] | None  # trade ids, where they are no integers


_HEADERS: Final = msgspec.msgpack.Decoder(_Header)
_EXCLUSIONS: Final = msgspec.msgpack.Decoder(Exclusion)


@cache
def _record(layout: _Layout) -> np.dtype[np.void]:
    """One trade. tie_rank counts trades of one instant, the time is an offset in the minute: both fit less than 64 bits."""
    fields = [("price", "<f8"), ("traded_at_ms", "<u2"), ("taker_is_buyer", "?")]
    fields.append(("quantity_units", "<u4" if _Layout.NARROW_QUANTITIES in layout else "<i8"))
    if _Layout.TEXT_IDS not in layout:
        fields.append(("trade_id", "<u4" if _Layout.NARROW_IDS in layout else "<i8"))
    if _Layout.SEQUENCE_IS_ID not in layout:
        fields.append(("venue_sequence", "<i8"))
    if _Layout.NO_TIES not in layout:
        fields.append(("tie_rank", "<i4"))
    return np.dtype(fields)


class TapeStore:
    """Reads and writes the tape. Rows are idempotent: one key always has one value, so that no fence is needed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def writes_of(self, pieces: Sequence[MinuteTrades]) -> list[Write]:
        """The writes that keep the pieces."""
        return [
            Write(
                table=TABLE,
                key=f"{piece.exchange}#{piece.symbol}#{piece.minute_ms:015d}#{piece.session}#{piece.sequence:015d}",
                value=value,
            )
            for piece, value in zip(pieces, pack(pieces), strict=True)
        ]

    def exclusion_of(self, exchange: str, symbol: str, minute_ms: int, exclusion: Exclusion) -> Write:
        """The write that rules a trade out in this minute."""
        digest = digest_text((exclusion.trade_id, *exclusion.winner, exclusion.winner_minute_ms), length=16)
        key = key_of(exchange, symbol, minute_ms, _MARK, "excluded", digest)
        return Write(table=TABLE, key=key, value=bytes([_EXCLUSION]) + _ENCODER.encode(exclusion))

    async def load(self, exchange: str, symbol: str, start_ms: int, end_ms: int) -> dict[int, TapeMinute]:
        """The minutes with start <= minute < end that have rows, oldest first."""
        rows = await self._store.scan(TABLE, key_of(exchange, symbol, start_ms), key_of(exchange, symbol, end_ms))
        minutes: dict[int, TapeMinute] = {}
        for row in rows:
            _, _, minute, session, *rest = row.key.split("#")
            kept = minutes.setdefault(int(minute), TapeMinute([], []))
            kind = row.value[0]
            if kind == _TRADES:
                kept.pieces.append(unpack(row.value, exchange, symbol, int(minute), session, int(rest[0])))
            elif kind == _EXCLUSION:
                kept.exclusions.append(_EXCLUSIONS.decode(row.value[1:]))
            elif kind != _REPORTED:
                raise InvalidValueError(f"a tape row's layout must be 1..3, was {kind} ({_place(row)})")
        return minutes

    async def is_reported(self, exchange: str, symbol: str, minute_ms: int, conflict: Sequence[object]) -> bool:
        """Whether the conflict was dead-lettered before."""
        return await self._store.get(TABLE, _reported_key(exchange, symbol, minute_ms, conflict)) is not None

    async def mark_reported(self, exchange: str, symbol: str, minute_ms: int, conflict: Sequence[object]) -> None:
        """Remember that the conflict was dead-lettered."""
        key = _reported_key(exchange, symbol, minute_ms, conflict)
        await self._store.write([Write(table=TABLE, key=key, value=bytes([_REPORTED]))])


def pack(pieces: Sequence[MinuteTrades]) -> list[bytes]:
    """Each piece as bytes, without what its key says (exchange, symbol, minute, session, sequence).

    The records of all pieces are made in one pass: a batch brings dozens of small ones.
    """
    if not pieces:
        return []
    texts = pieces[0].texts is not None
    if any((piece.texts is not None) != texts for piece in pieces):
        return [packed for piece in pieces for packed in pack([piece])]
    rows = np.concatenate([piece.rows for piece in pieces], axis=1)
    columns = {
        "price": rows[PRICE].view(np.float64),
        "traded_at_ms": rows[TIME] % MINUTE_MS,
        "taker_is_buyer": rows[BUYER],
        "quantity_units": rows[QUANTITY],
        "trade_id": rows[ID],
        "venue_sequence": rows[SEQUENCE],
        "tie_rank": rows[TIE],
    }
    layout = _layout_of(columns, texts=texts)
    records = np.empty(rows.shape[1], _record(layout))
    for name in records.dtype.names or ():
        records[name] = columns[name]
    data, width = records.tobytes(), records.dtype.itemsize
    values, start = [], 0
    kind = int(layout)
    for piece in pieces:
        count = len(piece)
        end = start + count * width
        values.append(_head(piece, count, kind) + data[start:end])
        start = end
    return values


def _layout_of(columns: dict[str, Any], *, texts: bool) -> _Layout:
    ids, layout = columns["trade_id"], _Layout.PLAIN
    if texts:
        layout |= _Layout.TEXT_IDS
    else:
        if ids.min() >= 0 and ids.max() <= _NARROW_MAX:
            layout |= _Layout.NARROW_IDS
        if np.array_equal(ids, columns["venue_sequence"]):
            layout |= _Layout.SEQUENCE_IS_ID
    if not columns["tie_rank"].any():
        layout |= _Layout.NO_TIES
    if columns["quantity_units"].max() <= _NARROW_MAX:
        layout |= _Layout.NARROW_QUANTITIES
    return layout


def _head(piece: MinuteTrades, count: int, layout: int) -> bytes:
    """What stands before a piece's records."""
    refill = piece.source is TradeSource.REFILL
    scales = (piece.price_scale, piece.quantity_scale)
    if piece.texts is None:
        return _numbered_head(count, layout, piece.session_started_at_ms, refill, *scales)
    texts = tuple(piece.texts.tolist())
    return _encoded(_Header(count, layout, piece.session_started_at_ms, refill, *scales, texts))


@lru_cache(maxsize=4_096)  # the pieces of a session are alike in all but their lengths
def _numbered_head(*parts: int) -> bytes:
    return _encoded(_Header(parts[0], parts[1], parts[2], bool(parts[3]), parts[4], parts[5], None))


def _encoded(header: _Header) -> bytes:
    encoded = _ENCODER.encode(header)
    return _LAYOUT_TRADES + len(encoded).to_bytes(_HEADER_LENGTH_BYTES, "little") + encoded


def unpack(value: bytes, exchange: str, symbol: str, minute_ms: int, session: str, sequence: int) -> MinuteTrades:
    """The piece that `pack` packed under this key."""
    start = 1 + _HEADER_LENGTH_BYTES
    end = start + int.from_bytes(value[1:start], "little")
    header = _HEADERS.decode(value[start:end])
    layout = _Layout(header.layout)
    records = np.frombuffer(value, dtype=_record(layout), count=header.rows, offset=end)
    count = header.rows
    numbers = np.zeros(count, dtype=np.int64) if header.texts is not None else records["trade_id"]
    rows = np.empty((ROW_COUNT, count), dtype=np.int64)
    rows[ID] = numbers
    rows[PRICE] = np.ascontiguousarray(records["price"]).view(np.int64)
    rows[QUANTITY] = records["quantity_units"]
    rows[TIME] = records["traded_at_ms"]
    rows[TIME] += minute_ms
    rows[BUYER] = records["taker_is_buyer"]
    rows[SEQUENCE] = numbers if _Layout.SEQUENCE_IS_ID in layout else records["venue_sequence"]
    rows[TIE] = 0 if _Layout.NO_TIES in layout else records["tie_rank"]
    return MinuteTrades(
        exchange=exchange,
        symbol=symbol,
        minute_ms=minute_ms,
        session=session,
        session_started_at_ms=header.session_started_at_ms,
        sequence=sequence,
        source=TradeSource.REFILL if header.refill else TradeSource.STREAM,
        price_scale=header.price_scale,
        quantity_scale=header.quantity_scale,
        rows=rows,
        texts=id_column(list(header.texts)) if header.texts is not None else None,
    )


def _reported_key(exchange: str, symbol: str, minute_ms: int, conflict: Sequence[object]) -> str:
    return key_of(exchange, symbol, minute_ms, _MARK, "reported", digest_text(conflict, length=16))


def _place(row: Row) -> str:
    return f"{TABLE} {row.key}"


assert MINUTE_MS <= 1 << 16  # noqa: S101 - the offset column holds a minute's milliseconds
