"""The bus on Pub/Sub when things are wrong: one clear line, bounded time, nothing lost, recovery by itself."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.bus.pubsub import MESSAGE_BYTES_MAX, PubSubBus
from shared.bus.pubsub_admin import create_resources, declared_resources, delete_resources, require_resources
from shared.bus.pubsub_client import PubSubClient
from shared.domain.errors import PermanentError, TransientError
from shared.runtime.clock import ScaledClock
from tests.contract.harness import ACK_DEADLINE_SECONDS, TOPOLOGY, a_fact, facts, numbers
from tests.support.emulators import running_pubsub, start_pubsub
from tests.support.emulators_store import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
FIRST = "first--facts"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """One for all tests. The last of them kills it: started again from a thread, it lives no longer than that test."""
    with running_pubsub() as running:
        yield running


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[PubSubClient]:
    client = await PubSubClient.connect(f"faults-{uuid.uuid4().hex[:12]}", server.address)  # nothing of another test's
    await create_resources(client, TOPOLOGY)
    yield client
    await client.close()


@pytest.fixture
async def bus(client: PubSubClient) -> AsyncIterator[PubSubBus]:
    bus = PubSubBus(client, TOPOLOGY, ScaledClock())
    yield bus
    await bus.close()


async def test_an_emulator_that_hangs_costs_a_deadline_and_no_more(server: ServerProcess, bus: PubSubBus):
    server.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(TransientError, match="topic facts"):
            await bus.publish("facts", facts(1))
        assert time.monotonic() - began < 9

        began = time.monotonic()
        assert await bus.pull(FIRST, max_messages=1, wait_seconds=0.5) == []
        await bus.close()
        assert time.monotonic() - began < 3
    finally:
        server.signal(signal.SIGCONT)


async def test_everything_missing_is_named_at_the_start(server: ServerProcess, client: PubSubClient):
    await require_resources(client, TOPOLOGY)
    assert len(await delete_resources(client, TOPOLOGY)) == len(declared_resources(TOPOLOGY)) == 8
    assert await delete_resources(client, TOPOLOGY) == []

    with pytest.raises(PermanentError) as missing:
        await require_resources(client, TOPOLOGY)

    for resource in declared_resources(TOPOLOGY):
        assert str(resource) in str(missing.value)
    assert "cst infra create" in str(missing.value)
    assert len(await create_resources(client, TOPOLOGY)) == 8
    assert await create_resources(client, TOPOLOGY) == []


async def test_a_start_without_an_answer_is_one_line(monkeypatch: pytest.MonkeyPatch):
    client = await PubSubClient.connect("nobody", "127.0.0.1:1")
    began = time.monotonic()

    with pytest.raises(PermanentError, match=r"Pub/Sub does not answer, project nobody at 127\.0\.0\.1:1"):
        await require_resources(client, TOPOLOGY)

    assert time.monotonic() - began < 9
    await client.close()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(PermanentError, match=r"no usable Google credentials.*gcloud auth"):
        await PubSubClient.connect("real-project", None)


async def test_an_oversized_event_is_refused_with_its_size_before_anything_goes_out(bus: PubSubBus):
    large = a_fact(1, subject="x" * (MESSAGE_BYTES_MAX + 1))

    with pytest.raises(PermanentError, match=r"at most 9900000 bytes, was 99\d{5} \(SystemEvent .*, topic facts\)"):
        await bus.publish("facts", [a_fact(0), large])

    assert await bus.pull(FIRST, max_messages=10, wait_seconds=0.5) == []


async def test_large_events_travel_in_requests_of_their_own_and_large_refusals_are_cut(bus: PubSubBus):
    events = [a_fact(number, subject="x" * 4_000_000) for number in range(5)]
    await bus.publish("facts", events)
    came: list[int] = []
    while len(came) < 5:
        deliveries = await bus.pull(FIRST, max_messages=10, wait_seconds=5)
        assert deliveries
        came += numbers(deliveries)
        await bus.acknowledge(deliveries)
    assert sorted(came) == [0, 1, 2, 3, 4]

    await bus.refuse(FIRST, b"y" * 11_000_000, {}, "frame too long " * 200)
    [dead] = await bus.dead_letters(FIRST)
    assert len(dead.data) <= MESSAGE_BYTES_MAX
    assert dead.reason.startswith("frame too long")


async def test_a_message_pulled_for_a_consumer_that_has_stopped_goes_to_another(client: PubSubClient, bus: PubSubBus):
    assert await bus.pull(FIRST, max_messages=10, wait_seconds=0.1) == []  # its request stays open

    await bus.publish("facts", facts(1))
    other = PubSubBus(PubSubClient.over_emulator(client.project, client.host), TOPOLOGY, ScaledClock())
    began = time.monotonic()
    deliveries = await other.pull(FIRST, max_messages=10, wait_seconds=ACK_DEADLINE_SECONDS)

    assert numbers(deliveries) == [0]
    assert time.monotonic() - began < ACK_DEADLINE_SECONDS * 0.8
    await other.acknowledge(deliveries)
    await other.close()


async def test_closing_gives_back_what_was_fetched_ahead(client: PubSubClient, bus: PubSubBus):
    leaving = PubSubBus(PubSubClient.over_emulator(client.project, client.host), TOPOLOGY, ScaledClock())
    assert await leaving.pull(FIRST, max_messages=10, wait_seconds=0.1) == []
    await bus.publish("facts", facts(3))
    await asyncio.sleep(0.3)

    await leaving.close()

    assert numbers(await bus.pull(FIRST, max_messages=10, wait_seconds=3)) == [0, 1, 2]
    with pytest.raises(TransientError, match="closed"):
        await leaving.publish("facts", facts(1))


DIAL = """
import asyncio, sys
import google.auth.credentials
from google.pubsub_v1 import PublisherAsyncClient
from shared.bus.pubsub import PubSubBus
from shared.bus.pubsub_admin import create_resources, missing_resources
from shared.bus.pubsub_client import PubSubClient
from shared.runtime.clock import ScaledClock
from tests.contract.harness import TOPOLOGY, facts

