"""The life of sessions, event by event, without a socket."""

from pathlib import Path

import pytest
import structlog

from services.ingestion.backlog import Backlog
from services.ingestion.core.frontier import Frontier
from services.ingestion.core.session import SessionLimits
from services.ingestion.core.venue_clock import TimeLimits
from services.ingestion.core.window import SessionIdentity, WindowLimits
from services.ingestion.handlers import Ingestion, IngestionOptions
from services.ingestion.publisher import Publisher
from services.ingestion.settings import IngestionSettings
from services.ingestion.spill import Spill
from shared.bus.sqlite import SqliteBus
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.feed import FeedClock, FeedConnected, FeedLost, FeedReady, FeedRefused, FeedTrades, Refusal
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database

NOW_MS = 1_786_310_820_000
SYMBOL = "BTCUSDT"
INSTRUMENTS = {
    SYMBOL: Instrument(
        exchange="bybit-linear", symbol=SYMBOL, base="BTC", quote="USDT", price_scale=1, quantity_scale=3
    )
}


class Holes:
    """Stands where the refiller stands: keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list = []

    def start(self, identity: SessionIdentity, holes, instruments) -> None:
        self.asked.append((identity, holes))


class World:
    """Ingestion with a clock that we move, and a queue that we read."""

    def __init__(self, folder: Path, *, spill_bytes_max: int = 1 << 20, queue_max: int = 1000) -> None:
        self.database = open_database(":memory:")
        self.now_ms = 0.0
        self.holes = Holes()
        self.unreadable: list = []
        spill = Spill.open(folder, "bybit-linear", bytes_max=spill_bytes_max)
        self.backlog = Backlog(spill, batches_max=queue_max, on_unreadable=lambda *bad: self.unreadable.append(bad))
        self.said: list = []
        self.refused: list[Refusal] = []
        self.market = clock = EventClock(NOW_MS)
        self.publisher = Publisher(
            SqliteBus(self.database, load_topology(), clock),
            self.backlog,
            topic="raw-tick-data-bybit",
            refusals_to="aggregator--raw-tick-data-bybit",
            on_published=lambda batch: None,
            log=structlog.get_logger(),
        )
        self.publisher.say = self.said.append  # type: ignore[method-assign]  # what would be said is kept
        self.publisher.refuse = self.refused.append  # type: ignore[method-assign]  # what would be said is kept
        self.ingestion = Ingestion(
            IngestionOptions(
                exchange="bybit-linear",
                instance_id="one",
                limits=SessionLimits(window=WindowLimits(), time=TimeLimits()),
                first_refill_ms=120_000,
                freshness_budget_ms=5_000,
                time_refusals_max=3,
            ),
            instruments=INSTRUMENTS,
            publisher=self.publisher,
            refiller=self.holes,  # type: ignore[arg-type]  # a stand-in that keeps the holes
            frontier=Frontier(),
            clock=clock,
            steady_ms=lambda: self.now_ms,
            log=structlog.get_logger(),
        )

    def connect(self) -> None:
        self.ingestion.handle(FeedConnected(connection=1))
        self.ingestion.handle(FeedReady(symbols=(SYMBOL,), refused={}))

    def clock(self, venue_ms: int) -> None:
        self.ingestion.handle(FeedClock(venue_time_ms=venue_ms))

    def trade(self, at_ms: int, *, trade_id: str = "id", ts: int | None = None, **fields) -> None:
        values = {
            "symbol": SYMBOL,
            "trade_id": trade_id,
            "price_text": "10",
            "quantity_text": "1",
            "traded_at_ms": at_ms,
            "taker_is_buyer": True,
            "venue_sequence": 1,
        }
        trade = VenueTrade(**(values | fields))
        topic = f"publicTrade.{trade.symbol}"
        frame = FeedTrades(topic=topic, venue_time_ms=ts or at_ms, trades=[trade], refused=[])
        self.ingestion.handle(frame)

    def after(self, wall_ms: float) -> list[TradeBatch]:
        self.now_ms += wall_ms
        self.ingestion.tick()
        found, token = self.backlog.peek(1000)
        self.backlog.commit(len(found), token)
        return found


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.database.close()


def test_a_session_vouches_from_the_first_venue_time_after_the_acknowledgements_plus_lateness(world: World):
    world.ingestion.handle(FeedConnected(connection=1))
    world.clock(NOW_MS - 5_000)
    world.trade(NOW_MS - 4_000)
    assert world.after(2_000) == []  # nothing is acknowledged, nothing is promised
    world.ingestion.handle(FeedReady(symbols=(SYMBOL,), refused={}))
    world.clock(NOW_MS)
    world.trade(NOW_MS + 1_500, trade_id="a")
    [batch] = world.after(250)
    assert batch.covers_from_ms == NOW_MS + 1_000
    assert batch.watermark_ms == NOW_MS + 500
    assert [row.trade_id for row in batch.rows()] == ["a"]
    [(identity, [hole])] = world.holes.asked
    assert identity.session == batch.session
    assert (hole.from_ms, hole.to_ms) == (NOW_MS - 120_000, batch.covers_from_ms)


def test_an_empty_second_is_a_heartbeat_and_silence_holds_the_watermark(world: World):
    world.connect()
    world.clock(NOW_MS + 2_000)
    assert world.after(900) == []
    [first] = world.after(100)
    [second] = world.after(1_000)
    assert len(first) == len(second) == 0
    assert (first.sequence, second.sequence) == (0, 1)
    assert first.watermark_ms == second.watermark_ms == NOW_MS + 1_000


def test_a_minute_that_the_watermark_passes_is_told_at_once(world: World):
    world.connect()
    world.clock(NOW_MS + 60_500)
    assert world.after(1) == []
    world.clock(NOW_MS + 61_000)
    [batch] = world.after(1)
    assert batch.watermark_ms == NOW_MS + 60_000


def test_a_cut_sends_the_open_window_and_the_next_connection_is_a_new_session(world: World):
    world.connect()
    world.clock(NOW_MS + 1_000)
    world.trade(NOW_MS + 3_000, trade_id="a")
    world.ingestion.handle(FeedLost(reason="reset", retry_seconds=0.1))
    [last] = world.after(0)
    assert [row.trade_id for row in last.rows()] == ["a"]
    assert last.watermark_ms == NOW_MS + 2_000
    world.connect()
    world.clock(NOW_MS + 9_000)
    [batch] = world.after(1_000)
    assert batch.session != last.session
    assert (batch.sequence, batch.covers_from_ms) == (0, NOW_MS + 10_000)


def test_a_session_never_vouches_for_the_time_of_an_earlier_connection(world: World):
    world.connect()
    world.clock(NOW_MS + 30_000)
    world.ingestion.handle(FeedLost(reason="reset", retry_seconds=0.1))
    world.after(0)
    world.connect()
    world.trade(NOW_MS + 4_000)  # a frame that was under way for long, and the first of the new connection
    world.clock(NOW_MS + 40_000)
    [batch] = world.after(1_000)
    assert batch.covers_from_ms == NOW_MS + 31_000


def test_a_time_that_was_wrong_on_an_earlier_connection_holds_no_later_one_back(world: World):
    world.connect()
    world.clock(NOW_MS + 10_000_000)
    world.ingestion.handle(FeedLost(reason="reset", retry_seconds=0.1))
    world.after(0)
    world.connect()
    world.clock(NOW_MS + 9_000)
    [batch] = world.after(1_000)
    assert batch.covers_from_ms == NOW_MS + 10_000


def test_a_frame_that_may_have_held_trades_ends_the_promise_but_not_the_stream(world: World):
    world.connect()
    world.clock(NOW_MS + 2_000)
    [promised] = world.after(1_000)
    refusal = Refusal(topic="unreadable frame", data=b"{", reason="no JSON")
    world.clock(NOW_MS + 30_000)
    world.ingestion.handle(FeedRefused(refusal=refusal, trades_possible=True))
    world.trade(NOW_MS + 31_000, trade_id="a")
    [last] = world.after(10)
    assert last.session == promised.session
    assert last.watermark_ms == promised.watermark_ms
    assert [row.trade_id for row in last.rows()] == ["a"]
    assert world.after(1_000) == []  # what was lost may be younger than any time seen: the next one counts
    world.clock(NOW_MS + 31_500)
    [new] = world.after(1_000)
    assert new.session != last.session
    assert new.covers_from_ms == NOW_MS + 32_500
    assert world.refused == [refusal]


def test_a_far_trade_is_refused_alone_and_a_far_frame_does_not_move_the_clock(world: World):
    world.connect()
    world.clock(NOW_MS)
    world.trade(NOW_MS + 400_000, trade_id="future", ts=NOW_MS + 1)
    world.trade(NOW_MS - 4_000_000, trade_id="past", ts=NOW_MS + 2)
    world.trade(NOW_MS + 2_000, trade_id="good")
    world.clock(NOW_MS + 900_000)
    world.trade(NOW_MS + 2_500, trade_id="better")
    batches = world.after(1_000)
    assert [row.trade_id for batch in batches for row in batch.rows()] == ["good", "better"]
    assert [refusal.topic for refusal in world.refused] == ["publicTrade.BTCUSDT", "publicTrade.BTCUSDT", "clock"]
    assert "trade_id=future" in world.refused[0].reason
    assert "300000 ms ahead of the feed's clock" in world.refused[0].reason
    assert "3600000 ms behind the feed's clock" in world.refused[1].reason
    assert world.ingestion.watermark_ms == NOW_MS + 1_500


def test_a_clock_that_was_wrong_itself_starts_anew(world: World):
    world.connect()
    world.clock(NOW_MS + 10_000_000)  # one insane frame, the first of the connection
    for number in range(4):
        world.clock(NOW_MS + number)
    batches = world.after(1_000)
    assert batches[-1].covers_from_ms == NOW_MS + 1_003


def test_an_unknown_symbol_is_refused_by_name(world: World):
    world.connect()
    world.clock(NOW_MS)
    world.trade(NOW_MS + 1, symbol="NOPEUSDT", trade_id="x")
    [refusal] = world.refused
    assert "'NOPEUSDT'" in refusal.reason
    assert "trade_id=x" in refusal.reason


def test_blindness_is_said_once_and_taken_back_with_rising_versions(world: World):
    world.connect()
    world.clock(NOW_MS)
    for _ in range(12):
        world.after(1_000)
    world.clock(NOW_MS + 20_000)
    world.after(1)
    world.after(1)
    assert [event.kind for event in world.said] == ["blind", "seeing"]
    assert world.said[0].version < world.said[1].version
    assert len({event.event_id for event in world.said}) == 2


def test_a_full_spill_is_a_declared_hole_and_a_new_session_follows_when_there_is_room(tmp_path: Path):
    world = World(tmp_path, spill_bytes_max=2_000, queue_max=1)
    world.backlog.bus_is_down()
    world.connect()
    for second in range(30):
        world.clock(NOW_MS + second * 1_000)
        world.now_ms += 1_000
        world.ingestion.tick()
    [hole] = [event for event in world.said if event.kind == "hole"]
    kept, token = world.backlog.peek(1000)
    assert [batch.sequence for batch in kept] == list(range(len(kept)))
    assert hole.version == kept[-1].watermark_ms + 1_000
    world.backlog.commit(len(kept), token)
    world.backlog.bus_is_up()
    world.after(1)
    world.clock(NOW_MS + 40_000)
    [first] = world.after(1_000)
    assert first.session != kept[0].session
    assert (first.sequence, first.covers_from_ms) == (0, NOW_MS + 41_000)
    world.database.close()


def second_by_second(world: World, seconds: range, *, off_ms: int) -> None:
    """The venue's time passes second by second; our clock is off by so much."""
    for second in seconds:
        world.market.now_ms = NOW_MS + second * 1_000 + off_ms
        world.clock(NOW_MS + second * 1_000)
        world.after(1_000)


