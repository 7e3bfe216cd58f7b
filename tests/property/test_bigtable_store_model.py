"""Any sequence of store operations leaves Bigtable and a slow obvious model in the same state."""

import asyncio

import pytest
from hypothesis import given

from shared.runtime.clock import EventClock
from shared.store.bigtable import BigtableStore
from tests.contract.harness import START_MS, TOPOLOGY
from tests.support.emulators_store import PROJECT, fresh_bigtable
from tests.support.store_model import compare, operations


@pytest.mark.usefixtures("bigtable_emulator")
@given(steps=operations)
def test_the_store_behaves_like_its_model(steps):
    asyncio.run(_compare(steps))


async def _compare(steps) -> None:
    clock = EventClock(START_MS)
    async with fresh_bigtable(TOPOLOGY) as instance:
        store = BigtableStore(PROJECT, instance, TOPOLOGY, clock)
        await compare(steps, store, clock)
        await store.close()
