"""Joins the parts of ingestion to one running whole; main.py builds it, tests build it beside a simulator."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from services.ingestion.asked import Asked
from services.ingestion.backlog import Backlog
from services.ingestion.core.frontier import Frontier
from services.ingestion.core.window import SessionIdentity
from services.ingestion.handlers import Ingestion, IngestionOptions
from services.ingestion.publisher import Publisher
from services.ingestion.refiller import Refiller
from services.ingestion.settings import IngestionSettings
from services.ingestion.spill import Spill
from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.domain.instruments import Instrument
from shared.exchanges.feed import Feed, Refusal
from shared.exchanges.venue import VenueRest
from shared.runtime.service import ServiceContext
from shared.store.port import Store, Write

TICK_SECONDS = 0.02
STATUS_SECONDS = 1.0
SAVE_SECONDS = 5.0
FEED_CLOSE_SECONDS = 3.0
DRAIN_SECONDS = 4.0
FRONTIER_TABLE = "ingestion-frontier"


class IngestionService:
    """Runs one venue's feed until told to stop; then flushes within FEED_CLOSE_SECONDS + DRAIN_SECONDS."""

    def __init__(self, context: ServiceContext[IngestionSettings], rest: VenueRest) -> None:
        self._context = context
        self._rest = rest
        self._rules = rest.rules
        self._frontier = Frontier()
        settings = context.settings
        spill = Spill.open(settings.data_dir / "spill", self._rules.exchange, bytes_max=settings.spill_bytes_max)
        backlog = Backlog(spill, batches_max=settings.queue_batches_max, on_unreadable=self._unreadable)
        self.publisher = Publisher(
            context.bus,
            backlog,
            topic=self._rules.topic,
            refusals_to=f"aggregator--{self._rules.topic}",
            on_published=self._frontier.published,
            log=context.log,
        )
        self.refiller = Refiller(
            rest,
            offer=self.publisher.offer,
            frontier=self._frontier,
            on_reached=self._refilled,
            log=context.log,
            limits=settings.refill_limits,
        )
        self._asked = Asked(
            context.store,
            refiller=self.refiller,
            clock=context.clock,
            instance_id=_name(settings.instance_id),
            exchange=self._rules.exchange,
            log=context.log,
        )
        self.ingestion: Ingestion | None = None

    async def run(self, feed: Feed, instruments: dict[str, Instrument]) -> None:
        """Until context.stopping is set. Raises what ended a part that must not end."""
        context, settings = self._context, self._context.settings
        await load_frontier(context.store, self._rules.exchange, self._frontier, context.log)
        options = IngestionOptions(
            exchange=self._rules.exchange,
            instance_id=_name(settings.instance_id),
            limits=settings.session_limits,
            first_refill_ms=settings.first_refill_ms,
            freshness_budget_ms=settings.freshness_budget_ms,
            clock_skew_max_ms=settings.clock_skew_limit_ms,
            ids_are_consecutive=self._rules.ids_are_consecutive,
        )
        ingestion = self.ingestion = Ingestion(
            options,
            instruments=instruments,
            publisher=self.publisher,
            refiller=self.refiller,
            frontier=self._frontier,
            clock=context.clock,
            steady_ms=lambda: time.monotonic() * 1000,
            log=context.log,
        )
        publishing = asyncio.create_task(self.publisher.run())
        self.publisher.wake()
        feeding = asyncio.create_task(feed.run(ingestion.handle))
        working = [
            asyncio.create_task(self._tick(ingestion)),
            asyncio.create_task(self._report(ingestion, instruments)),
        ]
        stopping = asyncio.create_task(context.stopping.wait())
        try:
            done, _ = await asyncio.wait({publishing, feeding, stopping, *working}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            for task in (stopping, *working):
                task.cancel()
            await self._shut_down(feed, feeding, publishing, ingestion)
            await asyncio.gather(stopping, *working, return_exceptions=True)

    async def _shut_down(
        self, feed: Feed, feeding: "asyncio.Task[None]", publishing: "asyncio.Task[None]", ingestion: Ingestion
    ) -> None:
        """Open window out, queue to the bus; what the bus does not take in time stays in the spill for the next start."""
        await feed.close()
        await self.refiller.close()
        await asyncio.wait({feeding}, timeout=FEED_CLOSE_SECONDS)
        feeding.cancel()
        ingestion.end_session()
        if not publishing.done():
            drained = await self.publisher.drain(seconds=DRAIN_SECONDS)
            self._context.log.info("flushed", drained=drained, spilled_bytes=self.publisher.backlog.spilled_bytes)
        publishing.cancel()
        await asyncio.gather(feeding, publishing, return_exceptions=True)
        self.publisher.backlog.close()
        try:
            await save_frontier(self._context.store, self._rules.exchange, self._frontier)
        except TransientError as error:
            self._context.log.warning("frontier_not_saved", error=str(error))

    async def _tick(self, ingestion: Ingestion) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            ingestion.tick()

    async def _report(self, ingestion: Ingestion, instruments: dict[str, Instrument]) -> None:
        saved_at = time.monotonic()
        while True:
            await self._context.report_status(self.status(ingestion))
            if time.monotonic() - saved_at >= SAVE_SECONDS:
                saved_at = time.monotonic()
                try:
                    await save_frontier(self._context.store, self._rules.exchange, self._frontier)
                    await self._asked.serve(ingestion, instruments)
                except TransientError as error:
                    self._context.log.warning("frontier_not_saved", error=str(error))
            await asyncio.sleep(STATUS_SECONDS)

    def status(self, ingestion: Ingestion) -> dict[str, object]:
        """What `status` shows."""
        publisher, refiller = self.publisher, self.refiller
        return {
            "exchange": self._rules.exchange,
            "ready": ingestion.is_ready,
            "blind": ingestion.is_blind,
            "watermark_ms": ingestion.watermark_ms,
            "watermark_age_ms": round(ingestion.watermark_age_ms),
            "watermark_lag_ms": self._context.clock.market_ms() - ingestion.watermark_ms,
            "clock_skew": ingestion.clock_is_skewed,
            "clock_skew_ms": ingestion.clock_skew_ms,
            "sessions": ingestion.sessions,
            "reconnects": max(0, ingestion.connections - 1),
            "trades": ingestion.trades,
            "batches_published": publisher.published,
            "queue": len(publisher.backlog),
            "spilled_bytes": publisher.backlog.spilled_bytes,
            "bus_is_down": publisher.bus_is_down,
            "refused": publisher.refused,
            "refused_symbols": ingestion.refused_symbols,
            "holes": ingestion.holes,
            "refills_reached": refiller.reached,
            "refills_cut": refiller.cut,
            "refills_failed": refiller.failed,
            "refilled_trades": refiller.trades,
            "id_gaps": ingestion.id_gaps,
            "refills_asked_for": self._asked.served,
        }

    def _refilled(self, identity: SessionIdentity, symbol: str, last_id: int, at_ms: int) -> None:
        if self.ingestion is not None:
            self.ingestion.refilled(identity, symbol, last_id=last_id, at_ms=at_ms)

    def _unreadable(self, data: bytes, reason: str) -> None:
        self.publisher.refuse(Refusal(topic="spill", data=data, reason=reason))


def _name(instance_id: str) -> str:
    """The instance's id as a part of row keys."""
    kept = (letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in instance_id)
    return "".join(kept) or "ingestion"


async def load_frontier(store: Store, exchange: str, frontier: Frontier, log: Any) -> None:
    """Restore what the last process knew; an unreadable or unreachable row means: nothing."""
    try:
        row = await store.get(FRONTIER_TABLE, exchange)
        if row is not None:
            frontier.restore(row.value)
    except (TransientError, InvalidValueError) as error:
        log.warning("frontier_not_loaded", error=str(error))


async def save_frontier(store: Store, exchange: str, frontier: Frontier) -> None:
    """One small row; only what is published counts, so an old row is merely modest."""
    await store.write([Write(table=FRONTIER_TABLE, key=exchange, value=frontier.encode())])


async def find_instruments(
    rest: VenueRest,
    symbols: tuple[str, ...],
    *,
    stopping: asyncio.Event,
    seconds_max: float,
    log: Any,
    on_wait: Callable[[], Awaitable[None]] | None = None,
) -> dict[str, Instrument]:
    """The instruments of the symbols, asked until the venue answers; `on_wait` is called before every attempt.

    Raises PermanentError when the venue trades none of them, TransientError when it does not answer in time.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds_max, 0.5
    while not stopping.is_set():
        if on_wait is not None:
            await on_wait()
        try:
            found = await rest.instruments(symbols)
        except TransientError as error:
            if loop.time() + pause > deadline:
                raise
            log.warning("instruments_not_found_yet", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), timeout=pause)
            pause = min(15.0, pause * 2)
            continue
        for symbol in symbols:
            if symbol not in found:
                log.error("symbol_unknown", symbol=symbol, exchange=rest.rules.exchange)
        if not found:
            raise PermanentError(f"{rest.rules.exchange} trades none of the configured symbols {', '.join(symbols)}")
        return {symbol: found[symbol] for symbol in symbols if symbol in found}
    return {}
