"""A restarted process takes its instance's lease over at once, with a higher fence; its predecessor gets it no more."""

from shared.runtime.clock import EventClock
from shared.runtime.leadership import process_owner
from shared.runtime.topology import load_topology
from shared.store.memory import MemoryStore


async def test_a_restart_takes_over_at_once():
    store = MemoryStore(load_topology(), EventClock(1_000))
    before, after = process_owner("notifier@host"), process_owner("notifier@host")

    first = await store.acquire_lease("sender", before, ttl_ms=60_000)
    second = await store.acquire_lease("sender", after, ttl_ms=60_000)

    assert first is not None
    assert second is not None
    assert second.fence > first.fence
    assert await store.acquire_lease("sender", before, ttl_ms=60_000) is None


async def test_another_instance_waits():
    store = MemoryStore(load_topology(), EventClock(1_000))

    assert await store.acquire_lease("sender", process_owner("notifier@one"), ttl_ms=60_000) is not None
    assert await store.acquire_lease("sender", process_owner("notifier@two"), ttl_ms=60_000) is None
