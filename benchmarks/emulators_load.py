"""The four services as processes over the Pub/Sub and Bigtable emulators and Redis, under a steady load.

    python -m benchmarks.emulators_load                                              # 300 symbols, 20,000 trades/s for 60 s
    python -m benchmarks.emulators_load --symbols 40 --trades-per-second 500         # messages per second, and what they cost

Prints every few seconds how many trades came in, how many batches wait between ingestion and aggregator, how old the watermark
and the last closed minute are, and what each process takes of a core; then messages and bytes by topic, counted by subscriptions
of the benchmark's own; how long each service took from start to ready, and from SIGTERM to exit under the load.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
from google.pubsub_v1.types import AcknowledgeRequest, PullRequest, Subscription

from benchmarks.load_venue import symbols_of
from benchmarks.pubsub_cost import monthly_dollars
from cli.infra import create_all
from cli.supervisor.plan import mode_adapters
from shared.bus.pubsub_client import PubSubClient
from shared.cache.redis import RedisCache
from shared.domain.timeframe import MINUTE_MS
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from tests.end_to_end.platform import SERVICES, Platform
from tests.support.emulators import running_pubsub
from tests.support.emulators_store import running_bigtable, running_redis
from tests.support.simulator import free_port

RESULTS: Final = Path(__file__).parent / "results"
WARM_SECONDS_MAX: Final = 180
Status = dict[str, dict[str, Any]]


class Count:
    """Messages and their bytes by topic, as a subscription of our own sees them."""

    def __init__(self, client: PubSubClient) -> None:
        self._client = client
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    async def subscribe(self) -> None:
        """One subscription per topic."""
        for topic in load_topology().topics:
            name, path = self._client.subscription_path(f"count--{topic.name}"), self._client.topic_path(topic.name)
            request = Subscription(name=name, topic=path, ack_deadline_seconds=60)
            await self._client.subscriber.create_subscription(request=request, timeout=10)

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._read(topic.name) for topic in load_topology().topics))

    async def _read(self, topic: str) -> None:
        path = self._client.subscription_path(f"count--{topic}")
        while True:
            pull = PullRequest(subscription=path, max_messages=1000)
            answer = await self._client.subscriber.pull(request=pull, timeout=60, retry=None)
            received = list(type(answer).pb(answer).received_messages)
            if not received:
                continue
            self.messages[topic] += len(received)
            self.bytes[topic] += sum(len(item.message.data) + _attribute_bytes(item.message) for item in received)
            acknowledge = AcknowledgeRequest(subscription=path, ack_ids=[item.ack_id for item in received])
            await self._client.subscriber.acknowledge(request=acknowledge, timeout=10)


def _attribute_bytes(message: Any) -> int:
    return sum(len(name) + len(value) for name, value in message.attributes.items())


class Watch:
    """What the services report through the cache, and what their processes use."""

    def __init__(self, cache: RedisCache, processes: dict[str, psutil.Process]) -> None:
        self._cache = cache
        self._processes = processes

    async def statuses(self) -> Status:
        """The latest report of each service that has one."""
        found: Status = {}
        for name in SERVICES:
            value = await self._cache.get(f"status:{name}")
            found[name] = msgspec.json.decode(value, type=dict[str, Any]) if value else {}
        return found

    async def sample(self, began: float) -> dict[str, Any]:
        """One line of the table."""
        status, now_ms = await self.statuses(), time.time_ns() // 1_000_000
        ingestion, aggregator, engine = (status[name] for name in SERVICES[:3])
        closed_ms = now_ms // MINUTE_MS * MINUTE_MS - (engine.get("last_close_ms") or now_ms)
        return {
            "seconds": round(time.monotonic() - began, 1),
            "trades": ingestion.get("trades", 0),
            "published": ingestion.get("batches_published", 0),
            "appended": aggregator.get("batches", 0),
            "waiting": ingestion.get("batches_published", 0) - aggregator.get("batches", 0),
            "queue": ingestion.get("queue", 0),
            "watermark_age_ms": aggregator.get("watermark_age_ms"),
            "undecided_ms": max(0, closed_ms),
            "closed": aggregator.get("closed", 0),
            "partial": aggregator.get("partial", 0),
            "decisions": engine.get("decisions", 0),
            "cpu": {name: round(process.cpu_percent()) for name, process in self._processes.items()},
        }


async def ready(watch: Watch, name: str, pid: int, began: float) -> float:
    """Seconds until the service reports under its own PID."""
    while (await watch.statuses())[name].get("pid") != pid:
        if time.monotonic() - began > WARM_SECONDS_MAX:
            sys.exit(f"{name} was not ready within {WARM_SECONDS_MAX} s")
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def start_all(platform: Platform, watch: Watch) -> dict[str, float]:
    """Each service once without load (its files are in the page cache then), then for good; seconds until ready."""
    seconds = {}
    for name in ("aggregator", "logic_engine", "notifier", "ingestion"):
        began = time.monotonic()
        platform.start(name)
        seconds[name] = round(await ready(watch, name, platform.pid(name), began), 2)
    return seconds


async def stop_all(platform: Platform) -> dict[str, float]:
    """SIGTERM to each in the order of the flow, while its neighbours work; seconds until it has ended with 0."""
    seconds = {}
    for name in SERVICES:
        began = time.monotonic()
        platform.terminate(name)
        code = await platform.exit_code(name, 30)
        seconds[name] = round(time.monotonic() - began, 2)
        if code:
            sys.exit(f"{name} ended with {code}: {platform.log_tail(name)}")
    return seconds


async def load(arguments: argparse.Namespace, platform: Platform, brokers: dict[str, int]) -> dict[str, Any]:
    """Start, warm up, hold, stop; the report."""
    cache = RedisCache(os.environ["REDIS_URL"])
    client = PubSubClient.over_emulator(os.environ["PUBSUB_PROJECT_ID"], os.environ["PUBSUB_EMULATOR_HOST"])
    count = Count(client)
    await count.subscribe()
    counting = asyncio.create_task(count.run())
    processes = {name: psutil.Process(pid) for name, pid in brokers.items()}
    watch = Watch(cache, processes)
    started = await start_all(platform, watch)
    print("start to ready, s:", started, flush=True)
    processes |= {name: psutil.Process(platform.pid(name)) for name in SERVICES}
    await warm(watch, arguments)
    count.messages.clear()
    count.bytes.clear()
    samples = [sample async for sample in hold(watch, arguments)]
    seconds = samples[-1]["seconds"] - samples[0]["seconds"]
    messages, sizes = dict(count.messages), dict(count.bytes)
    stopped = await stop_all(platform)
    print("SIGTERM to exit, s:", stopped, flush=True)
    counting.cancel()
    await client.close()
    await cache.close()
    return {
        "symbols": arguments.symbols,
        "trades_per_second": round((samples[-1]["trades"] - samples[0]["trades"]) / seconds),
        "seconds": seconds,
        "waiting_batches": [sample["waiting"] for sample in samples],
        "watermark_age_ms": [sample["watermark_age_ms"] for sample in samples],
        "samples": samples,
        "messages_per_second": {name: round(number / seconds, 2) for name, number in messages.items()},
        "messages_per_second_in_all": round(sum(messages.values()) / seconds, 2),
        "bytes_per_message": {name: round(sizes[name] / number) for name, number in messages.items()},
        "dollars_per_month": monthly_dollars(
            {name: (number / seconds, sizes[name] / number) for name, number in messages.items()}, load_topology()
        ),
        "start_to_ready_seconds": started,
        "sigterm_to_exit_seconds": stopped,
        "load_average_after": round(os.getloadavg()[0], 2),
    }


async def warm(watch: Watch, arguments: argparse.Namespace) -> None:
    """Until every symbol has closed a minute: the backfill of history is another load than the one measured."""
    began = time.monotonic()
    while time.monotonic() - began < WARM_SECONDS_MAX:
        status = await watch.statuses()
        if (status["logic_engine"].get("decisions") or 0) >= arguments.symbols:
            return
        await asyncio.sleep(1)
        if round(time.monotonic() - began) % 5 == 0:
            print("warming", json.dumps(await watch.sample(began)), flush=True)
    print("not every symbol made a Decision while warming up", flush=True)


async def hold(watch: Watch, arguments: argparse.Namespace) -> AsyncIterator[dict[str, Any]]:
    """A sample every few seconds."""
    began = time.monotonic()
    await watch.sample(began)  # the first CPU shares are of no span
    while True:
        sample = await watch.sample(began)
        print(json.dumps(sample), flush=True)
        yield sample
        if sample["seconds"] >= arguments.seconds:
            return
        await asyncio.sleep(arguments.every)


@contextmanager
def everything(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[Platform, dict[str, int]]]:
    """Emulators, Redis, venue, and the platform (not started)."""
    with ExitStack() as stack:
        name, port = f"load-{uuid.uuid4().hex[:12]}", free_port()
        (folder / "redis").mkdir()
        pubsub = stack.enter_context(running_pubsub())
        bigtable = stack.enter_context(running_bigtable())
        redis = stack.enter_context(running_redis(folder / "redis"))
        os.environ.update(mode_adapters("emulators"))
        os.environ.update(
            PUBSUB_EMULATOR_HOST=pubsub.address,
            BIGTABLE_EMULATOR_HOST=bigtable.address,
            REDIS_URL=f"redis://{redis.address}/0",
            GOOGLE_CLOUD_PROJECT=name,
            PUBSUB_PROJECT_ID=name,
        )
        asyncio.run(create_all(ServiceSettings()))
        command = [sys.executable, "-m", "benchmarks.load_venue", "--port", str(port)]
        command += ["--symbols", str(arguments.symbols), "--trades-per-second", str(arguments.trades_per_second)]
        venue = subprocess.Popen(command)
        stack.callback(venue.wait)
        stack.callback(venue.terminate)
        platform = Platform(
            folder,
            symbols=tuple(symbols_of(arguments.symbols)),
            environment={
                "BYBIT_WEBSOCKET_URL": f"ws://127.0.0.1:{port}",
                "BYBIT_REST_URL": f"http://127.0.0.1:{port}",
                "STATUS_EVERY_SECONDS": "1",
                "BACKFILL_CANDLES": "130",
                "TELEGRAM_BOT_TOKEN": "",
                **dict(item.split("=", 1) for item in arguments.set),
            },
        )
        stack.callback(platform.stop_all)
        brokers = {"pubsub": pubsub.pid, "bigtable": bigtable.pid, "redis": redis.pid, "venue": venue.pid}
        yield platform, brokers


def main() -> None:
    """Print samples and the report; write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=300)
    parser.add_argument("--trades-per-second", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the services")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, everything(arguments, Path(folder)) as (platform, brokers):
        report = asyncio.run(load(arguments, platform, brokers))
    print(json.dumps({name: value for name, value in report.items() if name != "samples"}, indent=2))
    file = RESULTS / f"emulators_load_{arguments.symbols}.json"
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
