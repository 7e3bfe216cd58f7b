"""The chart of a signal: from the very candles its Decision read, drawn once, kept in the cache by content."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from services.notifier.chart_pool import ChartPool
from services.notifier.core.chart_model import build_chart_model, window_revisions
from shared.cache.port import Cache
from shared.domain.candles import Candle
from shared.domain.decisions import WindowRecord
from shared.domain.errors import TransientError
from shared.domain.signals import Signal
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.port import Store
from shared.strategies.windows import window_digest

_BASE_TTL_MS: Final = 24 * 3_600_000


class ChartUnavailableError(RuntimeError):
    """There is nothing true to draw; the text says what is missing."""


class ChartService:
    """Loads, models, draws, caches. One picture is drawn once however often it is asked for at the same time."""

    def __init__(
        self, *, store: Store, cache: Cache | None, pool: ChartPool, log: Any, cache_ttl_ms: int = _BASE_TTL_MS
    ) -> None:
        self._candles = CandleStore(store)
        self._decisions = DecisionStore(store)
        self._cache = cache
        self._pool = pool
        self._log = log
        self._cache_ttl_ms = cache_ttl_ms
        self._drawing: dict[str, asyncio.Task[bytes]] = {}

    async def picture(self, signal: Signal) -> bytes:
        """The PNG. Raises ChartUnavailableError where the Decision or its candles are not in the store."""
        model = build_chart_model(signal, await self._window(signal))
        digest = model.digest
        if (cached := await self._cached(digest)) is not None:
            return cached
        if digest not in self._drawing:
            task = asyncio.create_task(self._pool.draw(model))
            self._drawing[digest] = task
            task.add_done_callback(lambda _: self._drawing.pop(digest, None))
        picture = await asyncio.shield(self._drawing[digest])
        await self._keep(digest, picture)
        return picture

    async def _window(self, signal: Signal) -> list[Candle]:
        decision = await self._decisions.get(
            signal.strategy, signal.exchange, signal.symbol, signal.timeframe, signal.candle_open_time_ms
        )
        if decision is None:
            raise ChartUnavailableError("its decision is not in the store")
        windows = [window for window in decision.windows if window.timeframe is signal.timeframe]
        if not windows:
            raise ChartUnavailableError(f"its decision read no {signal.timeframe.value} candles")
        candles = await self._very_candles(signal, windows[0])
        if (digest := window_digest(candles)) != windows[0].digest:
            self._log.error("window_differs", signal_id=signal.signal_id, digest=digest, recorded=windows[0].digest)
            raise ChartUnavailableError("the stored candles are not those of the decision")
        return candles

    async def _very_candles(self, signal: Signal, window: WindowRecord) -> list[Candle]:
        """The candles in the revisions that the Decision read, superseded ones included."""
        start_ms = window.first_open_time_ms
        end_ms = start_ms + window.length * window.timeframe.duration_ms
        newest = await self._candles.between(signal.exchange, signal.symbol, window.timeframe, start_ms, end_ms)
        by_time = {candle.open_time_ms: candle for candle in newest}
        times = range(start_ms, end_ms, window.timeframe.duration_ms)
        wanted = dict(zip(times, window_revisions(window), strict=True))
        return [
            await self._revision(signal, window, time_ms, revision, by_time.get(time_ms))
            for time_ms, revision in wanted.items()
        ]

    async def _revision(
        self, signal: Signal, window: WindowRecord, time_ms: int, revision: int, newest: Candle | None
    ) -> Candle:
        if newest is not None and newest.revision == revision:
            return newest
        kept: Sequence[Candle] = await self._candles.revisions(
            signal.exchange, signal.symbol, window.timeframe, time_ms
        )
        for candle in kept:
            if candle.revision == revision:
                return candle
        raise ChartUnavailableError("not all of its candles are in the store any more")

    async def _cached(self, digest: str) -> bytes | None:
        if self._cache is None:
            return None
        try:
            return await self._cache.get(f"chart:{digest}")
        except TransientError as error:
            self._log.warning("cache_read_failed", error=str(error))
            return None

    async def _keep(self, digest: str, picture: bytes) -> None:
        if self._cache is None:
            return
        try:
            await self._cache.set(f"chart:{digest}", picture, ttl_ms=self._cache_ttl_ms)
        except TransientError as error:
            self._log.warning("cache_write_failed", error=str(error))
