"""The bus as a service sees it: the chosen adapter, with what goes through it counted, timed and told in the log."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from shared.bus.port import Bus, DeadLetter, Delivery
from shared.domain.correlation import cause_of, correlation_id, correlation_of_minute
from shared.domain.events import (
    AlertRaised,
    CandlesClosed,
    Event,
    MacroBiasUpdated,
    SignalClosed,
    SignalOpened,
    SignalProgressed,
)
from shared.domain.trades import TradeBatch
from shared.runtime.clock import Clock
from shared.runtime.metrics import Metrics

_HOPS: Final[dict[type[Event], str]] = {
    TradeBatch: "trades_published",
    CandlesClosed: "candle_announced",
    SignalOpened: "signal_published",
    SignalClosed: "signal_published",
    AlertRaised: "signal_published",
}
_TOLD: Final = (SignalOpened, SignalProgressed, SignalClosed, AlertRaised, MacroBiasUpdated)


class ObservedBus:
    """The bus port over another one."""

    def __init__(self, bus: Bus, metrics: Metrics, clock: Clock, log: Any) -> None:
        self._bus = bus
        self._metrics = metrics
        self._clock = clock
        self._log = log

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """As the adapter does; afterwards each event is counted and, where a market time caused it, timed."""
        await self._bus.publish(topic, events)
        self._tell(topic, events)
        if self._metrics.registry is None:
            return
        for name, count in Counter(type(event).__name__ for event in events).items():
            self._metrics.add("cst_published_events_total", count, topic=topic, type=name)
        now_ms = self._clock.market_ms()
        for event in events:
            hop, since_ms = _HOPS.get(type(event)), _since_ms(event)
            if hop is not None and since_ms is not None:
                self._metrics.latency(hop, now_ms - since_ms)

    async def pull(self, subscription: str, *, max_messages: int, wait_seconds: float) -> list[Delivery]:
        """As the adapter does."""
        return await self._bus.pull(subscription, max_messages=max_messages, wait_seconds=wait_seconds)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """As the adapter does; counted."""
        await self._bus.acknowledge(deliveries)
        for subscription, count in Counter(delivery.subscription for delivery in deliveries).items():
            self._metrics.add("cst_handled_messages_total", count, subscription=subscription)

    async def release(self, deliveries: Sequence[Delivery], *, delay_seconds: float) -> None:
        """As the adapter does."""
        await self._bus.release(deliveries, delay_seconds=delay_seconds)

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """As the adapter does."""
        await self._bus.dead_letter(delivery, reason)

    async def dead_letters(self, subscription: str, *, limit: int = 100) -> list[DeadLetter]:
        """As the adapter does."""
        return await self._bus.dead_letters(subscription, limit=limit)

    async def dead_count(self, subscription: str) -> int:
        """As the adapter does."""
        return await self._bus.dead_count(subscription)

    async def requeue(self, subscription: str, message_ids: Sequence[str]) -> list[str]:
        """As the adapter does."""
        return await self._bus.requeue(subscription, message_ids)

    async def backlog(self, subscription: str) -> int:
        """As the adapter does."""
        return await self._bus.backlog(subscription)

    async def refuse(self, subscription: str, data: bytes, attributes: dict[str, str], reason: str) -> None:
        """As the adapter does."""
        await self._bus.refuse(subscription, data, attributes, reason)

    async def prune(self) -> int:
        """As the adapter does."""
        return await self._bus.prune()

    async def close(self) -> None:
        """As the adapter does."""
        await self._bus.close()

    def _tell(self, topic: str, events: Sequence[Event]) -> None:
        """One line per signal, alert and bias, and one per exchange and minute of candles; none per batch of trades."""
        minutes: Counter[tuple[str, int]] = Counter()
        for event in events:
            if isinstance(event, CandlesClosed):
                minutes[event.exchange, event.close_time_ms] += 1
            elif isinstance(event, _TOLD):
                self._log.info("event_published", topic=topic, correlation_id=correlation_id(event), **_named(event))
        for (exchange, close_time_ms), count in minutes.items():
            correlation = correlation_of_minute(exchange, close_time_ms)
            place = {"exchange": exchange, "close_time_ms": close_time_ms, "symbols": count}
            self._log.info("candles_announced", correlation_id=correlation, **place)


def _since_ms(event: Event) -> int | None:
    """The exchange's time that the event's latency counts from; None for a heartbeat and what no minute caused."""
    if isinstance(event, TradeBatch):
        return int(event.traded_at_ms.max()) if len(event) else None
    caused = cause_of(event)
    return caused[1] if caused else None


def _named(event: Event) -> dict[str, object]:
    named: dict[str, object] = {"type": type(event).__name__}
    if isinstance(event, SignalOpened | SignalProgressed | SignalClosed):
        signal = event.signal
        return {**named, "signal_id": signal.signal_id, "strategy": signal.strategy, "symbol": signal.symbol}
    if isinstance(event, AlertRaised):
        return {**named, "strategy": event.strategy, "alert": event.alert, "symbol": event.symbol}
    return named
