"""The way to the bus: order kept, nothing skipped, a dead bus spilled to disk, a full spill refused."""

import asyncio
from pathlib import Path

import pytest
import structlog

from services.ingestion.backlog import Backlog
from services.ingestion.core.window import SessionIdentity, Window
from services.ingestion.publisher import Publisher, PublisherLimits
from services.ingestion.spill import Spill
from shared.bus.sqlite import SqliteBus
from shared.domain.errors import PermanentError, TransientError
from shared.domain.events import Severity, SystemEvent
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch, TradeSource
from shared.exchanges.feed import Refusal
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database

TOPIC = "raw-tick-data-bybit"
RAW = f"aggregator--{TOPIC}"
INSTRUMENTS = {
    "BTCUSDT": Instrument(
        exchange="bybit-linear", symbol="BTCUSDT", base="BTC", quote="USDT", price_scale=1, quantity_scale=3
    )
}


def batches(count: int) -> list[TradeBatch]:
    identity = SessionIdentity(
        exchange="bybit-linear", session="s", started_at_ms=1, source=TradeSource.STREAM, covers_from_ms=1
    )
    window = Window(identity, INSTRUMENTS)
    return [window.take(number) for number in range(count)]


class FailingBus(SqliteBus):
    """The real bus, unreachable while `down`, slow by pause_seconds."""

    down = False
    pause_seconds = 0.0

    async def publish(self, topic, events):
        await asyncio.sleep(self.pause_seconds)
        if self.down:
            raise TransientError("the bus is down")
        await super().publish(topic, events)


@pytest.fixture
def bus():
    database = open_database(":memory:")
    yield FailingBus(database, load_topology(), EventClock(1_786_310_820_000))
    database.close()


def a_backlog(folder: Path, *, batches_max: int = 100, bytes_max: int = 1 << 20, unreadable=None) -> Backlog:
    bad = unreadable if unreadable is not None else []
    spill = Spill.open(folder, "bybit-linear", bytes_max=bytes_max)
    return Backlog(spill, batches_max=batches_max, on_unreadable=lambda data, reason: bad.append((data, reason)))


def a_publisher(bus, backlog: Backlog, published: list[int]) -> Publisher:
    return Publisher(
        bus,
        backlog,
        topic=TOPIC,
        refusals_to=RAW,
        on_published=lambda batch: published.append(batch.sequence),
        log=structlog.get_logger(),
        limits=PublisherLimits(pause_seconds_first=0.01, pause_seconds_max=0.02),
    )


async def delivered(bus) -> list[int]:
    found = await bus.pull(RAW, max_messages=1000, wait_seconds=0)
    return [delivery.event.sequence for delivery in found]


async def test_batches_wait_on_disk_while_the_bus_is_down_and_come_out_in_order(bus, tmp_path: Path):
    published: list[int] = []
    publisher = a_publisher(bus, a_backlog(tmp_path), published)
    running = asyncio.create_task(publisher.run())
    sent = batches(300)
    bus.down = True
    for batch in sent[:200]:
        assert publisher.offer(batch)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert publisher.bus_is_down
    assert publisher.backlog.spilled_bytes > 0
    assert len(publisher.backlog) == 0  # a kill now would lose nothing
    bus.down = False
    for batch in sent[200:]:
        assert publisher.offer(batch)
        await asyncio.sleep(0)
    assert await publisher.drain(seconds=5)
    assert published == list(range(300))
    assert sorted(await delivered(bus)) == list(range(300))
    assert publisher.backlog.spilled_bytes == 0
    running.cancel()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_memory_that_fills_during_a_publish_loses_nothing(bus, tmp_path: Path, fails: bool):
    published: list[int] = []
    publisher = a_publisher(bus, a_backlog(tmp_path, batches_max=5), published)
    running = asyncio.create_task(publisher.run())
    sent = batches(20)
    bus.pause_seconds = 0.05
    for batch in sent[:3]:
        assert publisher.offer(batch)
    await asyncio.sleep(0.02)  # three batches are on their way
    for batch in sent[3:]:
        assert publisher.offer(batch)
    assert publisher.backlog.spilled_bytes > 0
    bus.down = fails
    await asyncio.sleep(0.06)
    bus.down, bus.pause_seconds = False, 0.0
    assert await publisher.drain(seconds=5)
    assert not running.done()
    assert published == list(range(20))
    assert sorted(await delivered(bus)) == list(range(20))
    running.cancel()


