"""The bus in memory and the bus on SQLite are twins: the same calls get the same answers, and no message is lost."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from shared.bus.memory import MemoryBus
from shared.bus.port import Bus, Delivery
from shared.bus.sqlite import SqliteBus
from shared.runtime.clock import EventClock
from shared.sqlite.database import open_database
from tests.contract.harness import START_MS, TOPOLOGY, facts, numbers

SUBSCRIPTIONS = ("first--facts", "second--facts")
subscriptions = st.sampled_from(SUBSCRIPTIONS)
picks = st.lists(st.integers(0, 30), max_size=4)  # positions among all deliveries so far
operations = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 5)),
        st.tuples(st.just("pull"), subscriptions),
        st.tuples(st.just("acknowledge"), picks),
        st.tuples(st.just("release"), picks, st.integers(0, 12)),
        st.tuples(st.just("dead_letter"), picks),
        st.tuples(st.just("pass"), st.integers(1, 25) | st.just(4_000)),
        st.tuples(st.just("prune")),
    ),
    max_size=40,
)


class Driver:
    """Runs the operations on one bus and writes down what comes back."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.published = 0
        self.deliveries: list[Delivery] = []
        self.answers: list[object] = []

    async def step(self, name: str, *arguments) -> None:
        if name == "publish":
            await self.bus.publish("facts", facts(arguments[0], start=self.published))
            self.published += arguments[0]
        elif name == "pull":
            came = await self.bus.pull(arguments[0], max_messages=1_000, wait_seconds=0)
            came.sort(key=lambda delivery: delivery.event.version)
            self.deliveries += came
            self.answers.append([(delivery.event, delivery.attempt) for delivery in came])
        elif name == "prune":
            self.answers.append(await self.bus.prune())
        elif name != "pass":
            chosen = [self.deliveries[pick] for pick in arguments[0] if pick < len(self.deliveries)]
            await self._settle(name, chosen, *arguments[1:])

    async def _settle(self, name: str, chosen: list[Delivery], delay: int = 0) -> None:
        if name == "acknowledge":
            await self.bus.acknowledge(chosen)
        elif name == "release":
            await self.bus.release(chosen, delay_seconds=delay)
        for delivery in chosen if name == "dead_letter" else ():
            await self.bus.dead_letter(delivery, "chosen")

    async def finish(self) -> None:
        """What is left, and what died."""
        for subscription in SUBSCRIPTIONS:
            self.answers.append(await self.bus.backlog(subscription))
            dead = await self.bus.dead_letters(subscription, limit=10_000)
            self.answers.append(sorted((letter.data, letter.reason) for letter in dead))


@given(steps=operations)
def test_memory_and_sqlite_answer_alike(steps):
    asyncio.run(_compare(steps))


async def _compare(steps) -> None:
    clock, database = EventClock(START_MS), open_database(":memory:")
    drivers = [
        Driver(bus)
        for bus in (
            MemoryBus(TOPOLOGY, clock),
            MemoryBus(TOPOLOGY, clock, encode=False),
            SqliteBus(database, TOPOLOGY, clock),
        )
    ]
    for step in steps:
        if step[0] == "pass":
            clock.now_ms += step[1] * 1000
        for driver in drivers:
            await driver.step(*step)
    for driver in drivers:
        await driver.finish()
        assert driver.answers == drivers[0].answers
    await database.close()


@given(steps=operations)
def test_every_message_is_handled_or_dead_never_lost(steps):
    asyncio.run(_account(steps))


async def _account(steps) -> None:
    clock, database = EventClock(START_MS), open_database(":memory:")
    driver = Driver(SqliteBus(database, TOPOLOGY, clock))
    for step in steps:
        if step[0] == "pass":
            clock.now_ms += step[1] * 1000
        if step[0] != "acknowledge":
            await driver.step(*step)
    handled: list[int] = []
    for _ in range(8):
        clock.now_ms += 60_000
        came = await driver.bus.pull("first--facts", max_messages=1_000, wait_seconds=0)
        handled += numbers(came)
        await driver.bus.acknowledge(came)
    dead = await driver.bus.dead_letters("first--facts", limit=10_000)

    assert len(handled) == len(set(handled))
    assert len(handled) + len(dead) == driver.published
    await database.close()
