"""What every batch of the tape said of itself, heartbeats too: with it a live day can be played again as it came."""

from collections.abc import Iterable
from typing import Final

import msgspec

from shared.domain.timeframe import minute_ms
from shared.domain.trades import TradeBatch, TradeSource
from shared.store.port import Store, Write, key_of

TABLE: Final = "market-batches"
_LAYOUT: Final = b"\x01"


class BatchRecord(msgspec.Struct, frozen=True, array_like=True):
    """A batch without its trades, which are on the tape under (session, sequence)."""

    exchange: str
    session: str
    session_started_at_ms: int
    sequence: int
    source: TradeSource
    symbols: tuple[str, ...]
    price_scales: tuple[int, ...]
    quantity_scales: tuple[int, ...]
    covers_from_ms: int
    watermark_ms: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(BatchRecord)


class BatchStore:
    """Rows exchange#<minute of the watermark>#<session>#<sequence>; a key always gets the same value."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def writes_of(self, batches: Iterable[TradeBatch]) -> list[Write]:
        """The writes that keep what the batches say."""
        return [
            Write(
                table=TABLE,
                key=key_of(batch.exchange, minute_ms(batch.watermark_ms), batch.session, batch.sequence),
                value=_LAYOUT
                + _ENCODER.encode(
                    BatchRecord(
                        batch.exchange,
                        batch.session,
                        batch.session_started_at_ms,
                        batch.sequence,
                        batch.source,
                        batch.symbols,
                        batch.price_scales,
                        batch.quantity_scales,
                        batch.covers_from_ms,
                        batch.watermark_ms,
                    )
                ),
            )
            for batch in batches
        ]

    async def between(self, exchange: str, start_ms: int, end_ms: int) -> list[BatchRecord]:
        """Batches whose watermark lies in start <= minute < end, in the order in which their watermarks rose."""
        rows = await self._store.scan(TABLE, key_of(exchange, start_ms), key_of(exchange, end_ms))
        records = [_DECODER.decode(row.value[1:]) for row in rows]
        return sorted(records, key=lambda one: (one.watermark_ms, one.session_started_at_ms, one.session, one.sequence))
