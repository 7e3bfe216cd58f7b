"""Any sequence of store operations leaves SQLite and a slow obvious model in the same state."""

import asyncio

from hypothesis import given

from shared.runtime.clock import EventClock
from shared.sqlite.database import open_database
from shared.store.sqlite import SqliteStore
from tests.contract.harness import START_MS, TOPOLOGY
from tests.support.store_model import compare, operations


@given(steps=operations)
def test_the_store_behaves_like_its_model(steps):
    asyncio.run(_compare(steps))


async def _compare(steps) -> None:
    clock, database = EventClock(START_MS), open_database(":memory:")
    await compare(steps, SqliteStore(database, TOPOLOGY, clock), clock)
    await database.close()
