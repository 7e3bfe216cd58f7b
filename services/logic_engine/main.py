"""Starts the logic engine: `python -m services.logic_engine.main`."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Sequence

from services.logic_engine.configured import active_strategies, markets
from services.logic_engine.core.active import ActiveStrategy
from services.logic_engine.handlers import LogicEngine
from services.logic_engine.kernels import load_kernels
from services.logic_engine.settings import Settings
from shared.bus.port import Delivery
from shared.domain.errors import FencedError, PermanentError, TransientError
from shared.domain.events import CandleCorrected, CandlesClosed, MacroBiasUpdated
from shared.indicators import compilations
from shared.runtime.config import load_config
from shared.runtime.consumer import consume, wait_or_stop
from shared.runtime.service import ServiceContext, run_service
from shared.store.port import Lease

LEASE_NAME = "logic_engine"
_RENEWALS_PER_TTL = 3
_RETRY_SECONDS = 0.5
Context = ServiceContext[Settings]
Handle = Callable[[Sequence[Delivery]], Awaitable[None]]


async def start(context: Context) -> None:
    """Have the kernels ready; then wait for the lease, be the active engine while it is held, wait again when it is lost."""
    settings = context.settings
    config = load_config(settings.tracker_config)
    strategies = active_strategies(config)
    compiled = load_kernels(settings.kernel_cache_dir, require_compiled=settings.require_compiled)
    gc.collect()
    gc.freeze()  # Numba leaves a large heap that never changes: no collection walks over it again
    context.log.info("kernels_ready", compiled=compiled, strategies=[active.name for active in strategies])
    while not context.stopping.is_set():
        lease = await _acquire(context)
        if lease is None:
            await context.report_status({"role": "standby"})
            await wait_or_stop(context.stopping, settings.lease_ttl_ms / 1000 / _RENEWALS_PER_TTL)
            continue
        context.log.info("lease_acquired", fence=lease.fence)
        await _Active(context, lease, strategies, markets(config)).run()
        with contextlib.suppress(TransientError):
            await context.store.release_lease(lease)


async def _acquire(context: Context) -> Lease | None:
    settings = context.settings
    try:
        return await context.store.acquire_lease(LEASE_NAME, settings.instance_id, ttl_ms=settings.lease_ttl_ms)
    except TransientError as error:
        context.log.warning("lease_not_reachable", error=str(error))
        return None


class _Active:
    """One term of office: its tasks end together when the service stops or the lease is lost."""

    def __init__(
        self,
        context: Context,
        lease: Lease,
        strategies: Sequence[ActiveStrategy],
        followed: Sequence[tuple[str, str]],
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._lease = lease
        self._followed = followed
        self._over = asyncio.Event()
        self._engine = LogicEngine(
            store=context.store,
            bus=context.bus,
            clock=context.clock,
            strategies=strategies,
            fence=lease.fence,
            entry_freshness_ms=self._settings.entry_freshness_ms,
            gap_patience_ms=self._settings.gap_patience_ms,
        )

    async def run(self) -> None:
        """Until stopping or fenced; the list in hand is finished first."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stop_with_service())
            tasks.create_task(self._renew())
            tasks.create_task(self._report())
            await self._begin()
            tasks.create_task(self._consume(self._settings.candles_subscription, self._candles))
            tasks.create_task(self._consume(self._settings.bias_subscription, self._biases))
            tasks.create_task(self._sweep())

    async def _stop_with_service(self) -> None:
        stop = asyncio.ensure_future(self._context.stopping.wait())
        over = asyncio.ensure_future(self._over.wait())
        await asyncio.wait({stop, over}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        over.cancel()
        self._over.set()

    async def _begin(self) -> None:
        """Load what was followed before; go over what was stored meanwhile."""
        while not self._over.is_set():
            if await self._tried(self._engine.start(self._followed)):
                return
            await wait_or_stop(self._over, _RETRY_SECONDS)

    async def _consume(self, subscription: str, handle: Handle) -> None:
        async def guarded(deliveries: Sequence[Delivery]) -> None:
            try:
                await handle(deliveries)
            except FencedError as error:
                self._lost(error)
                raise

        await consume(
            self._context.bus,
            subscription,
            guarded,
            stopping=self._over,
            log=self._context.log,
            max_messages=self._settings.events_per_pull_max,
        )

    async def _candles(self, deliveries: Sequence[Delivery]) -> None:
        events = [item.event for item in deliveries]
        await self._engine.handle_candles([e for e in events if isinstance(e, CandlesClosed | CandleCorrected)])

    async def _biases(self, deliveries: Sequence[Delivery]) -> None:
        events = [item.event for item in deliveries]
        await self._engine.handle_bias([event for event in events if isinstance(event, MacroBiasUpdated)])

    async def _sweep(self) -> None:
        while not self._over.is_set():
            await self._tried(self._sweep_once())
            await wait_or_stop(self._over, self._settings.sweep_every_seconds)

    async def _sweep_once(self) -> None:
        while not self._over.is_set():
            handled = await self._engine.sweep()
            if not handled:
                return
            self._context.log.info("swept", candles=handled)

    async def _tried(self, work: Awaitable[None]) -> bool:
        try:
            await work
        except FencedError as error:
            self._lost(error)
        except (TransientError, PermanentError) as error:  # one bad row must not end the service: the others go on
            self._context.log.warning("will_try_again", error=str(error))
            return False
        return True

    async def _renew(self) -> None:
        seconds = self._settings.lease_ttl_ms / 1000 / _RENEWALS_PER_TTL
        held_until_ms = self._lease.expires_at_ms
        while not await wait_or_stop(self._over, seconds):
            lease = await _acquire(self._context)
            if lease is not None and lease.fence == self._lease.fence:
                held_until_ms = lease.expires_at_ms
            elif lease is not None or self._context.clock.wall_ms() >= held_until_ms:
                self._lost(FencedError(f"lease {LEASE_NAME} is no longer ours (fence {self._lease.fence})"))

    async def _report(self) -> None:
        while True:
            status = {**self._engine.status(), "compilations": compilations()}
            await self._context.report_status({"role": "active", "fence": self._lease.fence, **status})
            if await wait_or_stop(self._over, self._settings.status_every_seconds):
                return

    def _lost(self, error: FencedError) -> None:
        self._context.log.warning("lease_lost", error=str(error))
        self._over.set()


if __name__ == "__main__":
    run_service("logic_engine", Settings, start)
