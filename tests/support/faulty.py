"""Adapters that fail as brokers and databases do: before the effect, after it, in the middle, late, twice, in another order."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, groupby
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from shared.bus.port import Bus, Delivery
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.domain.events import Event
from shared.store.port import Lease, Outcome, Row, Store, Write

ResultT = TypeVar("ResultT")
LATE_SECONDS = 1.2  # longer than a lease of the tests that use this


class Faults(msgspec.Struct, kw_only=True):
    """Shares of calls (0..1) that a fault strikes; what struck is counted in `struck`. down: nothing at all answers."""

    seed: int = 0
    publish_refused: float = 0.0  # nothing went out
    publish_unknown: float = 0.0  # it went out, nobody knows
    publish_twice: float = 0.0
    pull_refused: float = 0.0
    reordered: float = 0.0  # deliveries that come again a moment later, behind others
    acknowledge_lost: float = 0.0  # the message comes again after its lease
    acknowledge_late: float = 0.0  # after the end of the lease
    store_unavailable: float = 0.0  # nothing was done
    store_deadline: float = 0.0  # some rows of the list, or all, were written; nobody knows
    cache_unavailable: float = 0.0
    down: bool = False
    struck: Counter[str] = msgspec.field(default_factory=Counter)
    chance: random.Random = msgspec.field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.chance.seed(self.seed)

    def end(self) -> None:
        """Nothing more goes wrong."""
        self.down = False
        for name, value in structs.asdict(self).items():
            if isinstance(value, float):
                setattr(self, name, 0.0)

    def strikes(self, name: str) -> bool:
        """Whether this call is struck."""
        if self.chance.random() >= getattr(self, name):
            return False
        self.struck[name] += 1
        return True

    def refuse(self, name: str, place: str) -> None:
        """Raise where the call does not come through at all."""
        if self.down:
            self.struck["down"] += 1
            raise TransientError(f"injected: {place} is down")
        if self.strikes(name):
            raise TransientError(f"injected: {place} did not answer")


class FaultyBus:
    """The bus port over another one."""

    def __init__(self, bus: Bus, faults: Faults) -> None:
        self._bus = bus
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        faults = self._faults
        faults.refuse("publish_refused", topic)
        if len(events) > 1 and faults.strikes("publish_unknown"):
            await self._bus.publish(topic, events[: faults.chance.randrange(1, len(events))])
            raise TransientError(f"injected: {topic} took a part")
        await self._bus.publish(topic, events)
        if faults.strikes("publish_twice"):
            await self._bus.publish(topic, events)
        if faults.strikes("publish_unknown"):
            raise TransientError(f"injected: {topic} did not say whether it took them")

    async def pull(self, subscription: str, *, max_messages: int, wait_seconds: float) -> list[Delivery]:
        faults = self._faults
        faults.refuse("pull_refused", subscription)
        deliveries = await self._bus.pull(subscription, max_messages=max_messages, wait_seconds=wait_seconds)
        if faults.reordered:
            faults.chance.shuffle(deliveries)
            later = [item for item in deliveries if item.attempt < 3 and faults.strikes("reordered")]
            await self._bus.release(later, delay_seconds=faults.chance.uniform(0.01, 0.2))
            deliveries = [item for item in deliveries if item not in later]
        return deliveries

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        faults = self._faults
        faults.refuse("acknowledge_lost", "acknowledge")
        if deliveries and faults.strikes("acknowledge_late"):
            await asyncio.sleep(LATE_SECONDS)
        await self._bus.acknowledge(deliveries)


class FaultyStore:
    """The store port over another one; rows of one call are written one by one, as where each row is atomic on its own."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def _asked(self, call: Callable[[], Awaitable[ResultT]], place: str) -> ResultT:
        self._faults.refuse("store_unavailable", place)
        return await call()

    async def get(self, table: str, key: str) -> Row | None:
        return await self._asked(lambda: self._store.get(table, key), table)

    async def get_many(self, table: str, keys: Sequence[str]) -> dict[str, Row]:
        return await self._asked(lambda: self._store.get_many(table, keys), table)

    async def scan(self, table: str, start: str, end: str, *, limit: int | None = None) -> list[Row]:
        return await self._asked(lambda: self._store.scan(table, start, end, limit=limit), table)

    async def history(self, table: str, key: str) -> list[Row]:
        return await self._asked(lambda: self._store.history(table, key), table)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self._faults.refuse("store_unavailable", "write")
        if writes and self._faults.strikes("store_deadline"):
            await self._store.write(self._some_of(writes))
            raise TransientError("injected: nobody knows which rows were written")
        return await self._store.write(writes)

    def _some_of(self, writes: Sequence[Write]) -> list[Write]:
        """What a deadline may leave: tables in the list's order, of the last one any rows."""
        tables = [list(group) for _, group in groupby(writes, key=lambda write: write.table)]
        cut = self._faults.chance.randrange(len(tables) + 1)
        last = tables[cut] if cut < len(tables) else []
        return [*chain(*tables[:cut]), *self._faults.chance.sample(last, k=self._faults.chance.randint(0, len(last)))]

    async def fill(self, writes: Sequence[Write]) -> None:
        await self._asked(lambda: self._store.fill(writes), "fill")

    async def delete(self, table: str, keys: Sequence[str]) -> None:
        await self._asked(lambda: self._store.delete(table, keys), table)

    async def delete_range(self, table: str, start: str, end: str, *, limit: int) -> int:
        return await self._asked(lambda: self._store.delete_range(table, start, end, limit=limit), table)

    async def acquire_lease(self, name: str, owner: str, *, ttl_ms: int) -> Lease | None:
        return await self._asked(lambda: self._store.acquire_lease(name, owner, ttl_ms=ttl_ms), name)

    async def release_lease(self, lease: Lease) -> None:
        await self._asked(lambda: self._store.release_lease(lease), lease.name)

    async def prune(self) -> int:
        return await self._asked(self._store.prune, "prune")

    async def close(self) -> None:
        await self._store.close()


class FaultyCache:
    """The cache port over another one; `cache_unavailable` refuses, whoever empties it empties the one below."""

    def __init__(self, cache: Cache, faults: Faults) -> None:
        self._cache = cache
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cache, name)

        async def asked(*arguments: Any, **named: Any) -> Any:
            self._faults.refuse("cache_unavailable", "cache")
            return await method(*arguments, **named)

        return asked
