"""The way to the bus: one queue in order, retried for ever; what cannot wait any longer is refused, never skipped."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from services.ingestion.backlog import Backlog
from shared.bus.port import Bus
from shared.domain.errors import TransientError
from shared.domain.events import SystemEvent
from shared.domain.trades import TradeBatch
from shared.exchanges.feed import Refusal
from shared.runtime.crash import crash_point

SYSTEM_EVENTS: Final = "system-events"
BATCHES_PER_PUBLISH: Final = 50


class PublisherLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Pauses between attempts while the bus is down (random up to the doubling limit), and bounds of what else waits."""

    pause_seconds_first: float = 0.1
    pause_seconds_max: float = 5.0
    events_max: int = 200
    refusals_max: int = 1_000


class Publisher:
    """Publishes batches of one topic, and beside them system events and refusals."""

    def __init__(
        self,
        bus: Bus,
        backlog: Backlog,
        *,
        topic: str,
        refusals_to: str,
        on_published: Callable[[TradeBatch], None],
        log: Any,
        limits: PublisherLimits | None = None,
    ) -> None:
        self._bus = bus
        self._backlog = backlog
        self._topic = topic
        self._refusals_to = refusals_to
        self._on_published = on_published
        self._log = log
        self._limits = limits or PublisherLimits()
        self._events: deque[SystemEvent] = deque(maxlen=self._limits.events_max)
        self._refusals: deque[Refusal] = deque(maxlen=self._limits.refusals_max)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._failures = 0
        self.published = self.refused = 0

    @property
    def bus_is_down(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    @property
    def backlog(self) -> Backlog:
        """What waits."""
        return self._backlog

    def offer(self, batch: TradeBatch) -> bool:
        """Queue a batch; False when there is no room: the session must end, a hole begins."""
        accepted = self._backlog.offer(batch)
        self.wake()
        return accepted

    def say(self, event: SystemEvent) -> None:
        """Queue a system event; when too many wait the oldest is dropped (its log line stays)."""
        self._log.warning("system_event", kind=event.kind, subject=event.subject, text=event.text)
        self._events.append(event)
        self.wake()

    def refuse(self, refusal: Refusal) -> None:
        """Queue a refused frame or trade for the dead letters; counted and logged even when too many wait."""
        self.refused += 1
        self._log.warning("trade_refused", topic=refusal.topic, reason=refusal.reason)
        self._refusals.append(refusal)
        self.wake()

    async def run(self) -> None:
        """Until cancelled. Raises PermanentError where the bus refuses for good (an undeclared topic)."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while not self.is_idle:
                try:
                    await self._publish_some()
                except TransientError as error:
                    await self._bus_failed(error)
            self._idle.set()  # no await since the check: nothing came in between

    def wake(self) -> None:
        """Look at once whether something waits (what an earlier process left, say)."""
        self._idle.clear()
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits."""
        return self._backlog.is_empty and not self._events and not self._refusals

    async def drain(self, *, seconds: float) -> bool:
        """Wait until nothing waits, at most so long; whether it was reached."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout=seconds)
        return self.is_idle

    async def _publish_some(self) -> None:
        batches, token = self._backlog.peek(BATCHES_PER_PUBLISH)
        if batches or token:
            if batches:
                await self._bus.publish(self._topic, batches)
            crash_point("ingestion.published")
            self._backlog.commit(len(batches), token)
            self.published += len(batches)
            for batch in batches:
                self._on_published(batch)
        if self._events:
            await self._bus.publish(SYSTEM_EVENTS, [self._events[0]])
            self._events.popleft()
        if self._refusals:
            first = self._refusals[0]
            await self._bus.refuse(self._refusals_to, first.data, {"topic": first.topic}, first.reason)
            self._refusals.popleft()
        if self._failures:
            self._log.info("bus_is_back", attempts=self._failures)
            self._failures = 0
            self._backlog.bus_is_up()

    async def _bus_failed(self, error: TransientError) -> None:
        if not self._failures:
            self._log.warning("bus_is_down", error=str(error))
        self._failures += 1
        self._backlog.bus_is_down()
        ceiling = min(self._limits.pause_seconds_max, self._limits.pause_seconds_first * 2.0 ** min(self._failures, 20))
        await asyncio.sleep(random.uniform(0, ceiling))  # noqa: S311 - spreading load, no secret
