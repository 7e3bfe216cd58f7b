"""Two aggregators overlap, as in a roll-out: the stale one can never overwrite a better candle, whatever it still does."""

import asyncio
from contextlib import suppress

import pytest

from services.aggregator.core.limits import Limits
from services.aggregator.handlers import Aggregator
from shared.bus.memory import MemoryBus
from shared.domain.candles import Candle, CandleQuality
from shared.domain.errors import FencedError
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.domain.trades import TradeSource
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.port import Store, key_of
from tests.support.aggregator import figures, twin_minutes
from tests.support.trades import EXCHANGE, START_MS, Row, a_batch

MINUTES = 6
END_MS = START_MS + MINUTES * MINUTE_MS
LIMITS = Limits(hole_timeout_ms=10_000, close_chunk=2, correct_chunk=2)
SEEN = [Row("AAA", 2 * number, START_MS + number * 15_000 + 100, 100.0 + number, 5) for number in range(4 * MINUTES)]
LOST = [Row("AAA", 2 * number + 1, START_MS + number * 60_000 + 200, 200.0 + number, 7) for number in range(MINUTES)]
ALL = [*SEEN, *LOST]


class Stores:
    """Two clients of one store, as two processes have them."""

    def __init__(self, first: Store, second: Store) -> None:
        self.first, self.second = first, second
        self.bus = MemoryBus(load_topology(), EventClock(0))

    def aggregator(self, store: Store, fence: int) -> Aggregator:
        return Aggregator(store=store, bus=self.bus, limits=LIMITS, fence=fence)

    async def minutes(self) -> list[Candle]:
        return await CandleStore(self.first).between(EXCHANGE, "AAA", Timeframe.M1, 0, END_MS)

    async def fences(self) -> set[int]:
        rows = await self.first.scan("market-data-1m", EXCHANGE, key_of(EXCHANGE, "AAA", END_MS))
        return {row.fence for row in rows}


@pytest.fixture
def stores(two_clients: tuple[Store, Store]) -> Stores:
    return Stores(*two_clients)


def with_a_hole(sequence: int = 0, watermark_ms: int = END_MS + LIMITS.hole_timeout_ms):
    """What the stream brought: it does not vouch for the first instants of any minute, where trades were lost."""
    rows = SEEN if not sequence else ()
    return a_batch(rows, sequence=sequence, covers_from_ms=END_MS, watermark_ms=watermark_ms, symbols=("AAA",))


def the_refill():
    """Every trade, vouched for."""
    return a_batch(ALL, session="refill", source=TradeSource.REFILL, watermark_ms=END_MS, symbols=("AAA",))


async def test_what_a_stale_owner_folded_before_never_replaces_what_the_new_one_stored(stores: Stores):
    stale, owner = stores.aggregator(stores.first, fence=1), stores.aggregator(stores.second, fence=2)
    await stale.append([with_a_hole()])  # in its memory the minutes are ready to close with holes

    await owner.append([the_refill()])
    await owner.close_minutes()
    best = await stores.minutes()
    assert {candle.quality for candle in best} == {CandleQuality.REPAIRED}
    with pytest.raises(FencedError):
        await stale.close_minutes()
    with suppress(FencedError):  # trades are welcome from whoever brings them; what is made of them is fenced
        await stale.append([with_a_hole(1, END_MS + MINUTE_MS)])
        await stale.close_minutes()

    assert await stores.minutes() == best
    assert [figures(candle) for candle in best] == twin_minutes(ALL, "AAA", END_MS)
    assert await stores.fences() == {2}


async def test_what_a_stale_owner_stored_first_is_corrected_and_stays_so(stores: Stores):
    stale, owner = stores.aggregator(stores.first, fence=1), stores.aggregator(stores.second, fence=2)
    await stale.append([with_a_hole()])
    await stale.close_minutes()
    assert {candle.quality for candle in await stores.minutes()} == {CandleQuality.PARTIAL}

    await owner.append([the_refill()])
    await owner.close_minutes()
    best = await stores.minutes()
    for _ in range(2):  # what it would do as a repair or a late look
        with suppress(FencedError):
            await stale.recover()
            await stale.close_minutes()
    await owner.recover()
    await owner.close_minutes()

    assert await stores.minutes() == best
    assert [figures(candle) for candle in best] == twin_minutes(ALL, "AAA", END_MS)
    assert {(candle.quality, candle.revision) for candle in best} == {(CandleQuality.REPAIRED, 2)}


@pytest.mark.parametrize("head_start", range(4))
async def test_whoever_is_quicker_the_better_candle_stands(stores: Stores, head_start: int):
    """Both work at once, minute by minute; the stale one begins a little earlier each time."""
    stale, owner = stores.aggregator(stores.first, fence=1), stores.aggregator(stores.second, fence=2)

    async def work_stale() -> None:
        with suppress(FencedError):
            for sequence in range(4):
                await stale.append([with_a_hole(sequence, END_MS + LIMITS.hole_timeout_ms + sequence)])
                await stale.close_minutes()
                await stale.recover()

    working = asyncio.ensure_future(work_stale())
    for _ in range(head_start * 3):
        await asyncio.sleep(0.001)
    await owner.append([the_refill()])
    await owner.close_minutes()
    await working
    await owner.recover()  # as a term does once the former owner cannot write any more
    await owner.close_minutes()

    candles = await stores.minutes()
    assert [figures(candle) for candle in candles] == twin_minutes(ALL, "AAA", END_MS)
    assert {candle.quality for candle in candles} == {CandleQuality.REPAIRED}
