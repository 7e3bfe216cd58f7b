"""Pub/Sub under the bus contract: a project of its own for every case, on the session's emulator."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

from google.pubsub_v1.types import PublishRequest

from shared.bus.pubsub import PubSubBus
from shared.bus.pubsub_admin import create_resources
from shared.bus.pubsub_client import PubSubClient
from shared.runtime.clock import ScaledClock
from tests.contract.harness import ACK_DEADLINE_SECONDS, TOPOLOGY, BusCase

# Real time passes, so what asks for several leases is content with one and a bit.
WAIT_SECONDS_MAX = ACK_DEADLINE_SECONDS + 1.5


@contextlib.asynccontextmanager
async def pubsub_case(host: str) -> AsyncIterator[BusCase]:
    """A case on fresh topics and subscriptions. Names are never used again: the emulator stalls on those."""
    project = f"contract-{uuid.uuid4().hex[:12]}"
    client = await PubSubClient.connect(project, host)
    await create_resources(client, TOPOLOGY)
    buses = [PubSubBus(client, TOPOLOGY, ScaledClock())]
    others: list[PubSubClient] = []

    async def inject(topic: str, data: bytes, attributes: dict[str, str]) -> None:
        request = PublishRequest(topic=client.topic_path(topic), messages=[{"data": data, "attributes": attributes}])
        await client.call("inject", client.publisher.publish, request)

    def another() -> PubSubBus:
        others.append(PubSubClient.over_emulator(project, host))
        buses.append(PubSubBus(others[-1], TOPOLOGY, ScaledClock()))
        return buses[-1]

    yield BusCase(
        bus=buses[0],
        pass_time=lambda seconds: asyncio.sleep(min(seconds, WAIT_SECONDS_MAX)),
        inject=inject,
        tolerance_seconds=5.0,
        quiet_seconds=0.4,
        backlog_is_exact=False,
        another=another,
    )
    for bus in buses:
        await bus.close()
