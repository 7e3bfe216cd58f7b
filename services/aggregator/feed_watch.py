"""Tells people when ingestion is dead: ingestion watches its venue, but nobody else would say that ingestion is gone."""

from datetime import UTC, datetime
from typing import Any

import structlog

from services.aggregator.core.feed_freshness import FeedFreshness, Verdict
from services.aggregator.state import SYSTEM_TOPIC
from shared.bus.port import Bus
from shared.domain.events import Severity, SystemEvent
from shared.runtime.clock import Clock


class FeedWatch:
    """Watches the arrival of one exchange's batches, empty ones (heartbeats) too. Silence is counted from the start on."""

    def __init__(self, *, bus: Bus, clock: Clock, exchange: str, budget_seconds: float) -> None:
        self._bus = bus
        self._clock = clock
        self._exchange = exchange
        self._freshness = FeedFreshness(budget_ms=round(budget_seconds * 1000), now_ms=clock.wall_ms())
        self._log: Any = structlog.get_logger("aggregator")

    def arrived(self) -> None:
        """A batch came."""
        self._freshness.arrived(self._clock.wall_ms())

    async def look(self) -> None:
        """Publish what is due, if anything; raises TransientError, then it stays due."""
        verdict = self._freshness.due(self._clock.wall_ms())
        if verdict is None:
            return
        event = self._event(verdict)
        await self._bus.publish(SYSTEM_TOPIC, [event])
        self._freshness.told(verdict)
        self._log.warning("feed_" + event.kind, exchange=self._exchange, lasted_ms=verdict.lasted_ms)

    def status(self) -> dict[str, object]:
        """Figures for the status report, in wall time."""
        age_ms = self._freshness.age_ms(self._clock.wall_ms())
        return {"feed_blind": self._freshness.is_blind, "feed_age_ms": age_ms}

    def _event(self, verdict: Verdict) -> SystemEvent:
        since = f"{datetime.fromtimestamp(verdict.since_ms / 1000, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
        seconds = f"{verdict.lasted_ms / 1000:.0f} s"
        if verdict.is_blind:
            text = f"No data from {self._exchange} has reached the aggregator since {since} ({seconds}): is ingestion running?"
        else:
            text = f"Data from {self._exchange} reaches the aggregator again, after {seconds} (nothing since {since})"
        return SystemEvent(
            kind="blind" if verdict.is_blind else "seeing",
            subject=f"aggregator#{self._exchange}",
            version=verdict.since_ms,
            severity=Severity.ERROR if verdict.is_blind else Severity.INFO,
            text=text,
            at_ms=self._clock.market_ms(),
        )
