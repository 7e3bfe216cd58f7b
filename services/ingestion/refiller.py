"""Fills holes from the venue's trades: before a session, and gaps in the ids inside one.

A venue that numbers its trades is asked page by page from the last known id on; another one for its newest trades.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from services.ingestion.core.frontier import Frontier, KnownTrade
from services.ingestion.core.id_gaps import IdGap
from services.ingestion.core.paging import PagedRefill, judge_page
from services.ingestion.core.refill import Hole, refill_batch, refill_hole
from services.ingestion.core.window import SessionIdentity
from shared.domain.errors import PermanentError, TransientError
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.venue import VenueRest

_Answer = TypeVar("_Answer")


class RefillLimits(msgspec.Struct, frozen=True, kw_only=True):
    """seconds_max: for all attempts at one answer (a page, where there are pages); then it is left to the aggregator's klines.

    lateness_ms: what the venue's answer may lack of its newest trades.
    pages_back_max: how many answers a first start looks back through, where the venue numbers its trades.
    """

    seconds_max: float = 60.0
    pause_seconds_max: float = 5.0
    at_once: int = 5
    lateness_ms: int = 1_000
    pages_back_max: int = 20


class Refiller:
    """Asks, judges (core/refill.py, core/paging.py), offers. A new session cancels what runs for the one before.

    A hole is settled in the frontier when nothing will be published for it (it is whole, or left to the klines), or once
    its last batch is published. Neither happens where the queue had no room: the next session asks for the hole again.
    on_reached(session, symbol, last id, time): every id up to this one was fetched, and none beyond it is older.
    """

    def __init__(
        self,
        rest: VenueRest,
        *,
        offer: Callable[[TradeBatch], bool],
        frontier: Frontier,
        log: Any,
        on_reached: Callable[[SessionIdentity, str, int, int], None] = lambda *_: None,
        limits: RefillLimits | None = None,
    ) -> None:
        self._rest = rest
        self._offer = offer
        self._frontier = frontier
        self._on_reached = on_reached
        self._log = log
        self._limits = limits or RefillLimits()
        self._gate = asyncio.Semaphore(self._limits.at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking_time = asyncio.Lock()
        self._venue_time_ms = 0  # the latest that the venue told
        self.reached = self.cut = self.failed = self.trades = 0

    @property
    def is_running(self) -> bool:
        """Whether holes are being filled now."""
        return bool(self._tasks)

    def start(self, identity: SessionIdentity, holes: Sequence[Hole], instruments: dict[str, Instrument]) -> None:
        """Fill these holes before the session, and the gaps known; what still ran for an earlier session is given up."""
        for task in self._tasks:
            task.cancel()
        for hole in holes:
            self._begin(identity, hole, instruments[hole.symbol], None)
            for gap in self._frontier.of(hole.symbol).gaps:
                self.fill_gap(identity, gap, instruments[hole.symbol])

    def fill(self, identity: SessionIdentity, holes: Sequence[Hole], instruments: dict[str, Instrument]) -> None:
        """Fill these holes beside whatever runs."""
        for hole in holes:
            self._begin(identity, hole, instruments[hole.symbol], None)

    def fill_gap(self, identity: SessionIdentity, gap: IdGap, instrument: Instrument) -> None:
        """Fetch the missing ids; the session goes on."""
        hole = Hole(
            exchange=identity.exchange,
            symbol=gap.symbol,
            from_ms=gap.after_ms + 1,
            to_ms=max(gap.before_ms, gap.after_ms + 1),
            first_id=gap.first_id,
            end_id=gap.end_id,
        )
        self._frontier.open_gap(gap)
        self._begin(identity, hole, instrument, gap)

    def _begin(self, identity: SessionIdentity, hole: Hole, instrument: Instrument, gap: IdGap | None) -> None:
        task = asyncio.create_task(self._fill(identity, hole, instrument, gap))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what runs."""
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _fill(self, identity: SessionIdentity, hole: Hole, instrument: Instrument, gap: IdGap | None) -> None:
        if gap is None and hole.from_ms >= hole.to_ms:
            self._frontier.settle(identity.session, hole.symbol)
            return
        async with self._gate:
            try:
                if hole.first_id is not None:
                    await self._fill_by_pages(identity, hole, instrument, gap)
                else:
                    batch, reaches, last = await self._until_answered(lambda: self._ask(identity, hole, instrument))
                    self._done(identity, hole, batch, last, reaches=reaches)
            except (TransientError, TimeoutError) as error:
                self.failed += 1
                self._log.warning("refill_failed", symbol=hole.symbol, error=str(error) or "deadline passed")
                self._give_up(identity, hole, gap)
            except PermanentError as error:
                self.failed += 1
                self._log.error("refill_refused", symbol=hole.symbol, error=str(error))
                self._give_up(identity, hole, gap)

    def _give_up(self, identity: SessionIdentity, hole: Hole, gap: IdGap | None) -> None:
        if gap is not None:
            self._frontier.close_gap(gap)
        else:
            self._frontier.settle(identity.session, hole.symbol)

    async def _until_answered(self, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Ask again after transient errors, with pauses; raises the last one when the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.seconds_max
        pause = 0.25
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await ask()
            except (TransientError, TimeoutError):
                if loop.time() + pause >= deadline:
                    raise
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreading load, no secret
                pause = min(self._limits.pause_seconds_max, pause * 2)

    async def _fill_by_pages(
        self, identity: SessionIdentity, hole: Hole, instrument: Instrument, gap: IdGap | None
    ) -> None:
        refill = PagedRefill(
            hole, session=identity.session, started_at_ms=identity.started_at_ms, instrument=instrument
        )
        page_max = self._rest.rules.recent_trades_max
        await self._until_answered(lambda: self._visible_to_ms(hole))
        while True:
            next_id = refill.next_id
            answer = await self._until_answered(partial(self._page, hole, next_id))
            page = judge_page(hole, next_id, answer, page_max=page_max)
            batch = refill.batch(page)
            if page.is_last:
                # Told before it is offered: the queue may publish it at once.
                reached = KnownTrade(trade_id=refill.next_id - 1, traded_at_ms=hole.to_ms)
                self._frontier.settle_after(batch, identity.session, hole.symbol, gap=gap, reached=reached)
            if not self._offer(batch):
                self.cut += 1
                return
            if page.is_last:
                break
        if gap is None:
            self._on_reached(identity, hole.symbol, refill.next_id - 1, hole.to_ms)
        self.reached += 1
        self.trades += refill.trades
        self._log.info(
            "refill_answered",
            symbol=hole.symbol,
            first_id=hole.first_id,
            next_id=refill.next_id,
            trades=refill.trades,
            from_ms=hole.from_ms,
            to_ms=hole.to_ms,
        )

    async def _page(self, hole: Hole, next_id: int) -> list[VenueTrade]:
        answer = await self._rest.trades_from(hole.symbol, next_id)
        judge_page(hole, next_id, answer, page_max=self._rest.rules.recent_trades_max)  # a bad answer is asked again
        return answer

    async def _visible_to_ms(self, hole: Hole) -> int:
        """Before what time an answer that is asked for now shows every trade; raises where the hole is younger.

        The venue's time only rises: an earlier answer will do where it is late enough, and one asks for all.
        """
        async with self._asking_time:
            if self._venue_time_ms - self._limits.lateness_ms < hole.to_ms:
                self._venue_time_ms = max(self._venue_time_ms, await self._rest.server_time_ms())
        visible_to_ms = self._venue_time_ms - self._limits.lateness_ms
        if visible_to_ms < hole.to_ms:
            raise TransientError(f"the venue's time must pass {hole.to_ms + self._limits.lateness_ms} first")
        return visible_to_ms

    async def _ask(
        self, identity: SessionIdentity, hole: Hole, instrument: Instrument
    ) -> tuple[TradeBatch | None, bool, KnownTrade | None]:
        """The refill, whether it reaches the hole's beginning, and the last numbered trade before the session."""
        # The time is asked first: the answer that follows is younger, so it shows all that happened before.
        visible_to_ms = await self._visible_to_ms(hole)
        # Trades of the new session witness that the answer is no stale copy.
        witness = self._frontier.of(hole.symbol).last_trade
        if witness is not None:
            hole = msgspec.structs.replace(hole, known=(*hole.known, witness))
        answer = await self._rest.recent_trades(hole.symbol)
        answer_max = self._rest.rules.recent_trades_max
        if self._rest.rules.ids_are_consecutive and len(answer) >= answer_max:
            answer = await self._further_back(hole, answer)
            answer_max = len(answer)
        refill = refill_hole(hole, answer, visible_to_ms=visible_to_ms, answer_max=answer_max)
        batch = refill_batch(
            hole, refill, session=identity.session, started_at_ms=identity.started_at_ms, instrument=instrument
        )
        before = [trade for trade in answer if trade.traded_at_ms < hole.to_ms and isinstance(trade.trade_id, int)]
        last = KnownTrade(trade_id=before[-1].trade_id, traded_at_ms=hole.to_ms) if before else None
        return batch, refill.reaches, last

    async def _further_back(self, hole: Hole, answer: list[VenueTrade]) -> list[VenueTrade]:
        """The answer with older pages before it, until it reaches the hole's beginning or there are enough."""
        step = self._rest.rules.recent_trades_max
        for _ in range(self._limits.pages_back_max):
            first_id = answer[0].trade_id
            if answer[0].traded_at_ms < hole.from_ms or not isinstance(first_id, int) or first_id <= 0:
                break
            older = await self._rest.trades_from(hole.symbol, first_id - step)
            older = [trade for trade in older if isinstance(trade.trade_id, int) and trade.trade_id < first_id]
            if not older or older[-1].trade_id != first_id - 1:
                break
            answer = [*older, *answer]
        return answer

    def _done(
        self,
        identity: SessionIdentity,
        hole: Hole,
        batch: TradeBatch | None,
        last: KnownTrade | None,
        *,
        reaches: bool,
    ) -> None:
        if batch is not None:
            self._frontier.settle_after(batch, identity.session, hole.symbol, reached=last)
        accepted = batch is None or self._offer(batch)
        if batch is None:
            self._frontier.settle(identity.session, hole.symbol)
        if last is not None and isinstance(last.trade_id, int):
            self._on_reached(identity, hole.symbol, last.trade_id, hole.to_ms)
        if reaches and accepted:
            self.reached += 1
        else:
            self.cut += 1
        self.trades += 0 if batch is None or not accepted else len(batch)
        self._log.info(
            "refill_answered",
            symbol=hole.symbol,
            from_ms=hole.from_ms,
            to_ms=hole.to_ms,
            trades=0 if batch is None else len(batch),
            covers_from_ms=hole.to_ms if batch is None else batch.covers_from_ms,
            reaches=reaches,
            accepted=accepted,
        )
