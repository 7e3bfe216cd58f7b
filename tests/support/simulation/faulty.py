"""Bus and store that fail as brokers do: before the effect, after it, by repeating, by delaying, by being full."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from shared.bus.memory import MemoryBus
from shared.bus.port import Delivery
from shared.domain.errors import TransientError
from shared.domain.events import Event
from shared.domain.trades import TradeBatch
from shared.store.memory import MemoryStore
from shared.store.port import Outcome, Row, Write
from tests.support.simulation.process import may_die

_TURN_SHARE = 0.4


class Trouble:
    """What a broker does wrong now. Shares: of its calls. down: all of them."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.down = False
        self.fail_share = self.repeat_share = self.delay_share = 0.0
        self.full = False
        self.lose = 0  # so many batches of trades are taken and never delivered
        self.counters: dict[str, int] = {}

    def count(self, what: str) -> None:
        self.counters[what] = self.counters.get(what, 0) + 1

    def heal(self) -> None:
        self.down = self.full = False
        self.fail_share = self.repeat_share = self.delay_share = 0.0

    @property
    def is_calm(self) -> bool:
        return not (self.down or self.full or self.fail_share)

    async def before(self) -> None:
        """A call begins: it may fail without effect."""
        await self._pass()
        if self.down:
            self.count("down")
            await asyncio.sleep(0.2)
            raise TransientError(f"{self.name} is down")
        if self.fail_share and self.chance.random() < self.fail_share / 2:
            self.count("failed_before")
            raise TransientError(f"{self.name}: no connection")

    async def _pass(self) -> None:
        """A process may die here; now and then another task has its turn, so that seeds differ in who overtakes whom."""
        await may_die()
        if self.chance.random() < _TURN_SHARE:
            await asyncio.sleep(0)

    async def after(self) -> None:
        """The effect is there: the caller may never hear of it."""
        await self._pass()
        if self.fail_share and self.chance.random() < self.fail_share / 2:
            self.count("failed_after")
            raise TransientError(f"{self.name}: connection reset, outcome unknown")


class FaultyBus:
    """The bus port over MemoryBus."""

    def __init__(self, inner: MemoryBus, trouble: Trouble) -> None:
        self._inner = inner
        self.trouble = trouble

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        trouble = self.trouble
        await trouble.before()
        for event in events:
            if trouble.lose and isinstance(event, TradeBatch):
                trouble.lose -= 1
                trouble.count("lost")
                continue
            copies = 1
            if trouble.repeat_share and trouble.chance.random() < trouble.repeat_share:
                trouble.count("repeated")
                copies = 2
            for _ in range(copies):
                if trouble.delay_share and trouble.chance.random() < trouble.delay_share:
                    trouble.count("delayed")
                    asyncio.get_running_loop().call_later(trouble.chance.uniform(0.5, 20), self._late, topic, event)
                else:
                    await self._inner.publish(topic, [event])
        await trouble.after()

    def _late(self, topic: str, event: Event) -> None:
        # Publishing into memory never waits: one step is all of it.
        try:
            self._inner.publish(topic, [event]).send(None)
        except StopIteration:
            return

    async def pull(self, subscription: str, *, max_messages: int, wait_seconds: float) -> list[Delivery]:
        await self.trouble.before()
        found = await self._inner.pull(subscription, max_messages=max_messages, wait_seconds=wait_seconds)
        if self.trouble.delay_share and len(found) > 1:
            self.trouble.chance.shuffle(found)
        return found

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        await self.trouble.before()
        await self._inner.acknowledge(deliveries)
        await self.trouble.after()

    async def release(self, deliveries: Sequence[Delivery], *, delay_seconds: float) -> None:
        await self.trouble.before()
        await self._inner.release(deliveries, delay_seconds=delay_seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class FaultyStore:
    """The store port over MemoryStore. When full, writes fail and everything else works."""

    def __init__(self, inner: MemoryStore, trouble: Trouble) -> None:
        self._inner = inner
        self.trouble = trouble

    async def get(self, table: str, key: str) -> Row | None:
        await self.trouble.before()
        return await self._inner.get(table, key)

    async def get_many(self, table: str, keys: Sequence[str]) -> dict[str, Row]:
        await self.trouble.before()
        return await self._inner.get_many(table, keys)

    async def scan(self, table: str, start: str, end: str, *, limit: int | None = None) -> list[Row]:
        await self.trouble.before()
        return await self._inner.scan(table, start, end, limit=limit)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        await self.trouble.before()
        if self.trouble.full:
            self.trouble.count("full")
            raise TransientError("the disk is full")
        if self.trouble.fail_share and len(writes) > 1 and self.trouble.chance.random() < self.trouble.fail_share:
            self.trouble.count("written_in_part")
            await self._inner.write(writes[: self.trouble.chance.randrange(1, len(writes))])
            raise TransientError(f"{self.trouble.name}: connection reset, some rows are written")
        outcomes = await self._inner.write(writes)
        await self.trouble.after()
        return outcomes

    async def fill(self, writes: Sequence[Write]) -> None:
        await self.trouble.before()
        if self.trouble.full:
            raise TransientError("the disk is full")
        await self._inner.fill(writes)
        await self.trouble.after()

    async def delete(self, table: str, keys: Sequence[str]) -> None:
        await self.trouble.before()
        await self._inner.delete(table, keys)
        await self.trouble.after()

    async def acquire_lease(self, name: str, owner: str, *, ttl_ms: int) -> Any:
        await self.trouble.before()
        return await self._inner.acquire_lease(name, owner, ttl_ms=ttl_ms)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
