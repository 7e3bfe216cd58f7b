"""A tape's chunks as the batches an ingestion would have published: event time decides, row by row.

The watermark after a row is the greatest event_time read so far minus the lateness; a step is a row that lifts it over a
minute's end. A chunk in which nothing depends on where it is cut (no trade comes late, early or twice) is one batch; any
other is cut at every step. So what closes, and which trade comes late, does not depend on chunk sizes.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from cli.replay import kernel
from cli.replay.reader import EMPTY_CHUNK, TapeChunk, TapeReader
from shared.domain.timeframe import MINUTE_MS, minute_ms
from shared.domain.trades import IntColumn, TradeBatch, TradeSource

LATENESS_MS: Final = 3_000
SESSION: Final = "replay"
_POWERS_OF_TEN: Final = np.array([10**exponent for exponent in range(19)], dtype=np.int64)


class Cut(NamedTuple):
    """A batch, and the watermark after each of its steps: minutes close at one after the other, and nowhere else."""

    batch: TradeBatch
    watermarks_ms: list[int]


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
        self._price_scales: list[int] = []
        self._quantity_scales: list[int] = []
        self._last_ids = np.full(kernel.SYMBOLS_MAX, np.iinfo(np.int64).min)
        self._last_texts: set[str] = set()
        self.trade_count = 0
        self.watermark_ms = 0

    @property
    def last_minute_ms(self) -> int:
        """Open time of the tape's last minute; 0 for a tape without trades."""
        return minute_ms(self._last_trade_ms)

    def cuts(self) -> Iterator[Cut]:
        """Every trade of the tape; at the end an empty batch that vouches for all but the last minute."""
        for chunk in self._reader.chunks():
            yield from self._of_chunk(chunk)
        if self.trade_count:
            self.watermark_ms = max(self.watermark_ms, self.last_minute_ms)
            yield Cut(self._batch(EMPTY_CHUNK, slice(0, 0)), [self.watermark_ms])

    def _of_chunk(self, chunk: TapeChunk) -> Iterator[Cut]:
        if not self._started_at_ms:
            self._started_at_ms = int(chunk.event_time_ms[0])
            # The recording began somewhere inside this minute: it is never vouched for. A first trade far from its event
            # (both clocks are the tape's, and may be wrong) does not move the beginning.
            latest_ms = self._started_at_ms
            first_ms = min(max(int(chunk.trade_time_ms[0]), latest_ms - self.lateness_ms), latest_ms)
            self._covers_from_ms = minute_ms(max(0, first_ms)) + MINUTE_MS
        self._grow_scales(chunk)
        newest_ms = np.maximum(np.maximum.accumulate(chunk.event_time_ms), self._event_time_max_ms)
        minute = (newest_ms - self.lateness_ms) // MINUTE_MS
        before = (self._event_time_max_ms - self.lateness_ms) // MINUTE_MS
        crossings = np.flatnonzero(np.diff(minute, prepend=before if self._event_time_max_ms else minute[0])) + 1
        steps = crossings.tolist()
        if self._is_regular(chunk, newest_ms, minute):
            yield self._cut(chunk, newest_ms, slice(0, len(minute)), steps)
            return
        start = 0
        for end in steps:
            yield self._cut(chunk, newest_ms, slice(start, end), [end])
            start = end
        if start < len(minute):
            yield self._cut(chunk, newest_ms, slice(start, len(minute)), [])

    def _cut(self, chunk: TapeChunk, newest_ms: IntColumn, rows: slice, steps: list[int]) -> Cut:
        self._event_time_max_ms = int(newest_ms[rows.stop - 1])
        self.watermark_ms = max(0, self._event_time_max_ms - self.lateness_ms)
        self._last_trade_ms = max(self._last_trade_ms, int(chunk.trade_time_ms[rows].max()))
        self.trade_count += rows.stop - rows.start
        watermarks_ms = [max(0, newest - self.lateness_ms) for newest in newest_ms[[end - 1 for end in steps]].tolist()]
        return Cut(self._batch(chunk, rows), watermarks_ms)

    def _is_regular(self, chunk: TapeChunk, newest_ms: IntColumn, minute: IntColumn) -> bool:
        """Whether the chunk may be one batch: every id is new, no trade is late or ahead of the tape's own clock."""
        fresh = self._has_new_ids(chunk.trade_id, chunk.symbol_index)  # asked for every chunk: it remembers them
        open_minute = np.concatenate([minute[:1], minute[:-1]])  # of the watermark before each row
        in_time = bool((chunk.trade_time_ms // MINUTE_MS >= open_minute).all())
        return fresh and in_time and bool((chunk.trade_time_ms <= newest_ms + self.lateness_ms).all())

    def _has_new_ids(self, ids: Any, symbol_index: IntColumn) -> bool:
        if ids.dtype != object:
            return bool(kernel.ids_rise(ids, symbol_index, self._last_ids))
        texts = set(ids.tolist())
        known, self._last_texts = self._last_texts, texts
        return len(texts) == len(ids) and known.isdisjoint(texts)

    def _batch(self, chunk: TapeChunk, rows: slice) -> TradeBatch:
        symbols = tuple(self._reader.symbols[: len(self._price_scales)])
        price_scales, quantity_scales = tuple(self._price_scales), tuple(self._quantity_scales)
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
            trade_id=chunk.trade_id[rows],
            price=chunk.price[rows],
            quantity_units=self._quantity_units(chunk, rows),
            traded_at_ms=chunk.trade_time_ms[rows],
            taker_is_buyer=chunk.taker_is_buyer[rows],
            venue_sequence=chunk.venue_sequence[rows],
            tie_rank=chunk.tie_rank[rows],
        )
        self._sequence += 1
        return batch

    def _quantity_units(self, chunk: TapeChunk, rows: slice) -> IntColumn:
        scale = np.array(self._quantity_scales, dtype=np.int64)[chunk.symbol_index[rows]]
        factor = _POWERS_OF_TEN[scale - chunk.quantity_decimals[rows]]
        units: IntColumn = chunk.quantity_mantissa[rows] * factor  # the reader has refused what would not fit
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