@pytest.mark.parametrize("off_ms", [130_000, -130_000])
def test_a_clock_far_from_the_venue_is_said_once_and_taken_back_once(world: World, off_ms: int):
    world.connect()
    second_by_second(world, range(5), off_ms=off_ms)
    assert world.said == []  # it must stay so
    second_by_second(world, range(5, 30), off_ms=off_ms)
    assert world.ingestion.clock_is_skewed
    assert world.ingestion.clock_skew_ms == off_ms
    [skew] = world.said
    assert skew.kind == "clock_skew"
    assert f"130.0 s {'ahead of' if off_ms > 0 else 'behind'} the venue's" in skew.text
    second_by_second(world, range(30, 60), off_ms=200)
    assert not world.ingestion.clock_is_skewed
    assert [event.kind for event in world.said] == ["clock_skew", "clock_right"]
    assert world.said[0].version < world.said[1].version
    assert len({event.event_id for event in world.said}) == 2


def test_silence_and_a_burst_of_old_frames_are_no_skew(world: World):
    world.connect()
    second_by_second(world, range(5), off_ms=100)
    world.market.now_ms += 9_000
    world.after(9_000)  # nothing comes, so nothing is known of the clock
    second_by_second(world, range(5, 9), off_ms=60_000)  # what was held back comes late
    second_by_second(world, range(70, 80), off_ms=100)
    assert {event.kind for event in world.said} == {"blind", "seeing"}
    assert not world.ingestion.clock_is_skewed


def test_what_was_seen_on_an_earlier_connection_proves_nothing(world: World):
    world.connect()
    second_by_second(world, range(4), off_ms=60_000)
    world.ingestion.handle(FeedLost(reason="reset", retry_seconds=0.1))
    world.connect()
    second_by_second(world, range(10, 14), off_ms=60_000)
    assert world.said == []
    second_by_second(world, range(14, 17), off_ms=60_000)
    assert [event.kind for event in world.said] == ["clock_skew"]


@pytest.mark.parametrize(("speed", "limit_ms"), [(1.0, 30_000), (10.0, 30_000), (60.0, 120_000)])
def test_the_limit_of_skew_is_market_time_but_never_under_two_seconds_of_ours(speed: float, limit_ms: int):
    settings = IngestionSettings(market_clock_speed=speed)
    assert settings.clock_skew_limit_ms == limit_ms
