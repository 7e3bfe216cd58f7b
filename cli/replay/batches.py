"""A tape's chunks as the batches an ingestion would have published: event time decides, row by row.

The watermark after a row is the greatest event_time read so far minus the lateness. A batch ends at the row that lifts
the watermark over a minute's end, so that what closes, and which trade comes late, does not depend on chunk sizes.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from cli.replay.reader import EMPTY_CHUNK, TapeChunk, TapeError, TapeReader
from shared.domain.timeframe import MINUTE_MS, minute_ms
from shared.domain.trades import IntColumn, TradeBatch, TradeSource

LATENESS_MS: Final = 3_000
SESSION: Final = "replay"
_POWERS_OF_TEN: Final = np.array([10**exponent for exponent in range(19)], dtype=np.int64)
_UNITS_MAX: Final = 2**63 - 1


class BatchMaker:
    """Cuts one tape into batches of one session. `last_minute_ms` is the tape's last minute with a trade so far."""

    def __init__(self, reader: TapeReader, exchange: str, *, lateness_ms: int = LATENESS_MS) -> None:
        self._reader = reader
        self._exchange = exchange
        self.lateness_ms = lateness_ms
        self._sequence = 0
        self._event_time_max_ms = 0
        self._started_at_ms = 0
        self._covers_from_ms = 0
        self._last_trade_ms = 0
        self._ties: dict[tuple[int, int], int] = {}
        self._price_scales: list[int] = []
        self._quantity_scales: list[int] = []
        self.trade_count = 0
        self.watermark_ms = 0

    @property
    def last_minute_ms(self) -> int:
        """Open time of the tape's last minute; 0 for a tape without trades."""
        return minute_ms(self._last_trade_ms)

    def batches(self) -> Iterator[TradeBatch]:
        """Every trade of the tape; at the end an empty batch that vouches for all but the last minute."""
        for chunk in self._reader.chunks():
            yield from self._of_chunk(chunk)
        if self.trade_count:
            self.watermark_ms = max(self.watermark_ms, self.last_minute_ms)
            yield self._batch(EMPTY_CHUNK, slice(0, 0), EMPTY_CHUNK.symbol_index)

    def _of_chunk(self, chunk: TapeChunk) -> Iterator[TradeBatch]:
        if not self._started_at_ms:
            self._started_at_ms = int(chunk.event_time_ms[0])
            # The recording began somewhere inside this minute: it is never vouched for, whatever its first trade's time.
            self._covers_from_ms = minute_ms(int(chunk.trade_time_ms[0])) + MINUTE_MS
        self._grow_scales(chunk)
        newest_ms = np.maximum(np.maximum.accumulate(chunk.event_time_ms), self._event_time_max_ms)
        minute = (newest_ms - self.lateness_ms) // MINUTE_MS
        before = (self._event_time_max_ms - self.lateness_ms) // MINUTE_MS
        crossings = np.flatnonzero(np.diff(minute, prepend=before if self._event_time_max_ms else minute[0])) + 1
        tie_rank = self._tie_ranks(chunk)
        start = 0
        for end in [*crossings.tolist(), len(minute)]:
            if end > start:
                self._event_time_max_ms = int(newest_ms[end - 1])
                self.watermark_ms = max(0, self._event_time_max_ms - self.lateness_ms)
                self._last_trade_ms = max(self._last_trade_ms, int(chunk.trade_time_ms[start:end].max()))
                self.trade_count += end - start
                yield self._batch(chunk, slice(start, end), tie_rank)
            start = end

    def _batch(self, chunk: TapeChunk, rows: slice, tie_rank: IntColumn) -> TradeBatch:
        symbols = tuple(self._reader.symbols[: len(self._price_scales)])
        price_scales, quantity_scales = tuple(self._price_scales), tuple(self._quantity_scales)
        trade_id = chunk.trade_id[rows]
        batch = TradeBatch(
            exchange=self._exchange,
            session=SESSION,
            session_started_at_ms=self._started_at_ms,
            sequence=self._sequence,
            source=TradeSource.STREAM,
            covers_from_ms=self._covers_from_ms,
            watermark_ms=self.watermark_ms,
            symbols=symbols,
            price_scales=price_scales,
            quantity_scales=quantity_scales,
            symbol_index=chunk.symbol_index[rows],
            trade_id=trade_id,
            price=chunk.price[rows],
            quantity_units=self._quantity_units(chunk, rows),
            traded_at_ms=chunk.trade_time_ms[rows],
            taker_is_buyer=chunk.taker_is_buyer[rows],
            venue_sequence=trade_id if trade_id.dtype == np.int64 else np.zeros(len(trade_id), dtype=np.int64),
            tie_rank=tie_rank[rows],
        )
        self._sequence += 1
        return batch

    def _quantity_units(self, chunk: TapeChunk, rows: slice) -> IntColumn:
        scale = np.array(self._quantity_scales, dtype=np.int64)[chunk.symbol_index[rows]]
        factor = _POWERS_OF_TEN[scale - chunk.quantity_decimals[rows]]
        mantissa = chunk.quantity_mantissa[rows]
        if (mantissa > _UNITS_MAX // factor).any():
            row = int(np.argmax(mantissa > _UNITS_MAX // factor)) + (rows.start or 0)
            symbol = self._reader.symbols[int(chunk.symbol_index[row])]
            raise TapeError(
                f"a quantity in steps of 10^-{scale[row - (rows.start or 0)]} must fit 64 bits, was "
                f"{chunk.quantity_mantissa[row]}e-{chunk.quantity_decimals[row]} "
                f"({self._reader.path} symbol={symbol} trade_id={chunk.trade_id[row]})"
            )
        units: IntColumn = mantissa * factor
        return units

    def _grow_scales(self, chunk: TapeChunk) -> None:
        """A symbol's scales are the most decimals any of its values has needed so far."""
        for scales, decimals in (
            (self._price_scales, chunk.price_decimals),
            (self._quantity_scales, chunk.quantity_decimals),
        ):
            most = np.zeros(chunk.symbol_count, dtype=np.int64)
            most[: len(scales)] = scales
            np.maximum.at(most, chunk.symbol_index, decimals)
            scales[:] = most.tolist()

    def _tie_ranks(self, chunk: TapeChunk) -> IntColumn:
        """Numeric ids order trades by themselves; texts do not, so that the file's order breaks ties of time."""
        ranks = np.zeros(len(chunk.trade_time_ms), dtype=np.int64)
        if chunk.trade_id.dtype != object:
            return ranks
        keys = zip(chunk.symbol_index.tolist(), chunk.trade_time_ms.tolist(), strict=True)
        for row, key in enumerate(keys):
            ranks[row] = self._ties.get(key, 0)
            self._ties[key] = int(ranks[row]) + 1
        return ranks
