"""When a hole counts as filled: with the publication of its refill, not with its place in the queue."""

import asyncio

import pytest
import structlog

from services.ingestion.core.frontier import Frontier
from services.ingestion.core.refill import Hole
from services.ingestion.core.window import SessionIdentity, Window
from services.ingestion.refiller import Refiller, RefillLimits
from shared.domain.errors import PermanentError, TransientError
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch, TradeSource
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.bybit.instruments import BYBIT_RULES

EXCHANGE, SYMBOL = "bybit-linear", "BTCUSDT"
FROM_MS, TO_MS = 1_000, 9_000
INSTRUMENTS = {
    SYMBOL: Instrument(exchange=EXCHANGE, symbol=SYMBOL, base="BTC", quote="USDT", price_scale=1, quantity_scale=3)
}
SESSION = SessionIdentity(
    exchange=EXCHANGE, session="s", started_at_ms=1, source=TradeSource.STREAM, covers_from_ms=TO_MS
)
HOLE = Hole(exchange=EXCHANGE, symbol=SYMBOL, from_ms=FROM_MS, to_ms=TO_MS)


def a_trade(trade_id: str, at_ms: int) -> VenueTrade:
    return VenueTrade(
        symbol=SYMBOL,
        trade_id=trade_id,
        price_text="10",
        quantity_text="1",
        traded_at_ms=at_ms,
        taker_is_buyer=True,
        venue_sequence=1,
    )


class Answers:
    """Stands where the venue's REST stands: one answer, or one error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.rules = BYBIT_RULES
        self._error = error

    async def server_time_ms(self) -> int:
        if self._error is not None:
            raise self._error
        return 60_000

    async def recent_trades(self, symbol: str) -> list[VenueTrade]:
        return [a_trade("a", 500), a_trade("b", 5_000), a_trade("c", 10_000)]


class Queue:
    """The queue to the bus: what is in it is not published yet."""

    def __init__(self, *, has_room: bool = True) -> None:
        self.waiting: list[TradeBatch] = []
        self.frontier = Frontier()
        self.stream = Window(SESSION, INSTRUMENTS)
        self._has_room = has_room

    def offer(self, batch: TradeBatch) -> bool:
        if self._has_room:
            self.waiting.append(batch)
        return self._has_room

    def covered_to_ms(self) -> int | None:
        return self.frontier.of(SYMBOL).covered_to_ms

    def publish_next(self) -> int | None:
        """One batch reaches the bus; what a frontier saved now would say."""
        self.frontier.published(self.waiting.pop(0))
        return self.covered_to_ms()


async def refill(queue: Queue, rest: Answers, hole: Hole = HOLE) -> None:
    refiller = Refiller(
        rest,  # type: ignore[arg-type]  # only what a refill asks for
        offer=queue.offer,
        frontier=queue.frontier,
        log=structlog.get_logger(),
        limits=RefillLimits(seconds_max=0.3),
    )
    refiller.start(SESSION, [hole], INSTRUMENTS)
    while refiller.is_running:
        await asyncio.sleep(0.01)


async def test_the_frontier_never_runs_ahead_of_a_refill_that_waits_behind_the_stream():
    queue = Queue()
    queue.waiting = [queue.stream.take(TO_MS + 1_000), queue.stream.take(TO_MS + 2_000)]
    await refill(queue, Answers())
    queue.waiting.append(queue.stream.take(TO_MS + 3_000))
    assert [batch.source for batch in queue.waiting][2] is TradeSource.REFILL
    # A kill after any of these would lose the refill, so the next start must ask for the hole again.
    assert queue.publish_next() is None
    assert queue.publish_next() is None
    assert queue.publish_next() is None
    assert queue.publish_next() == TO_MS + 3_000


async def test_a_refill_without_room_in_the_queue_leaves_the_hole_to_the_next_session():
    queue = Queue(has_room=False)
    await refill(queue, Answers())
    queue.waiting = [queue.stream.take(TO_MS + 1_000)]
    assert queue.publish_next() is None


@pytest.mark.parametrize("error", [TransientError("down"), PermanentError("no such symbol")])
async def test_a_refill_that_failed_is_given_up_and_the_stream_counts(error: Exception):
    queue = Queue()
    await refill(queue, Answers(error))
    queue.waiting = [queue.stream.take(TO_MS + 1_000)]
    assert queue.publish_next() == TO_MS + 1_000


async def test_no_hole_is_settled_without_asking():
    queue = Queue()
    await refill(
        queue, Answers(AssertionError("asked")), Hole(exchange=EXCHANGE, symbol=SYMBOL, from_ms=TO_MS, to_ms=TO_MS)
    )
    queue.waiting = [queue.stream.take(TO_MS + 1_000)]
    assert queue.publish_next() == TO_MS + 1_000


def test_the_settled_of_a_first_start_with_many_symbols_are_all_remembered():
    symbols = {
        f"S{number}USDT": Instrument(
            exchange=EXCHANGE, symbol=f"S{number}USDT", base=f"S{number}", quote="USDT", price_scale=1, quantity_scale=3
        )
        for number in range(200)
    }
    frontier = Frontier()
    for symbol in symbols:
        frontier.settle("s", symbol)
    frontier.published(Window(SESSION, symbols).take(TO_MS + 1_000))
    assert {frontier.of(symbol).covered_to_ms for symbol in symbols} == {TO_MS + 1_000}
