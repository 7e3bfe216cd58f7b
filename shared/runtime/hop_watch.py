"""Tells people when what one service sends reaches the next one no more: only the receiver can say that the sender is gone."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog

from shared.bus.port import Bus
from shared.domain.events import Severity, SystemEvent
from shared.domain.feed_freshness import FeedFreshness, Verdict
from shared.domain.timeframe import MINUTE_MS
from shared.runtime.clock import Clock

SYSTEM_TOPIC: Final = "system-events"


class Silence(NamedTuple):
    """A silence as people read it. since: its begin, UTC; seconds: how long it lasted; minutes: the same in market time."""

    since: str
    seconds: str
    minutes: int


class HopTexts(NamedTuple):
    """What is told when a silence is noticed, and when it is over: with what was missed."""

    blind: Callable[[Silence], str]
    seeing: Callable[[Silence], str]


class HopWatch:
    """Watches one hop in wall time; silence is counted from the start on. name: of its figures in the status."""

    def __init__(
        self, *, bus: Bus, clock: Clock, subject: str, name: str, budget_seconds: float, texts: HopTexts
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._subject = subject
        self._name = name
        self._texts = texts
        self._freshness = FeedFreshness(budget_ms=round(budget_seconds * 1000), now_ms=clock.wall_ms())
        self._last_market_ms = clock.market_ms()  # when something came last, before a silence that is told
        self._log: Any = structlog.get_logger(subject.partition("#")[0])

    def arrived(self) -> None:
        """Something came."""
        self._freshness.arrived(self._clock.wall_ms())
        if not self._freshness.is_blind:
            self._last_market_ms = self._clock.market_ms()

    async def look(self) -> None:
        """Publish what is due, if anything; raises TransientError, then it stays due."""
        verdict = self._freshness.due(self._clock.wall_ms())
        if verdict is None:
            return
        event = self._event(verdict)
        await self._bus.publish(SYSTEM_TOPIC, [event])
        self._freshness.told(verdict)
        if not verdict.is_blind:
            self._last_market_ms = self._clock.market_ms()
        self._log.warning(f"{self._name}_{event.kind}", subject=self._subject, lasted_ms=verdict.lasted_ms)

    def status(self) -> dict[str, object]:
        """Figures for the status report, in wall time."""
        age_ms = self._freshness.age_ms(self._clock.wall_ms())
        return {f"{self._name}_blind": self._freshness.is_blind, f"{self._name}_age_ms": age_ms}

    def _event(self, verdict: Verdict) -> SystemEvent:
        silence = Silence(
            since=f"{datetime.fromtimestamp(verdict.since_ms / 1000, tz=UTC):%Y-%m-%d %H:%M:%S} UTC",
            seconds=f"{verdict.lasted_ms / 1000:.0f} s",
            minutes=max(0, round((self._clock.market_ms() - self._last_market_ms) / MINUTE_MS)),
        )
        tell = self._texts.blind if verdict.is_blind else self._texts.seeing
        return SystemEvent(
            kind="blind" if verdict.is_blind else "seeing",
            subject=self._subject,
            version=verdict.since_ms,
            severity=Severity.ERROR if verdict.is_blind else Severity.INFO,
            text=tell(silence),
            at_ms=self._clock.market_ms(),
        )
