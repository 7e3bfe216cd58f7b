"""What does not belong on a topic, or was written by another version: a reason for people, and nothing lost behind it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.errors import TransientError
from shared.domain.events import Severity, SystemEvent
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.coverage import CoverageStore
from shared.store.memory import MemoryStore
from shared.store.outbox import OutboxStore
from shared.store.port import Write
from shared.store.signals import SignalStore, SlotStore
from tests.support.pipeline import EXCHANGE, FIRST_MINUTE, SYMBOLS, Pipeline, batches

FOREIGN = SystemEvent(kind="blind", subject="s", version=1, severity=Severity.INFO, text="", at_ms=1)
READERS = {
    "raw-tick-data-bybit": ("aggregator--raw-tick-data-bybit", "only TradeBatch is expected, was SystemEvent"),
    "candles-closed": (
        "logic-engine--candles-closed",
        "only CandlesClosed or CandleCorrected is expected, was SystemEvent",
    ),
    "macro-bias-updates": ("logic-engine--macro-bias-updates", "only MacroBiasUpdated is expected, was SystemEvent"),
}


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[Pipeline]:
    made = Pipeline(tmp_path)
    yield made
    await made.close()


async def test_an_event_of_another_kind_is_dead_lettered_with_the_reason_and_holds_up_nobody(pipeline: Pipeline):
    for topic in READERS:
        await pipeline.bus.publish(topic, [FOREIGN])
    pipeline.start("one")
    async with pipeline.feed("a") as feed:
        for batch in batches("a", end_minute=12):
            await feed.offer(batch)

    await pipeline.until_handled((FIRST_MINUTE + 11) * MINUTE_MS)
    async with asyncio.timeout(20):
        for subscription, reason in READERS.values():
            while not (dead := await pipeline.bus.dead_letters(subscription)):
                await asyncio.sleep(0.01)
            assert [reason in letter.reason for letter in dead] == [True], dead
    await pipeline.stop_all()


@pytest.mark.parametrize(
    ("table", "key", "ask"),
    [
        (
            "market-data-1m",
            f"{EXCHANGE}#{SYMBOLS[0]}#000000000060000",
            lambda store: CandleStore(store).between(EXCHANGE, SYMBOLS[0], Timeframe.M1, 0, EPOCH_MS_MAX),
        ),
        ("market-coverage", "x#000000000000001#s", lambda store: CoverageStore(store).load()),
        ("open-signals", "s#x#y", lambda store: SlotStore(store).all()),
        ("signals", "00ff", lambda store: SignalStore(store).all()),
        ("outbox-open", "1#e", lambda store: OutboxStore(store).open_rows()),
    ],
)
async def test_a_row_of_another_version_is_named_and_gives_up_no_message(table: str, key: str, ask):
    store = MemoryStore(load_topology(), EventClock(0))
    await store.write([Write(table=table, key=key, value=b"\x02 of the future")])
    if table == "outbox-open":
        await store.write([Write(table="outbox", key=key, value=b"\x02 of the future")])

    with pytest.raises(TransientError, match=r"layout must be 1, was 2: another version .* row ") as told:
        await ask(store)

    assert key in str(told.value)
    assert "\n" not in str(told.value)
