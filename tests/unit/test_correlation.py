"""One id from the batch that closed a minute to the message about the signal on it, and into every log line on the way."""

import asyncio

import msgspec
import pytest
import structlog
from structlog.contextvars import get_contextvars

from shared.bus.memory import MemoryBus
from shared.bus.port import Delivery
from shared.bus.sqlite import SqliteBus
from shared.domain.correlation import cause_of, correlation_id
from shared.domain.events import (
    AlertRaised,
    CandleCorrected,
    CandlesClosed,
    Severity,
    SignalClosed,
    SignalOpened,
    SystemEvent,
)
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import ScaledClock
from shared.runtime.consumer import consume
from shared.runtime.metrics import Metrics
from shared.runtime.observed_bus import ObservedBus
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from tests.support.signals import EXCHANGE, a_signal, closed, some_candles
from tests.support.trades import a_batch

CANDLE = some_candles(count=120)[-1]
CLOSE_MS = CANDLE.close_time_ms


def test_a_minutes_causes_and_consequences_share_one_id():
    signal = a_signal()
    alert = AlertRaised(
        strategy="s",
        alert="a",
        exchange=EXCHANGE,
        symbol="BTCUSDT",
        timeframe=Timeframe.M1,
        candle_open_time_ms=CANDLE.open_time_ms,
        price=1.0,
    )
    story = [
        a_batch(exchange=EXCHANGE, watermark_ms=CLOSE_MS + 120),
        CandlesClosed(exchange=EXCHANGE, symbol="BTCUSDT", close_time_ms=CLOSE_MS, candles=(CANDLE,)),
        CandleCorrected(exchange=EXCHANGE, symbol="BTCUSDT", candles=(msgspec.structs.replace(CANDLE, revision=2),)),
        alert,
        SignalOpened(signal=signal),
        SignalClosed(signal=closed(signal, minutes=0)),
    ]

    [shared] = {correlation_id(event) for event in story}

    assert len(shared) == 32
    assert int(shared, 16) > 0
    assert {cause_of(event)[0] for event in story} == {EXCHANGE}


def test_other_minutes_and_exchanges_have_others():
    signal = a_signal()
    ids = {
        correlation_id(SignalOpened(signal=signal)),
        correlation_id(SignalClosed(signal=closed(signal, minutes=3))),
        correlation_id(a_batch(exchange=EXCHANGE, watermark_ms=CLOSE_MS - 1)),
        correlation_id(a_batch(exchange="binance-spot", watermark_ms=CLOSE_MS)),
    }

    assert len(ids) == 4


def test_what_no_minute_caused_is_its_own_story():
    event = SystemEvent(kind="k", subject="s", version=1, severity=Severity.INFO, text="", at_ms=1)

    assert (cause_of(event), correlation_id(event)) == (None, event.event_id)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_the_attribute_travels_and_is_bound_to_the_log_while_the_message_is_handled(kind: str):
    topology, clock = load_topology(), ScaledClock()
    database = open_database(":memory:")
    inner = MemoryBus(topology, clock) if kind == "memory" else SqliteBus(database, topology, clock)
    bus = ObservedBus(inner, Metrics("a", observed=True), clock, structlog.get_logger())
    first, second = SignalOpened(signal=a_signal()), SignalClosed(signal=closed(a_signal(), minutes=3))
    stopping, seen = asyncio.Event(), []

    async def handle(deliveries: list[Delivery]) -> None:
        seen.extend((delivery.attributes["correlation_id"], get_contextvars()) for delivery in deliveries)
        if len(seen) >= 2:
            stopping.set()

    await bus.publish("trade-signals-micro", [first, second])
    async with asyncio.timeout(20):
        await consume(
            bus, "notifier--trade-signals-micro", handle, stopping=stopping, log=structlog.get_logger(), max_messages=1
        )
    await database.close()

    assert seen == [(correlation_id(event), {"correlation_id": correlation_id(event)}) for event in (first, second)]
    assert get_contextvars() == {}
