"""The tape is kept within its age and its size, and what has left it is never folded again."""

import pytest

from services.aggregator.core.limits import Limits
from services.aggregator.core.tape_budget import HOUR_MS, TapeLimits
from services.aggregator.handlers import Aggregator
from shared.bus.memory import MemoryBus
from shared.domain.candles import Candle
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.port import Store
from shared.store.tape_sizes import TapeSizeStore
from tests.support.trades import EXCHANGE, Row, a_batch

BEGIN_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
HOURS, STEP_MS = 6, 10 * MINUTE_MS
END_MS = BEGIN_MS + HOURS * HOUR_MS


async def fill(aggregator: Aggregator) -> None:
    for number, at_ms in enumerate(range(BEGIN_MS, END_MS, STEP_MS)):
        rows = [Row("AAA", 1_000 * number + second, at_ms + second * 1_000, 100.0 + second, 5) for second in range(20)]
        batch = a_batch(
            rows, sequence=number, covers_from_ms=BEGIN_MS, watermark_ms=at_ms + STEP_MS, started_at_ms=BEGIN_MS
        )
        await aggregator.append([batch])
    await aggregator.close_minutes()


def an_aggregator(store: Store, bus: MemoryBus, limits: TapeLimits) -> Aggregator:
    return Aggregator(store=store, bus=bus, limits=Limits(hole_timeout_ms=10**9), fence=1, tape_limits=limits)


async def hours_on_tape(store: Store) -> set[int]:
    found = set()
    for table, part in (("market-trades", 2), ("market-batches", 1)):
        for row in await store.scan(table, EXCHANGE, EXCHANGE + "~"):
            found.add((int(row.key.split("#")[part]) - BEGIN_MS) // HOUR_MS)
    return found


async def candles_of(store: Store) -> list[Candle]:
    return await CandleStore(store).between(EXCHANGE, "AAA", Timeframe.M1, 0, END_MS)


@pytest.mark.parametrize(
    ("hours_max", "share", "kept"), [(2, 1.0, {4, 5, 6}), (72, 0.55, {3, 4, 5, 6}), (72, 1.0, set(range(7)))]
)
async def test_whole_hours_go_by_age_and_by_size(
    two_clients: tuple[Store, Store], hours_max: int, share: float, kept: set[int]
):
    store, bus = two_clients[0], MemoryBus(load_topology(), EventClock(0))
    unlimited = an_aggregator(store, bus, TapeLimits())
    await fill(unlimited)
    await unlimited.keep_tape()
    on_tape = await store.scan("market-trades", EXCHANGE, EXCHANGE + "~")
    said = await store.scan("market-batches", EXCHANGE, EXCHANGE + "~")
    size = sum(len(row.key) + len(row.value) for row in [*on_tape, *said])
    assert unlimited.status(now_market_ms=END_MS)["tape_bytes"] == size
    before = await candles_of(store)

    # Another process of the service goes on from what the first one noted.
    limited = an_aggregator(two_clients[1], bus, TapeLimits(hours_max=hours_max, bytes_max=round(size * share)))
    await limited.recover()
    removed = await limited.keep_tape()

    assert await hours_on_tape(store) <= kept
    assert removed == len(on_tape) + len(said) - sum(
        [len(await store.scan(table, EXCHANGE, EXCHANGE + "~")) for table in ("market-trades", "market-batches")]
    )
    assert int(str(limited.status(now_market_ms=END_MS)["tape_bytes"])) <= size * share
    assert await candles_of(store) == before


async def test_a_minute_that_has_left_the_tape_is_never_folded_again(two_clients: tuple[Store, Store]):
    store, bus = two_clients[0], MemoryBus(load_topology(), EventClock(0))
    aggregator = an_aggregator(store, bus, TapeLimits(hours_max=2))
    await fill(aggregator)
    before = await candles_of(store)
    await aggregator.keep_tape()
    assert (await TapeSizeStore(store).beginnings())[
        EXCHANGE
    ] == BEGIN_MS + 4 * HOUR_MS  # the newest hour is the one that begins at the end

    for who in (aggregator, an_aggregator(two_clients[1], bus, TapeLimits(hours_max=2))):
        late = [Row("AAA", 77, BEGIN_MS + 5_500, 1.0, 1), Row("AAA", 78, END_MS - STEP_MS + 5_500, 300.0, 1)]
        await who.append([a_batch(late, session="late", covers_from_ms=BEGIN_MS, watermark_ms=END_MS)])
        await who.close_minutes()

    after = await candles_of(store)
    changed = [one.open_time_ms for one, then in zip(after, before, strict=True) if not one.same_market(then)]
    assert min(changed) == END_MS - STEP_MS  # and the flat minutes behind it
    refused = await bus.dead_letters("aggregator--raw-tick-data-bybit")
    assert len(refused) == 1
    assert "must lie in" in refused[0].reason
