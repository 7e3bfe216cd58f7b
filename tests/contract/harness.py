"""What a contract suite needs of an adapter beyond its port. An adapter joins a suite with one entry in conftest.py.

Embedded adapters live on a clock that the test moves, so `pass_time` is instant; adapters of real brokers sleep. Suites
ask for results "within" a span instead of at once, because brokers answer eventually.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from shared.bus.port import Bus, Delivery
from shared.cache.port import Cache
from shared.domain.events import Severity, SystemEvent
from shared.domain.topology import Subscription, Table, Topic, Topology
from shared.runtime.clock import EventClock
from shared.store.port import Store

START_MS = 1_780_000_000_000
ACK_DEADLINE_SECONDS = 10  # the shortest that every broker accepts
ATTEMPTS_MAX = 5  # likewise

TOPOLOGY = Topology(
    topics=(
        Topic(name="facts", events=("SystemEvent",), retention_hours=1),
        Topic(name="unread", events=("SystemEvent",), retention_hours=1),
    ),
    subscriptions=tuple(
        Subscription(
            name=name,
            topic="facts",
            ack_deadline_seconds=ACK_DEADLINE_SECONDS,
            max_delivery_attempts=ATTEMPTS_MAX,
        )
        for name in ("first--facts", "second--facts")
    ),
    tables=(
        Table(name="single", max_versions=1, ttl_hours=None),
        Table(name="versioned", max_versions=3, ttl_hours=None),
        Table(name="aging", max_versions=2, ttl_hours=72),
        Table(name="synchronous", max_versions=1, ttl_hours=None, fully_synchronous=True),
        Table(name="once", max_versions=1, ttl_hours=72, write_once=True),
        Table(name="leases", max_versions=1, ttl_hours=None),
    ),
)

PassTime = Callable[[float], Awaitable[None]]


def moving(clock: EventClock) -> PassTime:
    """pass_time for adapters that live on the test's clock."""

    async def pass_time(seconds: float) -> None:
        clock.now_ms += round(seconds * 1000)
        await asyncio.sleep(0)

    return pass_time


@dataclass(kw_only=True)
class BusCase:
    """One bus adapter. inject: publish bytes that are no event of ours. `tolerance_seconds`: how late a broker may be."""

    bus: Bus
    pass_time: PassTime
    inject: Callable[[str, bytes, dict[str, str]], Awaitable[None]] | None
    tolerance_seconds: float = 2.0
    quiet_seconds: float = 0.05  # a pull that brings nothing for so long means that nothing comes
    releases_exactly: bool = True  # False: a release waits for the lease to end
    backlog_is_exact: bool = True
    attributes_travel: bool = True  # False: events pass as objects, which know their own type and id
    another: Callable[[], Bus] | None = None  # a second client of the same broker, as another process has it

    async def pull_until(self, subscription: str, count: int, *, acknowledge: bool = False) -> list[Delivery]:
        """Pull until `count` deliveries came or the tolerance ends."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.tolerance_seconds
        deliveries: list[Delivery] = []
        while len(deliveries) < count and loop.time() < deadline:
            came = await self.bus.pull(subscription, max_messages=count - len(deliveries), wait_seconds=0.1)
            if acknowledge:
                await self.bus.acknowledge(came)
            deliveries += came
        return deliveries

    async def nothing_comes(self, subscription: str) -> bool:
        """True when a pull of a moment returns nothing."""
        return not await self.bus.pull(subscription, max_messages=10, wait_seconds=self.quiet_seconds)


@dataclass(kw_only=True)
class StoreCase:
    """One store adapter. another: a second client of the same store, as another process has it."""

    store: Store
    pass_time: PassTime
    another: Callable[[], Store]


@dataclass(kw_only=True)
class CacheCase:
    """One cache adapter."""

    cache: Cache
    pass_time: PassTime
    another: Callable[[], Cache]
    keep: list[object] = field(default_factory=list)


def a_fact(number: int, subject: str = "contract") -> SystemEvent:
    """An event whose version tells it apart."""
    return SystemEvent(
        kind="fact", subject=subject, version=number, severity=Severity.INFO, text=f"fact {number}", at_ms=START_MS
    )


def facts(count: int, start: int = 0) -> list[SystemEvent]:
    """Events start..start+count-1."""
    return [a_fact(number) for number in range(start, start + count)]


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    """Their versions, sorted: no broker promises order."""
    return sorted(delivery.event.version for delivery in deliveries if isinstance(delivery.event, SystemEvent))
