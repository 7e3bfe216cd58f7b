"""What the Pub/Sub adapter carries on the emulator: publish, pull, acknowledge, and how late a paced message is.

python -m benchmarks.pubsub_bus [--messages 40000] [--paced-seconds 10]
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
import uuid
from pathlib import Path
from typing import Final

from shared.bus.pubsub import PubSubBus
from shared.bus.pubsub_admin import create_resources
from shared.bus.pubsub_client import PubSubClient
from shared.domain.events import Severity, SystemEvent
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from tests.support.emulators import running_pubsub

ROOT = Path(__file__).parents[1]
BATCH: Final = 200
PACED_PER_SECOND: Final = 50
LARGE_BYTES: Final = 20_000  # about a hundred trades
TOPIC, SUBSCRIPTION = "system-events", "notifier--system-events"


def events(count: int, text_bytes: int = 60) -> list[SystemEvent]:
    """About 200 bytes on the wire, or as large as asked."""
    text = "x" * text_bytes
    return [
        SystemEvent(kind="benchmark", subject="load", version=number, severity=Severity.INFO, text=text, at_ms=number)
        for number in range(count)
    ]


async def publish(bus: PubSubBus, messages: int, text_bytes: int = 60) -> float:
    """Messages per second, a list of BATCH a call."""
    batch = events(BATCH, text_bytes)
    began = time.perf_counter()
    for _ in range(messages // BATCH):
        await bus.publish(TOPIC, batch)
    return messages / (time.perf_counter() - began)


async def drain(bus: PubSubBus, messages: int, loops: int = 1) -> float:
    """Messages per second pulled, decoded and acknowledged by that many loops in this process."""
    left = messages // BATCH * BATCH

    async def consume() -> None:
        nonlocal left
        while left > 0:
            deliveries = await bus.pull(SUBSCRIPTION, max_messages=1_000, wait_seconds=0.5)
            await bus.acknowledge(deliveries)
            left -= len(deliveries)

    began = time.perf_counter()
    await asyncio.gather(*(consume() for _ in range(loops)))
    return messages / (time.perf_counter() - began)


async def paced(bus: PubSubBus, seconds: float) -> dict[str, float]:
    """How late a message is that was published alone, in ms: from the call of publish to the return of pull."""
    late_ms: list[float] = []
    count = round(seconds * PACED_PER_SECOND)
    sent: dict[int, float] = {}

    async def produce() -> None:
        for event in events(count):
            sent[event.version] = time.perf_counter()
            await bus.publish(TOPIC, [event])
            await asyncio.sleep(1 / PACED_PER_SECOND)

    async def consume() -> None:
        while len(late_ms) < count:
            deliveries = await bus.pull(SUBSCRIPTION, max_messages=100, wait_seconds=1)
            now = time.perf_counter()
            late_ms.extend((now - sent[item.event.version]) * 1000 for item in deliveries)  # type: ignore[union-attr]  # all are SystemEvents
            await bus.acknowledge(deliveries)

    await asyncio.gather(produce(), consume())
    return {"paced p50 ms": statistics.median(late_ms), "paced p99 ms": statistics.quantiles(late_ms, n=100)[98]}


async def measure(host: str, messages: int, paced_seconds: float) -> dict[str, float]:
    """Figure -> value; a project of its own, so that nothing else lies in the subscriptions."""
    client = await PubSubClient.connect(f"benchmark-{uuid.uuid4().hex[:8]}", host)
    topology = load_topology()
    await create_resources(client, topology)
    bus = PubSubBus(client, topology, ScaledClock())
    figures = {
        "published messages/s, 200 a call": await publish(bus, messages),
        "pulled and acknowledged messages/s, 1 loop": await drain(bus, messages),
    }
    await publish(bus, messages)
    figures["pulled and acknowledged messages/s, 4 loops"] = await drain(bus, messages, loops=4)
    published, drained = await asyncio.gather(publish(bus, messages), drain(bus, messages))
    figures["both at once, messages/s"] = min(published, drained)
    large = messages // 10
    figures["published 20 kB messages/s"] = await publish(bus, large, LARGE_BYTES)
    figures["pulled and acknowledged 20 kB messages/s"] = await drain(bus, large)
    figures |= await paced(bus, paced_seconds)
    began = time.perf_counter()
    await bus.close()
    return {**figures, "close ms": (time.perf_counter() - began) * 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--paced-seconds", type=float, default=10)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "pubsub_bus.json")
    arguments = parser.parse_args()
    with running_pubsub() as server:
        figures = asyncio.run(measure(server.address, arguments.messages, arguments.paced_seconds))
    for name, value in figures.items():
        print(f"{name:48} {value:12,.1f}")
    report = {
        "machine": {"python": platform.python_version(), "cpus": os.cpu_count(), "machine": platform.machine()},
        "figures": {name: round(value, 1) for name, value in figures.items()},
        "load_average_after": round(os.getloadavg()[0], 2),
    }
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