async def test_what_a_killed_process_left_is_published_first_by_the_next(bus, tmp_path: Path):
    first = a_backlog(tmp_path)
    first.bus_is_down()
    for batch in batches(5):
        assert first.offer(batch)
    path = tmp_path / "bybit-linear.spill"
    path.write_bytes(path.read_bytes()[:-3])  # the kill came in the middle of the last write
    del first  # its lock ends with the process; here a twin takes a second file, so take over by hand
    left = path.read_bytes()
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "bybit-linear.spill").write_bytes(left)

    published: list[int] = []
    publisher = a_publisher(bus, a_backlog(tmp_path / "next"), published)
    running = asyncio.create_task(publisher.run())
    publisher.wake()
    assert await publisher.drain(seconds=5)
    assert published == [0, 1, 2, 3]
    running.cancel()


def test_a_full_spill_refuses_the_newest_and_keeps_the_older(tmp_path: Path):
    backlog = a_backlog(tmp_path, bytes_max=3000)
    backlog.bus_is_down()
    accepted = [backlog.offer(batch) for batch in batches(20)]
    kept = accepted.index(False)
    assert kept > 0
    assert not any(accepted[kept:])
    found, token = backlog.peek(100)
    assert [batch.sequence for batch in found] == list(range(kept))
    backlog.commit(len(found), token)
    assert backlog.is_empty
    assert backlog.offer(batches(1)[0])


def test_a_full_memory_moves_to_disk_without_changing_the_order(tmp_path: Path):
    backlog = a_backlog(tmp_path, batches_max=4)
    for batch in batches(10):
        assert backlog.offer(batch)
    sequences = []
    while not backlog.is_empty:
        found, token = backlog.peek(3)
        sequences += [batch.sequence for batch in found]
        backlog.commit(len(found), token)
    assert sequences == list(range(10))


def test_a_memory_that_does_not_fit_on_disk_stays_in_front(tmp_path: Path):
    backlog = a_backlog(tmp_path, bytes_max=700)
    for batch in batches(6):
        assert backlog.offer(batch)
    backlog.bus_is_down()
    assert not backlog.offer(batches(7)[6])
    assert [batch.sequence for batch in backlog.peek(10)[0]] == list(range(6))


def test_what_was_published_is_not_left_to_the_next_process(tmp_path: Path):
    backlog = a_backlog(tmp_path)
    backlog.bus_is_down()
    for batch in batches(4):
        backlog.offer(batch)
    _, token = backlog.peek(2)
    backlog.commit(2, token)
    backlog.close()
    assert [batch.sequence for batch in a_backlog(tmp_path).peek(10)[0]] == [2, 3]


def test_a_frame_of_another_program_is_handed_over_and_the_rest_goes_on(tmp_path: Path):
    spill = Spill.open(tmp_path, "bybit-linear", bytes_max=1 << 20)
    spill.append(b'{"type":"Nonsense"}')
    spill.close()
    bad: list = []
    backlog = a_backlog(tmp_path, unreadable=bad)
    backlog.bus_is_down()
    backlog.offer(batches(1)[0])
    found, _ = backlog.peek(10)
    assert [batch.sequence for batch in found] == [0]
    assert len(bad) == 1


def test_two_processes_on_one_folder_spill_to_two_files(tmp_path: Path):
    first = Spill.open(tmp_path, "bybit-linear", bytes_max=1000)
    second = Spill.open(tmp_path, "bybit-linear", bytes_max=1000)
    assert first.path != second.path


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "spill").write_text("a file is in the way")
    with pytest.raises(PermanentError, match="spill folder must be writable"):
        Spill.open(tmp_path / "spill", "bybit-linear", bytes_max=1000)


async def test_refusals_are_dead_letters_and_system_events_reach_the_notifier(bus, tmp_path: Path):
    publisher = a_publisher(bus, a_backlog(tmp_path), [])
    running = asyncio.create_task(publisher.run())
    publisher.refuse(Refusal(topic="publicTrade.BTCUSDT", data=b"{}", reason="price must be > 0"))
    publisher.say(
        SystemEvent(kind="blind", subject="ingestion#x", version=1, severity=Severity.ERROR, text="blind", at_ms=1)
    )
    assert await publisher.drain(seconds=5)
    [letter] = await bus.dead_letters(RAW)
    assert (letter.data, letter.reason) == (b"{}", "price must be > 0")
    [event] = await bus.pull("notifier--system-events", max_messages=10, wait_seconds=0)
    assert event.event.kind == "blind"
    running.cancel()
