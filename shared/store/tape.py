"""The tape on the store: one row per batch, symbol and minute, packed; beside them what was ruled out, and why.

Key exchange#symbol#<minute>#<session>#<sequence>. Value: layout byte, a MessagePack header with its length in four
bytes, then the columns, little endian. An exclusion's key has '!' where the session stands.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from shared.domain.errors import InvalidValueError
from shared.domain.exclusions import Exclusion, TapeMinute
from shared.domain.identity import digest_text
from shared.domain.minute_trades import MinuteTrades
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
_ENCODER: Final = msgspec.msgpack.Encoder()


class _Header(msgspec.Struct, frozen=True, array_like=True):
    rows: int
    session_started_at_ms: int
    refill: bool
    price_scale: int
    quantity_scale: int
    texts: tuple[str, ...] | None  # trade ids, where they are no integers


_HEADERS: Final = msgspec.msgpack.Decoder(_Header)
_EXCLUSIONS: Final = msgspec.msgpack.Decoder(Exclusion)
# tie_rank counts trades of one instant, the time is an offset in the minute: both fit narrower columns.
_COLUMNS: Final[tuple[tuple[str, Any], ...]] = (
    ("price", np.dtype("<f8")),
    ("quantity_units", np.dtype("<i8")),
    ("venue_sequence", np.dtype("<i8")),
    ("tie_rank", np.dtype("<i4")),
    ("traded_at_ms", np.dtype("<u2")),
    ("taker_is_buyer", np.dtype("?")),
)


class TapeStore:
    """Reads and writes the tape. Rows are idempotent: one key always has one value, so that no fence is needed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write_of(self, piece: MinuteTrades) -> Write:
        """The write that keeps the piece."""
        key = f"{piece.exchange}#{piece.symbol}#{piece.minute_ms:015d}#{piece.session}#{piece.sequence:015d}"
        return Write(table=TABLE, key=key, value=pack(piece))

    def exclusion_of(self, exchange: str, symbol: str, minute_ms: int, exclusion: Exclusion) -> Write:
        """The write that rules a trade out in this minute."""
        digest = digest_text((exclusion.trade_id, *exclusion.winner), length=16)
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


def pack(piece: MinuteTrades) -> bytes:
    """The piece as bytes; what the key says (exchange, symbol, minute, session, sequence) is not repeated."""
    texts = tuple(piece.trade_id.tolist()) if piece.trade_id.dtype == object else None
    header = _ENCODER.encode(
        _Header(
            len(piece),
            piece.session_started_at_ms,
            piece.source is TradeSource.REFILL,
            piece.price_scale,
            piece.quantity_scale,
            texts,
        )
    )
    parts = (
        _LAYOUT_TRADES,
        len(header).to_bytes(_HEADER_LENGTH_BYTES, "little"),
        header,
        b"" if texts is not None else piece.trade_id.tobytes(),
        piece.price.tobytes(),
        piece.quantity_units.tobytes(),
        piece.venue_sequence.tobytes(),
        piece.tie_rank.astype("<i4").tobytes(),
        (piece.traded_at_ms - piece.minute_ms).astype("<u2").tobytes(),
        piece.taker_is_buyer.tobytes(),
    )
    return b"".join(parts)


def unpack(value: bytes, exchange: str, symbol: str, minute_ms: int, session: str, sequence: int) -> MinuteTrades:
    """The piece that `pack` packed under this key."""
    start = 1 + _HEADER_LENGTH_BYTES
    length = int.from_bytes(value[1:start], "little")
    header = _HEADERS.decode(value[start : start + length])
    offset = start + length
    if header.texts is None:
        ids = np.frombuffer(value, dtype="<i8", count=header.rows, offset=offset)
        offset += ids.nbytes
    else:
        ids = id_column(list(header.texts))
    columns = {}
    for name, dtype in _COLUMNS:
        columns[name] = np.frombuffer(value, dtype=dtype, count=header.rows, offset=offset)
        offset += columns[name].nbytes
    columns["tie_rank"] = columns["tie_rank"].astype(np.int64)
    columns["traded_at_ms"] = columns["traded_at_ms"].astype(np.int64) + minute_ms
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
        trade_id=ids,
        **columns,
    )


def _reported_key(exchange: str, symbol: str, minute_ms: int, conflict: Sequence[object]) -> str:
    return key_of(exchange, symbol, minute_ms, _MARK, "reported", digest_text(conflict, length=16))


def _place(row: Row) -> str:
    return f"{TABLE} {row.key}"


assert MINUTE_MS <= 1 << 16  # noqa: S101 - the offset column holds a minute's milliseconds
