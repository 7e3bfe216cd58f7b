"""Starts the aggregator: `python -m services.aggregator.main`."""

import asyncio
import contextlib
from collections.abc import Sequence

from services.aggregator.handlers import Aggregator
from services.aggregator.settings import Settings
from shared.bus.port import Delivery
from shared.domain.errors import FencedError, TransientError
from shared.exchanges.bybit.instruments import REST_URL
from shared.exchanges.bybit.rest import bybit_rest
from shared.exchanges.venue import BYBIT_LINEAR, VenueRest
from shared.runtime.config import load_config
from shared.runtime.consumer import consume, wait_or_stop
from shared.runtime.service import ServiceContext, run_service
from shared.store.port import Lease

LEASE_NAME = "aggregator"
_RENEWALS_PER_TTL = 3
_RETRY_SECONDS = 0.5
Context = ServiceContext[Settings]


async def start(context: Context) -> None:
    """Wait for the lease, be the active aggregator while it is held, wait again when it is lost."""
    rest = _rest(context.settings)
    try:
        while not context.stopping.is_set():
            lease = await _acquire(context)
            if lease is None:
                await context.report_status({"role": "standby"})
                await wait_or_stop(context.stopping, _RETRY_SECONDS)
                continue
            context.log.info("lease_acquired", fence=lease.fence)
            await _Active(context, lease, rest).run()
            with contextlib.suppress(TransientError):
                await context.store.release_lease(lease)
    finally:
        for venue in rest.values():
            await venue.close()


def _rest(settings: Settings) -> dict[str, VenueRest]:
    config = load_config(settings.tracker_config)
    venue = config.venues.get(BYBIT_LINEAR)
    if venue is None:
        return {}
    return {BYBIT_LINEAR: bybit_rest(settings.rest_url or venue.rest_url or REST_URL)}


async def _acquire(context: Context) -> Lease | None:
    settings = context.settings
    try:
        return await context.store.acquire_lease(LEASE_NAME, settings.instance_id, ttl_ms=settings.lease_ttl_ms)
    except TransientError as error:
        context.log.warning("lease_not_reachable", error=str(error))
        return None


class _Active:
    """One term of office: its tasks end together when the service stops or the lease is lost."""

    def __init__(self, context: Context, lease: Lease, rest: dict[str, VenueRest]) -> None:
        self._context = context
        self._settings = context.settings
        self._lease = lease
        self._over = asyncio.Event()
        self._work = asyncio.Event()
        self._repair = asyncio.Event()
        self._aggregator = Aggregator(
            store=context.store, bus=context.bus, limits=self._settings.limits(), rest=rest, fence=lease.fence
        )

    async def run(self) -> None:
        """Until stopping or fenced; batches in hand are appended and closed first."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._stop_with_service())
                tasks.create_task(self._consume())
                tasks.create_task(self._close())
                tasks.create_task(self._repair_klines())
                tasks.create_task(self._renew())
                tasks.create_task(self._look_again())
                tasks.create_task(self._prune())
                tasks.create_task(self._report())
        finally:
            self._over.set()

    async def _stop_with_service(self) -> None:
        stop = asyncio.ensure_future(self._context.stopping.wait())
        over = asyncio.ensure_future(self._over.wait())
        await asyncio.wait({stop, over}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        over.cancel()
        self._over.set()
        self._work.set()
        self._repair.set()

    async def _consume(self) -> None:
        await consume(
            self._context.bus,
            self._settings.subscription,
            self._append,
            stopping=self._over,
            log=self._context.log,
            max_messages=self._settings.batches_per_pull_max,
        )

    async def _append(self, deliveries: Sequence[Delivery]) -> None:
        try:
            await self._aggregator.handle(deliveries)
        except FencedError as error:
            self._lost(error)
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
                self._lost(error)
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
                self._lost(error)
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

    async def _renew(self) -> None:
        seconds = self._settings.lease_ttl_ms / 1000 / _RENEWALS_PER_TTL
        held_until_ms = self._lease.expires_at_ms
        while not await wait_or_stop(self._over, seconds):
            lease = await _acquire(self._context)
            if lease is not None and lease.fence == self._lease.fence:
                held_until_ms = lease.expires_at_ms
            elif lease is not None or self._context.clock.wall_ms() >= held_until_ms:
                self._lost(FencedError(f"lease {LEASE_NAME} is no longer ours (fence {self._lease.fence})"))

    async def _look_again(self) -> None:
        """A former owner may have appended until its lease ran out; its rows are durable, so they are read once more."""
        if self._lease.fence > 1 and not await wait_or_stop(self._over, self._settings.lease_ttl_ms / 1000):
            with contextlib.suppress(TransientError):
                await self._aggregator.recover()
            self._work.set()

    async def _prune(self) -> None:
        while not await wait_or_stop(self._over, self._settings.prune_every_seconds):
            self._aggregator.forget_old()
            try:
                rows, messages = await self._context.store.prune(), await self._context.bus.prune()
            except TransientError as error:
                self._context.log.warning("prune_will_try_again", error=str(error))
            else:
                self._context.log.debug("pruned", rows=rows, messages=messages)

    async def _report(self) -> None:
        while True:
            status = self._aggregator.status(now_market_ms=self._context.clock.market_ms())
            await self._context.report_status({"role": "active", "fence": self._lease.fence, **status})
            if await wait_or_stop(self._over, self._settings.status_every_seconds):
                return

    def _lost(self, error: FencedError) -> None:
        self._context.log.warning("lease_lost", error=str(error))
        self._over.set()


if __name__ == "__main__":
    run_service("aggregator", Settings, start)
