"""The notifier on event time: the same rows whatever the speed, no picture drawn."""

import json

import structlog

from services.notifier.messengers.recording import RecordingMessenger
from services.notifier.notifier import Notifier
from shared.domain.events import SignalClosed, SignalOpened
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.decisions import DecisionStore
from shared.store.sqlite import SqliteStore
from tests.support.signals import a_decision, a_signal, closed, some_candles


async def replayed():
    """Two signals opened, one closed a day later: the clock jumps far beyond every lease."""
    database = open_database(":memory:")
    clock = EventClock(1_786_300_000_000)
    store = SqliteStore(database, load_topology(), clock)
    decisions = DecisionStore(store)
    candles = some_candles()
    first, second = a_signal("AAA", window_digest="a" * 32), a_signal("BBB", window_digest="b" * 32)
    await decisions.save_first([a_decision(first, candles), a_decision(second, candles)], fence=None)

    async def find_decision(signal):
        return await decisions.get(
            signal.strategy, signal.exchange, signal.symbol, signal.timeframe, signal.candle_open_time_ms
        )

    messenger = RecordingMessenger(now_ms=clock.market_ms, find_decision=find_decision)
    notifier = Notifier(
        store=store, messenger=messenger, clock=clock, chats=("replay",), log=structlog.get_logger(), owner="replay"
    )
    for event, at_ms in (
        (SignalOpened(signal=first), 1_786_300_060_000),
        (SignalOpened(signal=second), 1_786_300_060_000),
        (SignalClosed(signal=closed(first)), 1_786_386_460_000),
    ):
        clock.now_ms = at_ms
        await notifier.handle([event])
        await notifier.drain()
    await database.close()
    return messenger, first


async def test_messages_are_recorded_at_event_time_with_their_chart_requests():
    messenger, first = await replayed()
    rows = [json.loads(line) for line in messenger.json_lines().splitlines()]

    assert [row["action"] for row in rows] == ["new", "new", "edit"]
    assert [row["at_ms"] for row in rows] == [1_786_300_060_000, 1_786_300_060_000, 1_786_386_460_000]
    assert rows[2]["signal_id"] == first.signal_id
    assert rows[2]["buttons"] == [f"chart:{first.signal_id}", f"why:{first.signal_id}"]
    assert rows[2]["text"].startswith("✅ <b>EXIT LONG</b>")
    assert rows[0]["chart"] == {
        "window_digest": "a" * 32,
        "symbol": "AAA",
        "timeframe": "1m",
        "first_open_time_ms": some_candles()[0].open_time_ms,
        "length": 120,
    }


async def test_two_replays_give_identical_bytes():
    first, _ = await replayed()
    second, _ = await replayed()

    assert first.json_lines() == second.json_lines()
