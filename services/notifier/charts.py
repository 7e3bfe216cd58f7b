"""The chart of a signal: from the very candles its Decision read, drawn once, kept in the cache by content."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.notifier.chart_pool import ChartPool
from services.notifier.core.chart_model import (
    DEFAULT_LOOK,
    OUTCOME_BARS_MAX,
    ChartLook,
    build_chart_model,
    build_market_model,
    window_revisions,
)
from services.notifier.core.chart_values import ChartModel
from shared.cache.port import Cache
from shared.domain.candles import Candle
from shared.domain.decisions import Decision, DecisionKind, WindowRecord
from shared.domain.errors import TransientError
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe
from shared.runtime.config import TrackerConfig
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.port import Store
from shared.strategies.windows import window_digest

_BASE_TTL_MS: Final = 24 * 3_600_000
_CONTEXT_BARS: Final = (
    420  # where nothing recorded says how many: the slowest indicator (287 candles) is warm for the 120 shown
)
_BARS_AFTER_EXIT: Final = 3
CHART_TIMEFRAMES: Final = (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4)


def strategy_kinds(config: TrackerConfig) -> dict[str, str]:
    """The kind of every strategy of the configuration, by the name it runs under."""
    return {item.name: item.kind or item.name for item in config.strategies}


class ChartUnavailableError(RuntimeError):
    """There is nothing true to draw; the text says what is missing."""


class ChartService:
    """Loads, models, draws, caches. One picture is drawn once however often it is asked for at the same time.

    look: theme, scale, language and time zone where a call names none. kinds: which strategy runs under a name that the
    configuration chose, for its panes.
    """

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache | None,
        pool: ChartPool,
        log: Any,
        cache_ttl_ms: int = _BASE_TTL_MS,
        look: ChartLook = DEFAULT_LOOK,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        self._candles = CandleStore(store)
        self._decisions = DecisionStore(store)
        self._cache = cache
        self._pool = pool
        self._log = log
        self._cache_ttl_ms = cache_ttl_ms
        self._look = look
        self._kinds = kinds or {}
        self._drawing: dict[str, asyncio.Task[bytes]] = {}

    @property
    def look(self) -> ChartLook:
        """The look where a call names none."""
        return self._look

    async def picture(
        self, signal: Signal, *, timeframe: Timeframe | None = None, look: ChartLook | None = None
    ) -> bytes:
        """The signal on its own timeframe or another one, as PNG.

        Its Decision's candles in the revisions it read, then what has followed since. On a timeframe that the Decision did
        not read: the newest revisions. Raises ChartUnavailableError where the Decision or its candles are not in the store.
        """
        shown = timeframe or signal.timeframe
        decision = await self._decision(signal)
        known = await self._known(signal, decision, shown)
        later = await self._later(signal, known[-1].close_time_ms if known else signal.opened_at_ms, shown)
        if not known and not later:
            raise ChartUnavailableError(f"there are no {shown.value} candles of {signal.symbol} in the store")
        model = build_chart_model(
            signal,
            [*known, *later],
            kind=self._kinds.get(signal.strategy, signal.strategy),
            parameters=decision.parameters,
            bias_by_open_ms=await self._biases(signal, known) if shown is signal.timeframe else {},
            look=look or self._look,
        )
        return await self._drawn(model)

    async def market_picture(
        self,
        exchange: str,
        symbol: str,
        timeframe: Timeframe,
        *,
        before_ms: int,
        strategy: str = "",
        price_decimals: int | None = None,
        look: ChartLook | None = None,
    ) -> bytes:
        """The newest candles that closed by before_ms, without a signal, with the panes of a strategy if one is named.

        Raises ChartUnavailableError where there are none.
        """
        candles = await self._candles.last(exchange, symbol, timeframe, count=_CONTEXT_BARS, before_ms=before_ms)
        if not candles:
            raise ChartUnavailableError(f"there are no {timeframe.value} candles of {symbol} in the store")
        kind = self._kinds.get(strategy, strategy)
        return await self._drawn(
            build_market_model(candles, kind=kind, price_decimals=price_decimals, look=look or self._look)
        )

    async def _drawn(self, model: ChartModel) -> bytes:
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

    async def _decision(self, signal: Signal) -> Decision:
        decision = await self._decisions.get(
            signal.strategy, signal.exchange, signal.symbol, signal.timeframe, signal.candle_open_time_ms
        )
        if decision is None:
            raise ChartUnavailableError("its decision is not in the store")
        return decision

    async def _known(self, signal: Signal, decision: Decision, timeframe: Timeframe) -> list[Candle]:
        """What could be known at the Decision: the candles it read; for a timeframe it did not read, those closed by then."""
        window = next((window for window in decision.windows if window.timeframe is timeframe), None)
        if window is None:
            if timeframe is signal.timeframe:
                raise ChartUnavailableError(f"its decision read no {timeframe.value} candles")
            before_ms = signal.opened_at_ms
            return await self._candles.last(
                signal.exchange, signal.symbol, timeframe, count=_CONTEXT_BARS, before_ms=before_ms
            )
        candles = await self._very_candles(signal, window)
        if (digest := window_digest(candles)) != window.digest:
            self._log.error("window_differs", signal_id=signal.signal_id, digest=digest, recorded=window.digest)
            raise ChartUnavailableError("the stored candles are not those of the decision")
        return candles

    async def _later(self, signal: Signal, start_ms: int, timeframe: Timeframe) -> list[Candle]:
        """What followed: up to a little after the exit, else as much as a picture shows and one more (then it shows none)."""
        end_ms = start_ms + (OUTCOME_BARS_MAX + 1) * timeframe.duration_ms
        if signal.exit is not None:
            last_ms = timeframe.open_time_ms(signal.exit.closed_at_ms - 1)
            end_ms = min(end_ms, last_ms + (1 + _BARS_AFTER_EXIT) * timeframe.duration_ms)
        return await self._candles.between(signal.exchange, signal.symbol, timeframe, start_ms, end_ms)

    async def _biases(self, signal: Signal, known: Sequence[Candle]) -> dict[int, str]:
        """The macro bias that each candle's own Decision recorded."""
        made = await self._decisions.between(
            signal.strategy,
            signal.exchange,
            signal.symbol,
            signal.timeframe,
            known[0].open_time_ms,
            signal.candle_open_time_ms,
        )
        return {item.open_time_ms: item.bias for item in made if item.kind is DecisionKind.FIRST}

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
