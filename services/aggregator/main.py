"""Starts the aggregator: `python -m services.aggregator.main`."""

import asyncio
import contextlib
import os
from collections.abc import Sequence

from services.aggregator.feed_watch import feed_watch
from services.aggregator.handlers import Aggregator
from services.aggregator.settings import Settings
from shared.bus.port import Delivery
from shared.domain.errors import FencedError, PermanentError, TransientError
from shared.domain.splitting import warm_up
from shared.exchanges.registry import Venue, venues_among
from shared.exchanges.venue import VenueRest
from shared.runtime.config import load_config
from shared.runtime.consumer import consume, wait_or_stop
from shared.runtime.leadership import Term, lead
from shared.runtime.service import ServiceContext, run_service
from shared.runtime.settings import require_writable

LEASE_NAME = "aggregator"
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 0.5
Context = ServiceContext[Settings]


async def start(context: Context) -> None:
    """Wait for the lease, be the active aggregator while it is held, wait again when it is lost."""
    require_writable(context.settings.kernel_cache_dir, "NUMBA_CACHE_DIR")
    os.environ["NUMBA_CACHE_DIR"] = str(context.settings.kernel_cache_dir.resolve())  # before anything imports Numba
    warm_up()  # before the first batch, which must not wait for it
    settings = context.settings
    config = load_config(settings.tracker_config)
    venues = venues_among(config.venues)
    if not venues:
        raise PermanentError(f"{settings.tracker_config}: venues name none whose trades could be followed")
    rest = {
        exchange: venue.make_rest(
            settings.rest_urls().get(exchange) or config.venues[exchange].rest_url or venue.rest_url
        )
        for venue in venues
        for exchange in (venue.rules.exchange,)
    }

    async def serve(term: Term) -> None:
        await _Active(context, term, venues, rest).run()

    try:
        await lead(context, LEASE_NAME, serve, ttl_ms=settings.lease_ttl_ms, retry_seconds=_RETRY_SECONDS)
    finally:
        for venue in rest.values():
            await venue.close()


