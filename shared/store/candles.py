"""Candles on the store: one packed, versioned cell per revision."""

from collections.abc import Sequence
from copy import copy
from typing import Final

import msgspec

from shared.domain.candles import Candle
from shared.domain.errors import FencedError, TransientError
from shared.domain.timeframe import Timeframe
from shared.store.layout import LAYOUT, payload
from shared.store.port import Outcome, Row, Store, Write, key_of

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Candle)
_ATTEMPTS: Final = 5


def candle_table(timeframe: Timeframe) -> str:
    """market-data-1m, market-data-5m, ..."""
    return _TABLES[timeframe]


_TABLES: Final = {timeframe: f"market-data-{timeframe.value}" for timeframe in Timeframe}


class CandleStore:
    """Reads and writes candles; the revision of a candle is the revision of its row."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def between(
        self, exchange: str, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> list[Candle]:
        """Newest revisions with start <= open time < end, oldest first; missing ones are simply not there."""
        table = candle_table(timeframe)
        rows = await self._store.scan(table, key_of(exchange, symbol, start_ms), key_of(exchange, symbol, end_ms))
        return [_decode(row) for row in rows]

    async def some(self, timeframe: Timeframe, places: Sequence[tuple[str, str, int]]) -> list[Candle]:
        """Newest revisions of those (exchange, symbol, open time) that exist, in the order asked, in one read."""
        keys = [key_of(*place) for place in places]
        rows = await self._store.get_many(candle_table(timeframe), keys)
        return [_decode(rows[key]) for key in keys if key in rows]

    async def last(
        self, exchange: str, symbol: str, timeframe: Timeframe, *, count: int, before_ms: int
    ) -> list[Candle]:
        """Those of the `count` candles that precede before_ms on the grid which exist, oldest first."""
        end_ms = timeframe.open_time_ms(before_ms)
        start_ms = max(0, end_ms - count * timeframe.duration_ms)
        return await self.between(exchange, symbol, timeframe, start_ms, end_ms)

    async def revisions(self, exchange: str, symbol: str, timeframe: Timeframe, open_time_ms: int) -> list[Candle]:
        """Every kept revision of one candle, oldest first."""
        key = key_of(exchange, symbol, open_time_ms)
        return [_decode(row) for row in await self._store.history(candle_table(timeframe), key)]

    async def save(self, candles: Sequence[Candle], *, fence: int | None) -> list[Candle]:
        """Store each candle under its next revision where it differs from what is stored.

        Returns the candles as stored: with their new revision, or the existing one where nothing changed.
        Raises FencedError where a newer owner wrote a row, TransientError where rows keep changing underneath.
        """
        # Most candles are new: the first try assumes so and saves a read; a conflict tells what is there.
        outcomes = await self._store.write([_write(candle, 0, fence) for candle in candles])
        if outcomes.count(Outcome.WRITTEN) == len(candles):
            return [_at_revision(candle, 1) for candle in candles]
        return await self._settled(candles, outcomes, fence)

    async def _settled(self, candles: Sequence[Candle], outcomes: Sequence[Outcome], fence: int | None) -> list[Candle]:
        """What `save` returns where some of the first writes were refused."""
        saved: dict[int, Candle] = {}
        known = [0] * len(candles)
        waiting = list(range(len(candles)))
        for attempt in range(_ATTEMPTS):
            if attempt:
                outcomes = await self._store.write([_write(candles[one], known[one], fence) for one in waiting])
            refused = []
            for number, outcome in zip(waiting, outcomes, strict=True):
                if outcome is Outcome.FENCED:
                    table = candle_table(candles[number].timeframe)
                    raise FencedError(f"a newer aggregator wrote {table} (fence {fence} is stale)")
                if outcome is Outcome.WRITTEN:
                    saved[number] = _at_revision(candles[number], known[number] + 1)
                else:
                    refused.append(number)
            waiting = await self._differing(candles, refused, known, saved)
            if not waiting:
                return [saved[number] for number in range(len(candles))]
        raise TransientError(f"{len(waiting)} candle rows kept changing during {_ATTEMPTS} attempts")

    async def fill(self, candles: Sequence[Candle], *, fence: int | None) -> None:
        """Store each candle as a first revision where there is none; those that are there stay. In bulk, for history."""
        await self._store.fill([_write(candle, 0, fence) for candle in candles])

    async def _differing(
        self, candles: Sequence[Candle], refused: list[int], known: list[int], saved: dict[int, Candle]
    ) -> list[int]:
        """Of the refused candles, those that differ from the stored ones; the others are taken as stored."""
        again = []
        for number in refused:
            candle = candles[number]
            key = key_of(candle.exchange, candle.symbol, candle.open_time_ms)
            row = await self._store.get(candle_table(candle.timeframe), key)
            stored = _decode(row) if row else None
            known[number] = stored.revision if stored else 0
            if stored and stored.same_market(candle):
                saved[number] = stored
            else:
                again.append(number)
        return again


def _write(candle: Candle, known_revision: int, fence: int | None) -> Write:
    return Write(
        table=candle_table(candle.timeframe),
        key=f"{candle.exchange}#{candle.symbol}#{candle.open_time_ms:015d}",
        value=LAYOUT + _ENCODER.encode(candle),
        expected_revision=known_revision,
        fence=fence,
    )


def _decode(row: Row) -> Candle:
    return _with_revision(_DECODER.decode(payload("market-data", row)), row.revision)


def _at_revision(candle: Candle, revision: int) -> Candle:
    return candle if candle.revision == revision else _with_revision(candle, revision)


def _with_revision(candle: Candle, revision: int) -> Candle:
    """A copy with the revision; unlike structs.replace it does not check the whole candle again."""
    stored = copy(candle)
    msgspec.structs.force_setattr(stored, "revision", revision)
    return stored
