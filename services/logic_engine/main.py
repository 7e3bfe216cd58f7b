"""Starts the logic engine: `python -m services.logic_engine.main`."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from services.logic_engine.candle_watch import CandleWatch
from services.logic_engine.configured import active_strategies, markets
from services.logic_engine.handlers import LogicEngine
from services.logic_engine.kernels import use_kernels
from services.logic_engine.settings import Settings
from shared.bus.port import Delivery
from shared.deciding.active import ActiveStrategy
from shared.domain.errors import FencedError, InvalidValueError, PermanentError, TransientError
from shared.domain.events import CandleCorrected, CandlesClosed, MacroBiasUpdated
from shared.indicators import compilations
from shared.runtime.config import load_config
from shared.runtime.consumer import consume, wait_or_stop
from shared.runtime.leadership import Term, lead
from shared.runtime.service import ServiceContext, run_service

LEASE_NAME = "logic_engine"
_TRIES_PER_TTL = 3
_RETRY_SECONDS = 0.5
_LOOK_SECONDS = 5.0
Context = ServiceContext[Settings]
EventT = TypeVar("EventT", CandlesClosed | CandleCorrected, MacroBiasUpdated)
Handle = Callable[[Sequence[Delivery]], Awaitable[None]]


async def start(context: Context) -> None:
    """Have the kernels ready; then wait for the lease, be the active engine while it is held, wait again when it is lost."""
    settings = context.settings
    config = load_config(settings.tracker_config)
    use_kernels(settings.kernel_cache_dir, require_compiled=settings.require_compiled)
    strategies = active_strategies(config)
    gc.collect()
    gc.freeze()  # Numba leaves a large heap that never changes: no collection walks over it again
    context.log.info("kernels_ready", compiled=compilations(), strategies=[active.name for active in strategies])

    async def serve(term: Term) -> None:
        await _Active(context, term, strategies, markets(config)).run()

    ttl_ms = settings.lease_ttl_ms
    await lead(context, LEASE_NAME, serve, ttl_ms=ttl_ms, retry_seconds=ttl_ms / 1000 / _TRIES_PER_TTL)


class _Active:
    """One term of office: its tasks end together when the service stops or the lease is lost."""

    def __init__(
        self,
        context: Context,
        term: Term,
        strategies: Sequence[ActiveStrategy],
        followed: Sequence[tuple[str, str]],
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._term = term
        self._followed = followed
        self._over = term.over
        self._engine = LogicEngine(
            store=context.store,
            bus=context.bus,
            clock=context.clock,
            strategies=strategies,
            fence=term.fence,
            entry_freshness_ms=self._settings.entry_freshness_ms,
            gap_patience_ms=self._settings.gap_patience_ms,
        )
        self._watch = CandleWatch(
            bus=context.bus,
            clock=context.clock,
            exchanges=[exchange for exchange, _ in followed],
            budget_seconds=self._settings.candle_freshness_seconds,
        )

    async def run(self) -> None:
        """Until stopping or fenced; the list in hand is finished first."""
        await self._term.run(self._report, self._work)

    async def _work(self) -> None:
        await self._begin()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._consume(self._settings.candles_subscription, self._candles))
            tasks.create_task(self._consume(self._settings.bias_subscription, self._biases))
            tasks.create_task(self._sweep())
            tasks.create_task(self._watch_candles())

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
                self._term.lost(error)
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
        events: list[CandlesClosed | CandleCorrected] = _only((CandlesClosed, CandleCorrected), deliveries)
        self._watch.arrived(events)
        await self._engine.handle_candles(events)

    async def _biases(self, deliveries: Sequence[Delivery]) -> None:
        await self._engine.handle_bias(_only((MacroBiasUpdated,), deliveries))

    async def _watch_candles(self) -> None:
        while not await wait_or_stop(self._over, _LOOK_SECONDS):
            await self._tried(self._watch.look())

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
            self._term.lost(error)
        except (TransientError, PermanentError) as error:  # one bad row must not end the service: the others go on
            self._context.log.warning("will_try_again", error=str(error))
            return False
        return True

    async def _report(self) -> None:
        while True:
            status = {**self._engine.status(), **self._watch.status(), "compilations": compilations()}
            await self._context.report_status({"role": "active", "fence": self._term.fence, **status})
            if await wait_or_stop(self._over, self._settings.status_every_seconds):
                return


def _only(kinds: tuple[type[EventT], ...], deliveries: Sequence[Delivery]) -> list[EventT]:
    """The events; raises InvalidValueError where one does not belong on this topic: it is dead-lettered, not lost in silence."""
    events: list[EventT] = []
    for delivery in deliveries:
        if not isinstance(delivery.event, kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            kind = type(delivery.event).__name__
            raise InvalidValueError(f"only {expected} is expected, was {kind} ({delivery.subscription})")
        events.append(delivery.event)
    return events


if __name__ == "__main__":
    run_service("logic_engine", Settings, start)