class _Active:
    """One term of office: its tasks end together when the service stops or the lease is lost."""

    def __init__(self, context: Context, term: Term, venues: Sequence[Venue], rest: dict[str, VenueRest]) -> None:
        self._context = context
        self._settings = settings = context.settings
        self._term = term
        self._over = term.over
        self._work = asyncio.Event()
        self._repair = asyncio.Event()
        self._feeds = {
            venue.subscription: feed_watch(
                bus=context.bus,
                clock=context.clock,
                exchange=venue.rules.exchange,
                budget_seconds=settings.feed_freshness_seconds,
            )
            for venue in venues
        }
        self._aggregator = Aggregator(
            store=context.store,
            bus=context.bus,
            limits=settings.limits(),
            rest=rest,
            fence=term.fence,
            subscriptions={venue.rules.exchange: venue.subscription for venue in venues},
            audit_limits=settings.audit_limits(),
            tape_limits=settings.tape_limits(),
            symbol_budget_ms=settings.symbol_freshness_ms,
            sequence_patience_ms=round(settings.sequence_gap_seconds * 1000),
        )

    async def run(self) -> None:
        """Until stopping or fenced; batches in hand are appended and closed first."""
        await self._term.run(
            self._wake_at_the_end,
            self._consume,
            self._close,
            self._repair_klines,
            self._look_again,
            self._watch_feed,
            self._audit,
            self._prune,
            self._report,
        )

    async def _wake_at_the_end(self) -> None:
        await self._over.wait()
        self._work.set()
        self._repair.set()

    async def _consume(self) -> None:
        """Every venue's trades, side by side; appending takes turns."""
        async with asyncio.TaskGroup() as tasks:
            for subscription in self._feeds:
                reading = consume(
                    self._context.bus,
                    subscription,
                    self._append,
                    stopping=self._over,
                    log=self._context.log,
                    max_messages=self._settings.batches_per_pull_max,
                )
                tasks.create_task(reading)

    async def _append(self, deliveries: Sequence[Delivery]) -> None:
        self._feeds[deliveries[0].subscription].arrived()
        try:
            await self._aggregator.handle(deliveries)
        except FencedError as error:
            self._term.lost(error)
            raise
        self._work.set()

    async def _close(self) -> None:
        self._work.set()  # what a former run left behind
        while not self._over.is_set():
            await self._work.wait()
            self._work.clear()
            try:
                await self._aggregator.close_minutes()
                if self._aggregator.repair_is_wanted:
                    self._repair.set()
            except FencedError as error:
                self._term.lost(error)
            except TransientError as error:
                self._context.log.warning("closing_will_try_again", error=str(error))
                await wait_or_stop(self._over, _RETRY_SECONDS)
                self._work.set()

    async def _repair_klines(self) -> None:
        while not self._over.is_set():
            again = False
            try:
                await asyncio.wait_for(self._repair.wait(), timeout=self._settings.repair_every_seconds)
            except TimeoutError:
                again = True
            self._repair.clear()
            if self._over.is_set():
                return
            try:
                await self._repair_until_over(again=again)
            except FencedError as error:
                self._term.lost(error)
            except TransientError as error:
                self._context.log.warning("repair_will_try_again", error=str(error))
            self._work.set()
            if self._aggregator.history_is_wanted:
                await wait_or_stop(self._over, _RETRY_SECONDS)
                self._repair.set()

    async def _repair_until_over(self, *, again: bool) -> None:
        """A shutdown does not wait for an answer: unasked klines stay work items of the next owner."""
        deadline_seconds = self._settings.rest_deadline_seconds
        repairing = asyncio.ensure_future(self._aggregator.repair(deadline_seconds=deadline_seconds, again=again))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({repairing, over}, return_when=asyncio.FIRST_COMPLETED)
            if repairing.done():
                repairing.result()
        finally:
            over.cancel()
            repairing.cancel()

    async def _look_again(self) -> None:
        """A former owner may have appended until its lease ran out, or longer where a broker held a write of his back."""
        seconds = self._settings.lease_ttl_ms / 1000
        while self._term.fence > 1 and not await wait_or_stop(self._over, seconds):
            seconds = self._settings.repair_every_seconds
            with contextlib.suppress(TransientError):
                if await self._aggregator.look_for_strangers():
                    self._work.set()

    async def _watch_feed(self) -> None:
        while not await wait_or_stop(self._over, _LOOK_SECONDS):
            looks = [
                *(feed.look for feed in self._feeds.values()),
                self._aggregator.look_at_symbols,
                self._look_for_gaps,
            ]
            for look in looks:
                try:
                    await look()
                except FencedError as error:
                    self._term.lost(error)
                except TransientError as error:
                    self._context.log.warning("feed_will_be_told_again", error=str(error))

    async def _look_for_gaps(self) -> None:
        await self._aggregator.ask_for_lost_batches(self._context.clock.wall_ms())

    async def _audit(self) -> None:
        while not await wait_or_stop(self._over, self._settings.audit_every_seconds):
            try:
                await self._aggregator.audit()
            except FencedError as error:
                self._term.lost(error)
            except TransientError as error:
                self._context.log.warning("audit_will_try_again", error=str(error))
            self._work.set()  # what differs is folded again

    async def _prune(self) -> None:
        while not await wait_or_stop(self._over, self._settings.prune_every_seconds):
            self._aggregator.forget_old()
            try:
                rows = await self._aggregator.keep_tape() + await self._context.store.prune()
                messages, entries = await self._context.bus.prune(), await self._context.cache.prune()
            except FencedError as error:
                self._term.lost(error)
            except TransientError as error:
                self._context.log.warning("prune_will_try_again", error=str(error))
            else:
                self._context.log.debug("pruned", rows=rows, messages=messages, entries=entries)

    def _feed_status(self) -> dict[str, object]:
        """Of several feeds the worst."""
        feeds = [feed.status() for feed in self._feeds.values()]
        return max(feeds, key=lambda one: (bool(one["feed_blind"]), int(str(one["feed_age_ms"]))))

    async def _report(self) -> None:
        clock = self._settings.clock()
        while True:
            status = {"role": "active", "fence": self._term.fence, **self._feed_status()}
            status |= self._aggregator.status(now_market_ms=clock.market_ms(), wall_seconds=clock.wall_seconds)
            await self._context.report_status(status)
            if await wait_or_stop(self._over, self._settings.status_every_seconds):
                return


if __name__ == "__main__":
    run_service("aggregator", Settings, start)
