"""Marks of the auditor on candle revisions: equal to the venue's kline, or how they differ. A mark is no revision."""

from collections.abc import Iterable
from typing import Final

import msgspec

from shared.domain.kline_rules import Difference
from shared.domain.timeframe import Timeframe
from shared.store.port import Store, Write, key_of

TABLE: Final = "candle-audits"
_LAYOUT: Final = b"\x01"


class AuditMark(msgspec.Struct, frozen=True, array_like=True):
    """What the comparison of one revision of a candle said; no difference: verified."""

    exchange: str
    symbol: str
    open_time_ms: int
    revision: int
    differences: tuple[Difference, ...] = ()
    timeframe: Timeframe = Timeframe.M1

    @property
    def is_verified(self) -> bool:
        """Whether the revision equals the venue's kline."""
        return not self.differences


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(AuditMark)


class AuditStore:
    """Reads and writes marks, exchange#symbol#<open time>, of roll-ups exchange#symbol#<timeframe>#<open time>; the newest
    revision's replaces an older one.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def mark(self, marks: Iterable[AuditMark], *, fence: int | None) -> None:
        """Keep the marks."""
        writes = [
            Write(
                table=TABLE,
                key=key_of(*_series(mark.exchange, mark.symbol, mark.timeframe), mark.open_time_ms),
                value=_LAYOUT + _ENCODER.encode(mark),
                fence=fence,
            )
            for mark in marks
        ]
        if writes:
            await self._store.write(writes)

    async def between(
        self, exchange: str, symbol: str, start_ms: int, end_ms: int, *, timeframe: Timeframe = Timeframe.M1
    ) -> dict[int, AuditMark]:
        """The marks with start <= open time < end, by open time."""
        series = _series(exchange, symbol, timeframe)
        rows = await self._store.scan(TABLE, key_of(*series, start_ms), key_of(*series, end_ms))
        marks = [_DECODER.decode(row.value[1:]) for row in rows]
        return {mark.open_time_ms: mark for mark in marks}


def _series(exchange: str, symbol: str, timeframe: Timeframe) -> tuple[str, ...]:
    return (exchange, symbol) if timeframe is Timeframe.M1 else (exchange, symbol, timeframe.value)
