"""Nobody but the aggregator can say that ingestion is dead."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.aggregator.core.coverage import SeriesKey
from services.aggregator.core.identities import Identities
from services.aggregator.feed_watch import feed_watch
from shared.bus.memory import MemoryBus
from shared.domain.errors import TransientError
from shared.domain.splitting import split_by_minute
from shared.domain.timeframe import MINUTE_MS
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from tests.support.trades import EXCHANGE, START_MS, Row, a_batch


class World:
    def __init__(self, budget_seconds: float = 30) -> None:
        self.clock = EventClock(START_MS)
        self.bus = MemoryBus(load_topology(), self.clock)
        self.watch = feed_watch(bus=self.bus, clock=self.clock, exchange=EXCHANGE, budget_seconds=budget_seconds)

    async def after(self, seconds: float, *, batch: bool = False) -> list[Any]:
        self.clock.now_ms += round(seconds * 1000)
        if batch:
            self.watch.arrived()
        await self.watch.look()
        found = await self.bus.pull("notifier--system-events", max_messages=10, wait_seconds=0)
        await self.bus.acknowledge(found)
        return [delivery.event for delivery in found]


async def test_silence_is_told_once_and_taken_back_once():
    world = World()
    assert await world.after(5, batch=True) == []
    assert await world.after(30) == []
    [blind] = await world.after(1)
    assert (blind.kind, blind.subject) == ("blind", f"aggregator#{EXCHANGE}")
    assert "(31 s)" in blind.text
    assert world.watch.status() == {"feed_blind": True, "feed_age_ms": 31_000}
    assert await world.after(100) == []
    [seeing] = await world.after(9, batch=True)
    assert (seeing.kind, seeing.subject, seeing.severity.value) == ("seeing", blind.subject, "info")
    assert "after 140 s" in seeing.text
    assert await world.after(1, batch=True) == []
    assert world.watch.status()["feed_blind"] is False
    [again] = await world.after(31)
    assert again.version > blind.version


async def test_silence_from_the_start_on_is_told_too():
    world = World()
    assert await world.after(29) == []
    assert [event.kind for event in await world.after(2)] == ["blind"]


async def test_what_could_not_be_published_is_told_later(monkeypatch):
    world = World()

    async def fail(topic: str, events: Sequence[Any]) -> None:
        raise TransientError("the bus is away")

    with monkeypatch.context() as patch:
        patch.setattr(world.bus, "publish", fail)
        with pytest.raises(TransientError):
            await world.after(31)
    assert [event.kind for event in await world.after(1)] == ["blind"]


def test_ids_of_late_minutes_are_forgotten_once_no_more_late_trades_come():
    identities, key = Identities(5, late_reach=2, late_minutes_max=4), SeriesKey(EXCHANGE, "AAA")
    now_ms = START_MS + 100 * MINUTE_MS
    late_ms = START_MS + 10 * MINUTE_MS
    assert identities.unseen_minutes(key, now_ms - 5 * MINUTE_MS, now_ms) == []
    unseen = identities.unseen_minutes(key, late_ms, now_ms)
    assert unseen == [late_ms + offset * MINUTE_MS for offset in (-2, -1, 0, 1)]  # the nearest, as many as are allowed
    pieces = split_by_minute(a_batch([Row("AAA", 1, late_ms, 1.0, 1)]))
    identities.remember(key, unseen, pieces)
    assert identities.unseen_minutes(key, late_ms, now_ms) == []
    other = split_by_minute(a_batch([Row("AAA", 1, late_ms + MINUTE_MS, 1.0, 1)]))
    assert [moved for _, moved in identities.add(other)] == [{late_ms: [1]}]

    identities.advance(key, now_ms + 6 * MINUTE_MS)

    assert identities.unseen_minutes(key, late_ms, now_ms + 6 * MINUTE_MS) == unseen
    assert [moved for _, moved in identities.add(other)] == []
