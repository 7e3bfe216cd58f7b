"""The aggregator asks for batches that never reached it: whose session it is serves the request, else whoever looks."""

from pathlib import Path

import pytest
import structlog

from services.ingestion.asked import OTHERS_AFTER_MS, Asked
from services.ingestion.core.refill import Hole
from services.ingestion.core.window import SessionIdentity
from shared.exchanges.feed import FeedLost
from shared.runtime.topology import load_topology
from shared.store.memory import MemoryStore
from shared.store.refill_requests import RefillRequest, RefillRequestStore
from tests.unit.ingestion.test_handlers import INSTRUMENTS, NOW_MS, SYMBOL, World


class Filled:
    """Stands where the refiller stands."""

    def __init__(self) -> None:
        self.holes: list[tuple[SessionIdentity, Hole]] = []

    def fill(self, identity: SessionIdentity, holes: list[Hole], instruments: object) -> None:
        self.holes += [(identity, hole) for hole in holes]


class Desk:
    def __init__(self, world: World) -> None:
        self.world = world
        self.store = MemoryStore(load_topology(), world.market)
        self.requests = RefillRequestStore(self.store)
        self.filled = Filled()
        self.asked = Asked(
            self.store,
            refiller=self.filled,  # type: ignore[arg-type]  # a stand-in that keeps the holes
            clock=world.market,
            instance_id="one",
            exchange="bybit-linear",
            log=structlog.get_logger(),
        )

    async def ask(self, session: str, from_ms: int) -> None:
        request = RefillRequest(
            "bybit-linear", session, (SYMBOL,), from_ms, from_ms + 9_000, self.world.market.wall_ms()
        )
        await self.requests.ask(request, fence=1)

    async def serve(self) -> int:
        await self.asked.serve(self.world.ingestion, INSTRUMENTS)
        return len(await self.requests.open("bybit-linear"))


@pytest.fixture
def desk(tmp_path: Path):
    world = World(tmp_path)
    yield Desk(world)
    world.database.close()


async def test_our_own_session_ends_and_the_next_one_fills_from_where_it_broke_off(desk: Desk):
    world = desk.world
    world.connect()
    world.clock(NOW_MS + 1_000)
    [first] = world.after(1_000)
    frontier = world.ingestion._frontier
    frontier.settle(first.session, SYMBOL)
    world.clock(NOW_MS + 20_000)
    for batch in world.after(1_000):
        frontier.published(batch)
    assert frontier.of(SYMBOL).covered_to_ms == NOW_MS + 19_000

    await desk.ask(first.session, NOW_MS + 5_000)
    assert await desk.serve() == 0
    last = world.after(1_000)
    for batch in last:  # what was still under way counts no more
        frontier.published(batch)
    world.clock(NOW_MS + 22_000)
    [batch] = world.after(1_000)

    assert batch.session != first.session
    _, [hole] = world.holes.asked[-1]
    assert (hole.from_ms, hole.to_ms) == (NOW_MS + 5_000, NOW_MS + 23_000)
    assert not desk.filled.holes


async def test_a_session_of_ours_that_has_ended_is_filled_by_itself(desk: Desk):
    world = desk.world
    world.connect()
    world.clock(NOW_MS)
    [first] = world.after(1_000)
    world.ingestion.handle(FeedLost(reason="reset", retry_seconds=0.1))

    await desk.ask(first.session, NOW_MS + 5_000)
    assert await desk.serve() == 0

    [(identity, hole)] = desk.filled.holes
    assert (hole.from_ms, hole.to_ms, hole.symbol) == (NOW_MS + 5_000, NOW_MS + 14_000, SYMBOL)
    assert first.session in identity.session


async def test_a_twins_session_is_left_to_the_twin_for_a_while(desk: Desk):
    await desk.ask("two-17-1", NOW_MS)
    assert await desk.serve() == 1
    assert not desk.filled.holes

    desk.world.market.now_ms += OTHERS_AFTER_MS
    assert await desk.serve() == 0
    assert len(desk.filled.holes) == 1
