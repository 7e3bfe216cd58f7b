"""The consumer loop: poison is set aside with its reason, everything else comes again, nothing is acknowledged early."""

import asyncio

import structlog

from shared.bus.memory import MemoryBus
from shared.bus.port import Delivery
from shared.domain.errors import PermanentError
from shared.domain.events import Severity, SystemEvent
from shared.runtime.clock import ScaledClock
from shared.runtime.consumer import consume
from shared.runtime.topology import load_topology

SUBSCRIPTION = "notifier--system-events"


def an_event(number: int) -> SystemEvent:
    return SystemEvent(kind="test", subject="s", version=number, severity=Severity.INFO, text="", at_ms=1)


async def run_until(bus: MemoryBus, handle, done) -> None:
    stopping = asyncio.Event()
    task = asyncio.create_task(consume(bus, SUBSCRIPTION, handle, stopping=stopping, log=structlog.get_logger()))
    async with asyncio.timeout(20):
        while not await done():
            await asyncio.sleep(0.01)
    stopping.set()
    await task


async def test_poison_is_isolated_and_dead_lettered_with_its_reason():
    bus = MemoryBus(load_topology(), ScaledClock())
    await bus.publish("system-events", [an_event(number) for number in range(5)])
    handled: list[int] = []

    async def handle(deliveries: list[Delivery]) -> None:
        if any(delivery.event.version == 3 for delivery in deliveries):
            raise PermanentError("number 3 cannot be handled")
        handled.extend(delivery.event.version for delivery in deliveries)

    async def done() -> bool:
        return await bus.backlog(SUBSCRIPTION) == 0

    await run_until(bus, handle, done)

    assert handled == [0, 1, 2, 4]
    [dead] = await bus.dead_letters(SUBSCRIPTION)
    assert dead.reason == "number 3 cannot be handled"


async def test_a_passing_fault_is_tried_again_and_nothing_is_lost():
    bus = MemoryBus(load_topology(), ScaledClock())
    await bus.publish("system-events", [an_event(number) for number in range(3)])
    attempts: list[list[int]] = []

    async def handle(deliveries: list[Delivery]) -> None:
        attempts.append([delivery.event.version for delivery in deliveries])
        if len(attempts) < 3:
            raise ConnectionError("the store is away")

    async def done() -> bool:
        return await bus.backlog(SUBSCRIPTION) == 0

    await run_until(bus, handle, done)

    assert attempts == [[0, 1, 2]] * 3
    assert await bus.dead_letters(SUBSCRIPTION) == []
