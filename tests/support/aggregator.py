"""An aggregator on the in-memory adapters, and the slow obvious twin of all it computes."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from services.aggregator.core.limits import Limits
from services.aggregator.handlers import Aggregator
from shared.bus.memory import MemoryBus
from shared.domain.candles import Candle
from shared.domain.events import CandleCorrected, CandlesClosed, Event
from shared.domain.timeframe import MINUTE_MS, Timeframe, minute_ms
from shared.exchanges.venue import VenueRest
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.pending import PendingStore
from shared.store.sqlite import SqliteStore
from tests.support.trades import EXCHANGE, Row

PATIENT = Limits(hole_timeout_ms=10**9, close_chunk=6, correct_chunk=2)


class Bench:
    """Store and bus outlive any number of aggregators, as a file outlives processes."""

    def __init__(self, limits: Limits = PATIENT, rest: Mapping[str, VenueRest] | None = None) -> None:
        clock, topology = EventClock(0), load_topology()
        self.store = SqliteStore(open_database(":memory:"), topology, clock)
        self.bus = MemoryBus(topology, clock)
        self.limits = limits
        self.rest = rest
        self.seen: list[Event] = []

    def aggregator(self, fence: int | None = None) -> Aggregator:
        return Aggregator(store=self.store, bus=self.bus, limits=self.limits, rest=self.rest, fence=fence)

    async def candles(self, symbol: str, timeframe: Timeframe = Timeframe.M1, exchange: str = EXCHANGE) -> list[Candle]:
        return await CandleStore(self.store).between(exchange, symbol, timeframe, 0, 4 * 10**12)

    async def marks(self) -> dict[object, object]:
        return dict(await PendingStore(self.store).load())

    async def events(self, subscription: str = "logic-engine--candles-closed") -> list[Event]:
        """Those published since the last call; acknowledged."""
        found: list[Event] = []
        while deliveries := await self.bus.pull(subscription, max_messages=500, wait_seconds=0):
            await self.bus.acknowledge(deliveries)
            found.extend(delivery.event for delivery in deliveries)
        return found


def told(events: Sequence[Event]) -> dict[tuple[str, Timeframe, int], Candle]:
    """What a consumer knows that is monotone in the revision; asserts that nothing is corrected before it is told."""
    known: dict[tuple[str, Timeframe, int], Candle] = {}
    for event in events:
        assert isinstance(event, CandlesClosed | CandleCorrected)
        for candle in event.candles:
            place = (candle.symbol, candle.timeframe, candle.open_time_ms)
            if place not in known or candle.revision >= known[place].revision:
                known[place] = candle
    return known


def twin_minutes(rows: Sequence[Row], symbol: str, end_ms: int) -> list[tuple[object, ...]]:
    """(open time, open, high, low, close, volume, quote volume, count) from the first trade's minute to the end."""
    mine = sorted((row for row in rows if row.symbol == symbol), key=lambda row: (row.at_ms, row.tie_rank))
    if not mine:
        return []
    found: list[tuple[object, ...]] = []
    close = 0.0
    for minute in range(minute_ms(mine[0].at_ms), end_ms, MINUTE_MS):
        inside = [row for row in mine if minute <= row.at_ms < minute + MINUTE_MS]
        prices = [row.price for row in inside] or [close]
        close = prices[-1]
        volume = sum((Decimal(row.quantity) / 100 for row in inside), Decimal(0))
        quote = sum((Decimal(row.quantity) / 100 * Decimal(str(row.price)) for row in inside), Decimal(0))
        found.append((minute, prices[0], max(prices), min(prices), close, volume, quote, len(inside)))
    return found


def twin_rolled_up(minutes: Sequence[tuple[object, ...]], timeframe: Timeframe) -> list[tuple[object, ...]]:
    """The same of every candle whose minutes are all there."""
    found: list[tuple[object, ...]] = []
    by_open = {int(str(minute[0])): minute for minute in minutes}
    for open_ms in sorted({timeframe.open_time_ms(time_ms) for time_ms in by_open}):
        inside = [by_open.get(open_ms + number * MINUTE_MS) for number in range(timeframe.minutes)]
        whole = [minute for minute in inside if minute is not None]
        if len(whole) == len(inside):
            traded = list(zip(*([minute for minute in whole if minute[7]] or whole), strict=True))
            sums = [sum(column) for column in list(zip(*whole, strict=True))[5:]]
            found.append((open_ms, traded[1][0], max(traded[2]), min(traded[3]), whole[-1][4], *sums))
    return found


def figures(candle: Candle) -> tuple[object, ...]:
    """A candle as the twin says it."""
    return (
        candle.open_time_ms,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.trade_count,
    )
