"""Fills the hole before a session from the venue's newest trades: one task per session, one request per symbol."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.ingestion.core.frontier import KnownTrade
from services.ingestion.core.refill import Hole, refill_batch, refill_hole
from services.ingestion.core.window import SessionIdentity
from shared.domain.errors import PermanentError, TransientError
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch
from shared.exchanges.venue import VenueRest


class RefillLimits(msgspec.Struct, frozen=True, kw_only=True):
    """seconds_max: for all attempts at one session's holes; then they are left to the aggregator's klines.

    lateness_ms: what the venue's answer may lack of its newest trades.
    """

    seconds_max: float = 60.0
    pause_seconds_max: float = 5.0
    at_once: int = 5
    lateness_ms: int = 1_000


class Refiller:
    """Asks, judges (core/refill.py), offers. A new session cancels what runs for the one before.

    settle(session, symbol):              nothing will be published for the hole: it is whole, or left to the klines.
    settle_after(refill, session, symbol): the hole is filled once the batch of the session `refill` is published.
    Neither is called where the queue had no room for the refill: the next session asks for the same hole again.
    """

    def __init__(
        self,
        rest: VenueRest,
        *,
        offer: Callable[[TradeBatch], bool],
        settle: Callable[[str, str], None],
        settle_after: Callable[[str, str, str], None],
        last_trade: Callable[[str], KnownTrade | None],
        log: Any,
        limits: RefillLimits | None = None,
    ) -> None:
        self._rest = rest
        self._offer = offer
        self._settle = settle
        self._settle_after = settle_after
        self._last_trade = last_trade
        self._log = log
        self._limits = limits or RefillLimits()
        self._task: asyncio.Task[None] | None = None
        self.reached = self.cut = self.failed = 0

    @property
    def is_running(self) -> bool:
        """Whether holes are being filled now."""
        return self._task is not None and not self._task.done()

    def start(self, identity: SessionIdentity, holes: Sequence[Hole], instruments: dict[str, Instrument]) -> None:
        """Fill these holes before the session; what still ran for an earlier session is given up."""
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._fill_all(identity, holes, instruments))

    async def close(self) -> None:
        """Give up what runs."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _fill_all(
        self, identity: SessionIdentity, holes: Sequence[Hole], instruments: dict[str, Instrument]
    ) -> None:
        gate = asyncio.Semaphore(self._limits.at_once)

        async def fill(hole: Hole) -> None:
            if hole.from_ms >= hole.to_ms:
                self._settle(identity.session, hole.symbol)
                return
            async with gate:
                await self._fill(identity, hole, instruments[hole.symbol])

        await asyncio.gather(*(fill(hole) for hole in holes))

    async def _fill(self, identity: SessionIdentity, hole: Hole, instrument: Instrument) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.seconds_max
        pause = 0.25
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    batch, reaches = await self._ask(identity, hole, instrument)
            except (TransientError, TimeoutError) as error:
                if loop.time() + pause >= deadline:
                    self.failed += 1
                    self._log.warning("refill_failed", symbol=hole.symbol, error=str(error) or "deadline passed")
                    self._settle(identity.session, hole.symbol)
                    return
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreading load, no secret
                pause = min(self._limits.pause_seconds_max, pause * 2)
                continue
            except PermanentError as error:
                self.failed += 1
                self._log.error("refill_refused", symbol=hole.symbol, error=str(error))
                self._settle(identity.session, hole.symbol)
                return
            self._done(identity, hole, batch, reaches=reaches)
            return

    async def _ask(
        self, identity: SessionIdentity, hole: Hole, instrument: Instrument
    ) -> tuple[TradeBatch | None, bool]:
        # The time is asked first: the answer that follows is younger, so it shows all that happened before.
        visible_to_ms = await self._rest.server_time_ms() - self._limits.lateness_ms
        if visible_to_ms < hole.to_ms:
            raise TransientError(f"the venue's time must pass {hole.to_ms + self._limits.lateness_ms} first")
        # Trades of the new session witness that the answer is no stale copy.
        witness = self._last_trade(hole.symbol)
        if witness is not None:
            hole = msgspec.structs.replace(hole, known=(*hole.known, witness))
        answer = await self._rest.recent_trades(hole.symbol)
        answer_max = self._rest.rules.recent_trades_max
        refill = refill_hole(hole, answer, visible_to_ms=visible_to_ms, answer_max=answer_max)
        batch = refill_batch(
            hole, refill, session=identity.session, started_at_ms=identity.started_at_ms, instrument=instrument
        )
        return batch, refill.reaches

    def _done(self, identity: SessionIdentity, hole: Hole, batch: TradeBatch | None, *, reaches: bool) -> None:
        accepted = batch is None or self._offer(batch)
        if batch is None:
            self._settle(identity.session, hole.symbol)
        elif accepted:
            self._settle_after(batch.session, identity.session, hole.symbol)
        if reaches and accepted:
            self.reached += 1
        else:
            self.cut += 1
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
