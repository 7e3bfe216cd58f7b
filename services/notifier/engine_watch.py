"""Whether the logic engine still works: its signals are rare, so its signs of life are watched instead."""

import asyncio
from typing import Any, Final

import msgspec

from shared.bus.port import Bus
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.runtime.clock import Clock
from shared.runtime.consumer import wait_or_stop
from shared.runtime.hop_watch import HopTexts, HopWatch, Silence

_STATUS: Final = "status:logic_engine"
_LOOK_SECONDS: Final = 5.0


class EngineWatch:
    """Looks at the status that the engine reports every few seconds. A cache that is away says nothing about the engine."""

    def __init__(self, *, bus: Bus, cache: Cache, clock: Clock, budget_seconds: float, log: Any) -> None:
        self._cache = cache
        self._log = log
        self._seen_at_ms = 0
        self._watch = HopWatch(
            bus=bus,
            clock=clock,
            subject="notifier#logic_engine",
            name="engine",
            budget_seconds=budget_seconds,
            texts=HopTexts(_blind, _seeing),
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop."""
        while not await wait_or_stop(stopping, _LOOK_SECONDS):
            await self.look()

    async def look(self) -> None:
        """One look."""
        try:
            data = await self._cache.get(_STATUS)
            at_ms = msgspec.json.decode(data)["at_ms"] if data is not None else self._seen_at_ms
            if at_ms != self._seen_at_ms:
                self._seen_at_ms = at_ms
                self._watch.arrived()
            await self._watch.look()
        except TransientError as error:
            self._log.warning("engine_will_be_looked_at_again", error=str(error))

    def status(self) -> dict[str, object]:
        """Figures for the status report."""
        return self._watch.status()


def _blind(silence: Silence) -> str:
    return (
        f"The logic engine has given no sign of life since {silence.since} ({silence.seconds}): no signal can come,"
        " and open ones are not followed. Is it running?"
    )


def _seeing(silence: Silence) -> str:
    return (
        f"The logic engine is at work again, after {silence.seconds} (nothing since {silence.since}): about"
        f" {silence.minutes} minute(s) are decided late, and what is stale opens nothing"
    )
