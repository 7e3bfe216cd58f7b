"""Our own memory of the venue's candles: rows of up to 288 candles, so that a run writes a few rows and reads a few more.

Kraken remembers 720 candles. What a window needs is read from here, and only what came since is asked of the venue.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from services.macro_engine.core.candles import COLUMNS, TIME, Candles, merged
from shared.domain.errors import TransientError
from shared.domain.timeframe import Timeframe
from shared.store.port import Store, Write, key_of

TABLE: Final = "macro-candles"
CHUNK: Final = 288
_LAYOUT: Final = b"\x01"  # then float64 little-endian, rows of (open time ms, open, high, low, close, volume)


class Series(msgspec.Struct, frozen=True):
    """One market and timeframe."""

    exchange: str
    symbol: str
    timeframe: Timeframe

    def key(self, chunk_ms: int) -> str:
        """exchange#symbol#timeframe#<open time of the row's first place>."""
        return key_of(self.exchange, self.symbol, self.timeframe.value, chunk_ms)

    @property
    def chunk_ms(self) -> int:
        """Time covered by one row."""
        return self.timeframe.duration_ms * CHUNK


class CandleHistory:
    """Reads and writes it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, wanted: Mapping[Series, int], *, until_ms: int) -> dict[Series, Candles]:
        """At least the newest so many candles of each series (as far as stored) that open before until_ms, in one read."""
        keys: dict[Series, list[str]] = {}
        for series, count in wanted.items():
            last = until_ms // series.chunk_ms
            first = (until_ms - count * series.timeframe.duration_ms) // series.chunk_ms
            keys[series] = [series.key(number * series.chunk_ms) for number in range(max(0, first), last + 1)]
        rows = await self._store.get_many(TABLE, [key for names in keys.values() for key in names])
        found = {}
        for series, names in keys.items():
            tables = [_table(rows[name].value) for name in names if name in rows]
            found[series] = Candles(series.timeframe, np.concatenate([np.empty((0, COLUMNS)), *tables]))
        return found

    async def add(self, news: Mapping[Series, Candles]) -> None:
        """Store candles beside what is there; the venue's newest word on a candle counts.

        Two runs at once may both add: the loser of a row leaves it, its candles are asked for again by the next run.
        """
        chunks: dict[str, Candles] = {}
        for series, candles in news.items():
            places = candles.table[:, TIME] // series.chunk_ms
            for place in np.unique(places).tolist():
                part = Candles(series.timeframe, candles.table[places == place])
                chunks[series.key(int(place) * series.chunk_ms)] = part
        if not chunks:
            return
        rows = await self._store.get_many(TABLE, list(chunks))
        writes: list[Write] = []
        for key, part in chunks.items():
            row = rows.get(key)
            whole = merged(Candles(part.timeframe, _table(row.value)), part) if row else part
            value = _LAYOUT + np.ascontiguousarray(whole.table, dtype="<f8").tobytes()
            if row is None or row.value != value:
                writes.append(Write(table=TABLE, key=key, value=value, expected_revision=row.revision if row else 0))
        if writes:
            await self._store.write(writes)


def _table(value: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    if value[:1] != _LAYOUT:
        raise TransientError(
            f"rows of {TABLE} have layout {_LAYOUT!r}, was {value[:1]!r}: a newer macro engine wrote it"
        )
    return np.frombuffer(value, dtype="<f8", offset=1).reshape(-1, COLUMNS).astype(np.float64)


def series_of(exchange: str, symbol: str, timeframes: Sequence[Timeframe]) -> dict[Timeframe, Series]:
    """The market's series by timeframe."""
    return {timeframe: Series(exchange, symbol, timeframe) for timeframe in timeframes}