async def adapter():
    client = await PubSubClient.connect("dial", sys.argv[2])
    await create_resources(client, TOPOLOGY)
    assert not await missing_resources(client, TOPOLOGY)
    bus = PubSubBus(client, TOPOLOGY, ScaledClock())
    await bus.publish("facts", facts(3))
    deliveries = await bus.pull("first--facts", max_messages=10, wait_seconds=5)
    await bus.dead_letter(deliveries[0], "why")
    await bus.release(deliveries[1:2], delay_seconds=1)
    await bus.acknowledge(deliveries[2:])
    assert await bus.dead_letters("first--facts")
    await bus.close()

async def as_the_library_does():
    client = PublisherAsyncClient(credentials=google.auth.credentials.AnonymousCredentials())
    try:
        await client.get_topic(topic="projects/p/topics/t", timeout=2, retry=None)
    except Exception as error:
        print(type(error).__name__)

asyncio.run({"adapter": adapter, "library": as_the_library_does}[sys.argv[1]]())
"""


@pytest.mark.parametrize(("who", "dials_google"), [("adapter", False), ("library", True)])
async def test_no_google_host_is_dialled_while_the_emulator_is_named(
    server: ServerProcess, who: str, *, dials_google: bool
):
    """Every way out leads through a proxy that only writes down who is asked for; the bare library proves the trap works."""
    asked: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    trap = await asyncio.start_server(note, "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{trap.sockets[0].getsockname()[1]}"
    proxies = dict.fromkeys(("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"), proxy)
    without = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment = {
        **without,
        **proxies,
        "no_grpc_proxy": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PUBSUB_EMULATOR_HOST": "" if dials_google else server.address,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIAL, who, server.address, env=environment, cwd=ROOT, stderr=subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    trap.close()

    assert process.returncode == 0, errors.decode()
    assert any(b"pubsub.googleapis.com" in line for line in asked) is dials_google, asked
    assert bool(asked) is dials_google


async def test_an_emulator_gone_and_back_is_survived_without_a_new_client(
    server: ServerProcess, client: PubSubClient, bus: PubSubBus
):
    await bus.publish("facts", facts(1))
    assert numbers(await bus.pull(FIRST, max_messages=10, wait_seconds=5)) == [0]
    server.kill()

    began = time.monotonic()
    with pytest.raises(
        TransientError, match=r"topic facts: Pub/Sub does not answer, project faults-\w+ at 127\.0\.0\.1"
    ):
        await bus.publish("facts", facts(1))
    with pytest.raises(TransientError, match="subscription first--facts"):
        await bus.pull(FIRST, max_messages=10, wait_seconds=1)
    assert time.monotonic() - began < 10

    await asyncio.to_thread(start_pubsub, server)
    with pytest.raises(TransientError, match=r"topic facts: not found in project faults-.*cst infra create"):
        await bus.publish("facts", facts(1))
    await create_resources(client, TOPOLOGY)  # an emulator forgets everything
    await bus.publish("facts", facts(1, start=7))
    assert numbers(await _pulled_in_the_end(bus)) == [7]


async def _pulled_in_the_end(bus: PubSubBus):
    """A pull that was open when the emulator forgot its subscription fails once, as a consumer's loop expects."""
    for _ in range(5):
        try:
            deliveries = await bus.pull(FIRST, max_messages=10, wait_seconds=3)
        except TransientError:
            continue
        if deliveries:
            return deliveries
    return []
