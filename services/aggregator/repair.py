"""Klines over REST: history for a new symbol, candles for minutes that nothing covers. Slow or failing REST blocks nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from services.aggregator.core.candle_builder import KlineRange, candle_of_kline
from services.aggregator.core.coverage import SeriesKey
from services.aggregator.state import State
from shared.domain.candles import Candle
from shared.domain.errors import PermanentError, TransientError
from shared.domain.timeframe import ROLL_UPS, Timeframe

_CALLS_AT_ONCE: Final = 8
# Fewer, since nothing waits for them: a slow venue ends some within the deadline instead of none, one symbol after the other.
_HISTORIES_AT_ONCE: Final = 2
_RANGES_PER_ROUND: Final = 40


class Repairer:
    """Asks the venues; answers go to the builder, which decides what they are worth."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._calls = asyncio.Semaphore(_CALLS_AT_ONCE)
        self._history_calls = asyncio.Semaphore(_HISTORIES_AT_ONCE)

    def is_wanted(self) -> bool:
        """Whether a symbol waits for an answer before it can go on."""
        waiting = any(not self._state.builder.of(key).ready for key in self._state.backfills)
        return waiting or bool(self._state.builder.wanted())

    async def repair(self, *, deadline_seconds: float, again: bool = False) -> None:
        """One round: first what blocks a symbol; with `again` also holes and backfills that failed before.

        What is not answered within the deadline counts as asked: the minutes close partial and stay work items.
        """
        state = self._state
        ranges = state.builder.wanted()
        if again:
            ranges += state.builder.holes(_RANGES_PER_ROUND)
        keys = [key for key in sorted(state.backfills) if again or not state.builder.of(key).ready]
        await self._within(deadline_seconds, [partial(self._backfill_minutes, key) for key in keys])
        for key in keys:
            state.builder.of(key).ready = True  # its own trades start it where the backfill failed
        await self._within(deadline_seconds, [partial(self._fetch, wanted) for wanted in ranges])
        for wanted in ranges:
            state.builder.offer_klines(wanted, ())
        histories = [partial(self._load_history, key) for key in sorted(state.histories)]
        await self._within(deadline_seconds, histories, self._history_calls)

    async def _within(
        self,
        deadline_seconds: float,
        jobs: Sequence[Callable[[], Awaitable[None]]],
        calls: asyncio.Semaphore | None = None,
    ) -> None:
        async def guarded(job: Callable[[], Awaitable[None]]) -> None:
            try:
                async with calls or self._calls:
                    await job()
            except (TransientError, PermanentError) as error:
                self._state.log.warning("klines_not_available", error=str(error))

        if not jobs:
            return
        tasks = [asyncio.ensure_future(guarded(job)) for job in jobs]
        try:
            _, late = await asyncio.wait(tasks, timeout=deadline_seconds)
        finally:
            for task in tasks:
                task.cancel()
        if late:
            self._state.log.warning("klines_late", jobs=len(late), deadline_seconds=deadline_seconds)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _fetch(self, wanted: KlineRange) -> None:
        rest = self._state.rest[wanted.key.exchange]
        klines = await rest.klines(wanted.key.symbol, Timeframe.M1, start_ms=wanted.start_ms, end_ms=wanted.end_ms)
        self._state.builder.offer_klines(wanted, klines)

    async def _backfill_minutes(self, key: SeriesKey) -> None:
        """The last closed 1m klines of a symbol that has none stored; announced to nobody. Its own trades go on from there."""
        state = self._state
        series = state.builder.of(key)
        minutes = await self._missing_klines(key, Timeframe.M1)
        async with state.close_lock:
            await self._store(key, minutes)
            if minutes and series.next_ms is None:
                series.begin_at(minutes[-1].close_time_ms, minutes[-1])
            series.ready = True
            state.backfills.discard(key)
            state.histories.add(key)
        state.log.info("backfilled", symbol=key.symbol, minutes=len(minutes))

    async def _load_history(self, key: SeriesKey) -> None:
        """The last closed klines of the higher timeframes, shortest first: each finds its children when it closes itself.

        What is loaded is stored at once, so that a round cut short by its deadline is not lost.
        """
        state = self._state
        for timeframe in ROLL_UPS:
            if (key, timeframe) in state.histories_loaded:
                continue
            candles = await self._missing_klines(key, timeframe)
            async with state.close_lock:
                await self._store(key, candles)
            state.histories_loaded.add((key, timeframe))
        state.histories.discard(key)
        state.log.info("history_loaded", symbol=key.symbol)

    async def _missing_klines(self, key: SeriesKey, timeframe: Timeframe) -> list[Candle]:
        state = self._state
        end_ms = timeframe.open_time_ms(state.coverage.watermark_ms(key))
        start_ms = max(0, end_ms - state.limits.backfill_candles * timeframe.duration_ms)
        klines = await state.rest[key.exchange].klines(key.symbol, timeframe, start_ms=start_ms, end_ms=end_ms)
        candles = [candle_of_kline(key, timeframe, kline) for kline in klines]
        there = {one.open_time_ms for one in await state.candles.between(*key, timeframe, start_ms, end_ms)}
        return [one for one in candles if one.open_time_ms not in there]

    async def _store(self, key: SeriesKey, candles: list[Candle]) -> None:
        """Under the closing lock: only what lies before the first open minute; the rest is ours to close."""
        state, series = self._state, self._state.builder.of(key)
        if series.next_ms is not None:
            candles = [one for one in candles if one.close_time_ms <= series.next_ms]
        # Klines of the past: whoever stored a candle of his own there knows better, so that nothing needs to be compared.
        await state.candles.fill(candles, fence=state.fence)
